//! Moving one partition into files.
//!
//! The steps: write into a folder of a passing name, bring it to the disk, rename it, compare it
//! with the table row by row, commit the row of `es.archives`, detach, drop. Each of them can be
//! found done, so whoever was killed is followed by a run that goes on from there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use futures::TryStreamExt;
use hatch_domain::Environment;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::error::ArchiveError;
use super::file::{Archive, SectionWriter, write_manifest};
use super::format::{
    COLUMNS, ENTRY_BYTES, EVENTS, FORMAT, Line, Manifest, STREAMS, StreamIndexEntry,
};
use super::format::{Section, Sha256};
use super::partition::{Partition, State};
use super::record::{ArchiveRecord, blocking};
use super::request::{ArchiveProgress, ArchiveRequest, ArchivingError};
use crate::postgres::{Connection, Held};
use crate::{Position, SystemEnvironment};

/// Events of a block at most.
const BLOCK_EVENTS_MAX: i64 = 1_000;

/// Bytes of a block's content after which it ends early.
const BLOCK_BYTES_MAX: usize = 1 << 20;

/// Entries of a block of the stream index.
const BLOCK_ENTRIES: i64 = 4_096;

const RECORD: &str = "INSERT INTO es.archives \
     (first_position, last_position, events, partition, folder, manifest_sha256) \
     VALUES ($1, $2, $2::bigint - $1::bigint + 1, $3, $4, $5)";

/// One partition on its way.
pub(super) struct Job<'a> {
    pub(super) session: &'a mut Held,
    pub(super) request: &'a ArchiveRequest,
    pub(super) directory: &'a Path,
    pub(super) partition: &'a Partition,
}

impl Job<'_> {
    /// Does what is not done yet; returns the folder.
    pub(super) async fn run(
        &mut self,
        recorded: Option<ArchiveRecord>,
        on_progress: &mut impl FnMut(ArchiveProgress),
    ) -> Result<PathBuf, ArchivingError> {
        let Partition { table, first, last, state, .. } = self.partition;
        let name = format!("events-{:012}-{:012}", first.0, last.0);
        let folder = match &recorded {
            Some(record) => record.folder.clone(),
            None => self.directory.join(name),
        };
        if recorded.is_none() && !folder.exists() {
            self.write(&folder, on_progress).await?;
            on_progress(ArchiveProgress::Written);
        }
        let sha256 = recorded.as_ref().map(|record| record.sha256);
        let sha256 = self.compare(&folder, sha256, on_progress).await?;
        if recorded.is_none() {
            let (path, sha256) = (folder.to_string_lossy(), &sha256.0[..]);
            let record = async |client: &mut Connection| {
                client.execute(RECORD, &[&first.0, &last.0, table, &path, &sha256]).await?;
                Ok::<_, ArchivingError>(())
            };
            self.session.within(self.request.answer_max, record).await?;
        }
        on_progress(ArchiveProgress::Recorded);
        let how = match state {
            State::Attached => Some("CONCURRENTLY"),
            State::Detaching => Some("FINALIZE"),
            State::Detached => None,
        };
        if let Some(how) = how {
            let detach = format!("ALTER TABLE es.events DETACH PARTITION es.{table} {how}");
            self.change(&detach).await?;
        }
        on_progress(ArchiveProgress::Detached);
        self.change(&format!("DROP TABLE es.{table}")).await?;
        Ok(folder)
    }

    /// Changes the tables, for which others may have to let go of them.
    async fn change(&mut self, sql: &str) -> Result<(), ArchivingError> {
        let change = async |client: &mut Connection| Ok(client.batch_execute(sql).await?);
        self.session.within(self.request.detach_max, change).await
    }

    /// Makes the folder, whole or not at all.
    async fn write(
        &mut self,
        folder: &Path,
        on_progress: &mut impl FnMut(ArchiveProgress),
    ) -> Result<(), ArchivingError> {
        let Partition { first, last, .. } = *self.partition;
        let fails = |source| ArchivingError::Write { path: folder.to_owned(), source };
        let partial = folder.with_extension("partial");
        let mut private = fs::DirBuilder::new();
        private.mode(0o700).recursive(true).create(self.directory).map_err(fails)?;
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(fails)?;
        }
        private.recursive(false).create(&partial).map_err(fails)?;
        let created_at = SystemEnvironment.now();
        let mut epochs = BTreeSet::new();
        let mut writer = SectionWriter::create(&partial.join(EVENTS)).map_err(fails)?;
        let mut position = Position(first.0 - 1);
        while position < last {
            let content = self.events(position, &mut epochs).await?;
            writer = push(writer, position.next(), content.bytes).await.map_err(fails)?;
            position = content.last;
            on_progress(ArchiveProgress::Writing { position, last });
        }
        let events = finish(writer).await.map_err(fails)?;
        let streams = self.write_streams(&partial.join(STREAMS)).await?;
        let manifest = Manifest {
            format: FORMAT,
            hatch_version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at,
            first,
            last,
            count: usize::try_from(last.0 - first.0 + 1).unwrap_or(usize::MAX),
            epochs,
            events,
            streams,
        };
        let (directory, folder) = (self.directory.to_owned(), folder.to_owned());
        let named = blocking(move || {
            write_manifest(&partial, &manifest)?;
            // Fails where a folder with files is there by now.
            fs::rename(&partial, &folder)?;
            File::open(&directory)?.sync_all()
        });
        named.await.map_err(fails_at(self.directory))
    }

    /// Writes the stream index, which the table's own index has in order.
    async fn write_streams(&mut self, path: &Path) -> Result<Section<Uuid>, ArchivingError> {
        let fails = fails_at(path);
        let mut writer = SectionWriter::create(path).map_err(&fails)?;
        let mut after = (Uuid::nil(), 0);
        loop {
            let content = self.streams(&mut after, BLOCK_ENTRIES).await?;
            let Some(first) = StreamIndexEntry::all(&content).next() else { break };
            writer = push(writer, first.stream_id, content).await.map_err(&fails)?;
        }
        finish(writer).await.map_err(fails)
    }

    /// The next lines after `after`, as they are in a block.
    async fn events(
        &mut self,
        after: Position,
        epochs: &mut BTreeSet<i32>,
    ) -> Result<Lines, ArchivingError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM es.{} WHERE position > $1 ORDER BY position LIMIT $2",
            self.partition.table
        );
        let mut lines = Lines { bytes: Vec::new(), last: after };
        let read = async |client: &mut Connection| {
            let parameters: [&(dyn ToSql + Sync); 2] = [&after.0, &BLOCK_EVENTS_MAX];
            let mut rows = pin!(client.query_raw(&sql, parameters).await?);
            while lines.bytes.len() < BLOCK_BYTES_MAX
                && let Some(row) = rows.try_next().await?
            {
                let line = Line::read(&row)?;
                if line.position != lines.last.next() {
                    return Err(ArchivingError::Gap(lines.last.next()));
                }
                epochs.insert(line.epoch);
                lines.add(&line)?;
            }
            Ok(())
        };
        self.session.within(self.request.answer_max, read).await?;
        if lines.last == after {
            return Err(ArchivingError::Gap(after.next()));
        }
        Ok(lines)
    }

    /// The next `limit` entries of the stream index, which moves `after` to the last of them.
    async fn streams(
        &mut self,
        after: &mut (Uuid, i64),
        limit: i64,
    ) -> Result<Vec<u8>, ArchivingError> {
        let sql = format!(
            "SELECT stream_id, version, position FROM es.{} WHERE (stream_id, version) > ($1, $2) \
             ORDER BY stream_id, version LIMIT $3",
            self.partition.table
        );
        let (stream_id, version) = *after;
        let read = async |client: &mut Connection| {
            Ok::<_, ArchivingError>(client.query(&sql, &[&stream_id, &version, &limit]).await?)
        };
        let mut content = Vec::new();
        for row in self.session.within(self.request.answer_max, read).await? {
            *after = (row.try_get(0)?, row.try_get(1)?);
            StreamIndexEntry { stream_id: after.0, position: Position(row.try_get(2)?) }
                .write(&mut content);
        }
        Ok(content)
    }

    /// Compares the files with the table, byte by byte; returns the manifest's checksum, which must
    /// be `expected` where one is known.
    async fn compare(
        &mut self,
        folder: &Path,
        expected: Option<Sha256>,
        on_progress: &mut impl FnMut(ArchiveProgress),
    ) -> Result<Sha256, ArchivingError> {
        let Partition { number, first, last, .. } = *self.partition;
        let differs = |what: String| {
            let folder = folder.to_owned();
            ArchivingError::Different { folder, partition: number, what }
        };
        let path = folder.to_owned();
        let opened = blocking(move || {
            let archive = Archive::open(path, expected)?;
            archive.check_files()?;
            Ok::<_, ArchiveError>(Arc::new(archive))
        });
        let archive = opened.await?;
        let manifest = &archive.manifest;
        if (manifest.first, manifest.last) != (first, last) {
            return Err(differs(format!("positions {} to {}", manifest.first, manifest.last)));
        }
        let mut position = Position(first.0 - 1);
        for number in 0..manifest.events.blocks.len() {
            let end = manifest.events.blocks.get(number + 1).map(|next| next.first.0 - 1);
            let lines = self.lines(position, end.map_or(last, Position)).await?;
            let read = Arc::clone(&archive);
            if blocking(move || read.events_block(number)).await? != lines.bytes {
                return Err(differs(format!("its block of position {}", position.next())));
            }
            position = lines.last;
            on_progress(ArchiveProgress::Verifying { position, last });
        }
        let (mut after, mut entries) = ((Uuid::nil(), 0), 0);
        for number in 0..manifest.streams.blocks.len() {
            let read = Arc::clone(&archive);
            let content = blocking(move || read.streams_block(number)).await?;
            let count = content.len() / ENTRY_BYTES;
            let limit = i64::try_from(count).unwrap_or(i64::MAX);
            if self.streams(&mut after, limit).await? != content {
                return Err(differs(format!("block {number} of its stream index")));
            }
            entries += count;
        }
        if position != last || entries != manifest.count {
            return Err(differs(format!("{entries} events up to position {position}")));
        }
        Ok(archive.manifest_sha256)
    }

    /// The lines after `after` up to and with `last`, as many as a block of the files has.
    async fn lines(&mut self, after: Position, last: Position) -> Result<Lines, ArchivingError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM es.{} WHERE position > $1 AND position <= $2 ORDER BY position",
            self.partition.table
        );
        let mut lines = Lines { bytes: Vec::new(), last: after };
        let read = async |client: &mut Connection| {
            Ok::<_, ArchivingError>(client.query(&sql, &[&after.0, &last.0]).await?)
        };
        for row in self.session.within(self.request.answer_max, read).await? {
            lines.add(&Line::read(&row)?)?;
        }
        Ok(lines)
    }
}

/// Lines of a block.
struct Lines {
    bytes: Vec<u8>,
    last: Position,
}

impl Lines {
    fn add(&mut self, line: &Line) -> Result<(), ArchivingError> {
        line.write(&mut self.bytes).map_err(|error| ArchivingError::Write {
            path: PathBuf::from(EVENTS),
            source: error.into(),
        })?;
        self.last = line.position;
        Ok(())
    }
}

fn fails_at(path: &Path) -> impl Fn(io::Error) -> ArchivingError {
    move |source| ArchivingError::Write { path: path.to_owned(), source }
}

async fn push<K: Send + 'static>(
    mut writer: SectionWriter<K>,
    first: K,
    content: Vec<u8>,
) -> io::Result<SectionWriter<K>> {
    blocking(move || writer.push(first, &content).map(|()| writer)).await
}

async fn finish<K: Send + 'static>(writer: SectionWriter<K>) -> io::Result<Section<K>> {
    blocking(move || writer.finish()).await
}
