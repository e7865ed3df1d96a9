//! Moving a partition into files.
//!
//! The steps: write into a folder of a passing name, bring it to the disk, rename it, compare it
//! with the table row by row, commit the row of `es.archives`, detach, drop. Each of them can be
//! found done, so whoever was killed is followed by a run that goes on from there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use hatch_domain::Environment;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row};
use uuid::Uuid;

use super::file::{Archive, SectionWriter, write_manifest};
use super::format::{COLUMNS, ENTRY_BYTES, EVENTS, Entry, FORMAT, Line, Manifest, STREAMS};
use super::format::{Section, Sha256};
use super::{ArchiveError, ArchiveRecord, blocking};
use crate::postgres::Connected;
use crate::{Position, SystemEnvironment, log, postgres};

/// Events of a block at most.
const BLOCK_EVENTS_MAX: i64 = 1_000;

/// Bytes of a block's content after which it ends early.
const BLOCK_BYTES_MAX: usize = 1 << 20;

/// Entries of a block of the stream index.
const BLOCK_ENTRIES: i64 = 4_096;

/// Readers that are named at most of those that a partition waits for.
const HINDRANCES_MAX: i64 = 20;

/// Advisory lock of whoever archives ("archive" in ASCII).
const ARCHIVE_LOCK: i64 = 0x61_7263_6869_7665;

/// How long to wait for that lock. PostgreSQL may take a moment to see that its holder was killed.
const LOCK_WAIT: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(100);

/// It takes as long as it takes, and what it commits is on the disk. A server that looks after its
/// client frees the lock of one that was killed.
const SESSION: &str = "
    SET statement_timeout = 0;
    SET lock_timeout = 0;
    SET synchronous_commit = on;
    SET client_connection_check_interval = '1s'";

const OWNER: &str = "SELECT pg_get_userbyid(relowner)::text, pg_has_role(relowner, 'MEMBER') \
     FROM pg_class WHERE oid = 'es.events'::regclass";

/// Partitions by their bounds, and tables that are detached and not dropped yet.
const PARTITIONS: &str = r"
    SELECT c.relname::text, b.bounds[1]::bigint, b.bounds[2]::bigint, i.inhdetachpending
      FROM pg_inherits AS i
      JOIN pg_class AS c ON c.oid = i.inhrelid
     CROSS JOIN LATERAL (SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid),
               'FROM \(''(\d+)''\) TO \(''(\d+)''\)')) AS b(bounds)
     WHERE i.inhparent = 'es.events'::regclass AND c.relname ~ '^events_[0-9]+$'
    UNION ALL
    SELECT c.relname::text, a.first_position, a.last_position + 1, NULL
      FROM es.archives AS a
      JOIN pg_class AS c ON c.relname = a.partition AND c.relnamespace = 'es'::regnamespace
     WHERE NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)
     ORDER BY 2";

const BEHIND: &str = "SELECT name, version, position FROM es.checkpoints WHERE position < $1 \
     ORDER BY position LIMIT $2";

const RECORD: &str = "INSERT INTO es.archives \
     (first_position, last_position, events, partition, folder, manifest_sha256) \
     VALUES ($1, $2, $2::bigint - $1::bigint + 1, $3, $4, $5)";

/// What to archive, and where to.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where each archive gets a folder; made if it is not there. Every process that reads the log
    /// must reach it by this path, which is made absolute. It is for one database alone.
    pub directory: PathBuf,
    /// The number of one partition; none for all that are cold.
    pub partition: Option<i64>,
    /// Readers that the database does not know.
    pub needs: Vec<Need>,
}

/// Somebody who has read the log up to a position.
#[derive(Debug, Clone)]
pub struct Need {
    /// Who, as a sentence begins.
    pub who: String,
    /// The last position that was read.
    pub position: Position,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Events are written to the files.
    Writing {
        /// The last one that is.
        position: Position,
        /// The last one that is to be.
        last: Position,
    },
    /// The files are complete and named, and nobody knows of them yet.
    Written,
    /// The files are compared with the table.
    Verifying {
        /// The last position that is equal.
        position: Position,
        /// The last one that is to be.
        last: Position,
    },
    /// The archive is on record; the partition is detached once transactions that began before end.
    Recorded,
    /// The partition is a table by itself.
    Detached,
    /// The table is gone.
    Archived(Archived),
    /// A partition stays.
    Kept(Kept),
}

/// A partition that is in files now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The partition's number.
    pub partition: i64,
    /// Its first position.
    pub first: Position,
    /// Its last one.
    pub last: Position,
    /// Where its files are.
    pub folder: PathBuf,
}

/// A partition that is not cold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The partition's number.
    pub partition: i64,
    /// Its first position.
    pub first: Position,
    /// Its last one.
    pub last: Position,
    /// Each thing that hinders.
    pub reasons: Vec<String>,
}

/// Why nothing more was archived. No event was lost by it.
#[derive(Debug, thiserror::Error)]
pub enum ArchivingError {
    /// One at a time.
    #[error("somebody else is archiving: wait until that has ended")]
    Busy,
    /// The session may not detach partitions.
    #[error(
        "only {0}, who owns the log's tables, can do this: set HATCH_DATABASE_URL to the one that \
         `hatch migrate` uses"
    )]
    NotOwner(String),
    /// There is no such partition.
    #[error("the database has no partition {0} of the log: it was archived, or is yet to be made")]
    NoPartition(i64),
    /// The partition lacks events.
    #[error("the log lacks position {0}: run `hatch log verify`")]
    Gap(Position),
    /// The files hold something else than the table.
    #[error(
        "{} is not what partition {partition} of the log holds ({what}): move it away, or name \
         another --directory", folder.display()
    )]
    Different {
        /// The folder.
        folder: PathBuf,
        /// The partition's number.
        partition: i64,
        /// The first difference.
        what: String,
    },
    /// The files cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Files that are there cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// PostgreSQL refused or was lost.
    #[error("the log's database refused or was lost")]
    Postgres(#[from] tokio_postgres::Error),
}

/// A partition, or what is left of one.
#[derive(Debug)]
struct Partition {
    table: String,
    number: i64,
    first: Position,
    last: Position,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Attached,
    /// Detaching it was interrupted.
    Detaching,
    Detached,
}

/// Moves every cold partition, or the one that is asked for, into files; the oldest first, beside
/// appends and readers. Tells `on_progress` of every step.
///
/// A partition is cold when the head is beyond it and everybody in `es.checkpoints` and
/// [`Request::needs`] has read it. `postgres` is to log in as the owner of the tables. Killed at
/// any moment, it leaves a log that readers find whole; the next run finishes.
///
/// # Errors
/// [`ArchivingError`]. A partition that is not cold is none: it is [`Progress::Kept`].
pub async fn archive(
    postgres: &Config,
    request: &Request,
    mut on_progress: impl FnMut(Progress),
) -> Result<(), ArchivingError> {
    let client = session(postgres).await?;
    let directory = std::path::absolute(&request.directory)
        .map_err(|source| ArchivingError::Write { path: request.directory.clone(), source })?;
    let partitions = partitions(&client).await?;
    if let Some(asked) = request.partition
        && !partitions.iter().any(|partition| partition.number == asked)
    {
        return Err(ArchivingError::NoPartition(asked));
    }
    let head = head(&client).await?;
    let mut older = None;
    for partition in partitions {
        let asked = request.partition.is_none_or(|number| number == partition.number);
        let recorded = recorded(&client, &partition).await?;
        let mut reasons = match recorded {
            Some(_) => Vec::new(),
            None => hindrances(&client, &partition, head, &request.needs).await?,
        };
        if let (None, Some(older)) = (&recorded, older) {
            reasons.push(format!("partition {older} is older and not archived"));
        }
        let Partition { number, first, last, .. } = partition;
        if asked && reasons.is_empty() {
            let job = Job { client: &client, directory: &directory, partition: &partition };
            let folder = job.run(recorded, &mut on_progress).await?;
            on_progress(Progress::Archived(Archived { partition: number, first, last, folder }));
            continue;
        }
        older.get_or_insert(number);
        // Those that wait for positions to come are nobody's question.
        if asked && (request.partition.is_some() || first <= head) {
            on_progress(Progress::Kept(Kept { partition: number, first, last, reasons }));
        }
    }
    Ok(())
}

/// A connection of one's own that may detach partitions, and that nobody else has at the same time.
async fn session(postgres: &Config) -> Result<Connected, ArchivingError> {
    let mut postgres = postgres.clone();
    postgres.application_name("hatch-archive");
    let client = postgres::connect(&postgres).await?;
    client.batch_execute(SESSION).await?;
    let row = client.query_one(OWNER, &[]).await?;
    let (owner, member): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
    if !member {
        return Err(ArchivingError::NotOwner(owner));
    }
    let set_role = client.query_one("SELECT format('SET ROLE %I', $1::text)", &[&owner]).await?;
    client.batch_execute(set_role.try_get(0)?).await?;
    let deadline = Instant::now() + LOCK_WAIT;
    while !client
        .query_one("SELECT pg_try_advisory_lock($1)", &[&ARCHIVE_LOCK])
        .await?
        .try_get::<_, bool>(0)?
    {
        if Instant::now() >= deadline {
            return Err(ArchivingError::Busy);
        }
        sleep(LOCK_POLL).await;
    }
    Ok(client)
}

async fn partitions(client: &Client) -> Result<Vec<Partition>, tokio_postgres::Error> {
    let rows = client.query(PARTITIONS, &[]).await?;
    rows.iter().map(partition).collect()
}

fn partition(row: &Row) -> Result<Partition, tokio_postgres::Error> {
    let table: String = row.try_get(0)?;
    let (lower, upper): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    // The pattern of the name leaves digits.
    let number = table.trim_start_matches("events_").parse().unwrap_or_default();
    let state = match row.try_get(3)? {
        Some(false) => State::Attached,
        Some(true) => State::Detaching,
        None => State::Detached,
    };
    Ok(Partition { table, number, first: Position(lower.max(1)), last: Position(upper - 1), state })
}

async fn head(client: &Client) -> Result<Position, tokio_postgres::Error> {
    Ok(Position(client.query_one(log::HEAD, &[]).await?.try_get(0)?))
}

async fn recorded(
    client: &Client,
    partition: &Partition,
) -> Result<Option<ArchiveRecord>, tokio_postgres::Error> {
    let records = ArchiveRecord::all(client).await?;
    Ok(records.into_iter().find(|record| record.first == partition.first))
}

/// Why `partition` is not cold.
async fn hindrances(
    client: &Client,
    partition: &Partition,
    head: Position,
    needs: &[Need],
) -> Result<Vec<String>, tokio_postgres::Error> {
    let Partition { first, last, .. } = partition;
    // Nobody can have read what is yet to come: those who lag are no reason here.
    if head < *first {
        return Ok(vec![format!("it is for positions to come: the log ends at {head}")]);
    }
    if head <= *last {
        return Ok(vec![format!("it holds the log's head, position {head}")]);
    }
    let mut reasons = Vec::new();
    for row in client.query(BEHIND, &[&last.0, &HINDRANCES_MAX]).await? {
        let (name, version, at): (&str, i32, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        reasons.push(format!("{name} version {version} has come to position {at} only"));
    }
    for Need { who, position } in needs.iter().filter(|need| need.position < *last) {
        reasons.push(format!("{who} has come to position {position} only"));
    }
    Ok(reasons)
}

/// One partition on its way.
struct Job<'a> {
    client: &'a Client,
    directory: &'a Path,
    partition: &'a Partition,
}

impl Job<'_> {
    /// Does what is not done yet; returns the folder.
    async fn run(
        &self,
        recorded: Option<ArchiveRecord>,
        on_progress: &mut impl FnMut(Progress),
    ) -> Result<PathBuf, ArchivingError> {
        let Partition { table, first, last, state, .. } = self.partition;
        let name = format!("events-{:012}-{:012}", first.0, last.0);
        let folder = match &recorded {
            Some(record) => record.folder.clone(),
            None => self.directory.join(name),
        };
        if recorded.is_none() && !folder.exists() {
            self.write(&folder, on_progress).await?;
            on_progress(Progress::Written);
        }
        let sha256 = recorded.as_ref().map(|record| record.sha256);
        let sha256 = self.compare(&folder, sha256, on_progress).await?;
        if recorded.is_none() {
            let (path, sha256) = (folder.to_string_lossy(), &sha256.0[..]);
            self.client.execute(RECORD, &[&first.0, &last.0, table, &path, &sha256]).await?;
        }
        on_progress(Progress::Recorded);
        let how = match state {
            State::Attached => Some("CONCURRENTLY"),
            State::Detaching => Some("FINALIZE"),
            State::Detached => None,
        };
        if let Some(how) = how {
            let detach = format!("ALTER TABLE es.events DETACH PARTITION es.{table} {how}");
            self.client.batch_execute(&detach).await?;
        }
        on_progress(Progress::Detached);
        self.client.batch_execute(&format!("DROP TABLE es.{table}")).await?;
        Ok(folder)
    }

    /// Makes the folder, whole or not at all.
    async fn write(
        &self,
        folder: &Path,
        on_progress: &mut impl FnMut(Progress),
    ) -> Result<(), ArchivingError> {
        let Partition { first, last, .. } = *self.partition;
        let fails = |source| ArchivingError::Write { path: folder.to_owned(), source };
        let partial = folder.with_extension("partial");
        fs::create_dir_all(self.directory).map_err(fails)?;
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(fails)?;
        }
        fs::create_dir(&partial).map_err(fails)?;
        let created_at = SystemEnvironment.now();
        let mut epochs = std::collections::BTreeSet::new();
        let mut writer = SectionWriter::create(&partial.join(EVENTS)).map_err(fails)?;
        let mut position = Position(first.0 - 1);
        while position < last {
            let content = self.events(position, &mut epochs).await?;
            writer = push(writer, position.next(), content.bytes).await.map_err(fails)?;
            position = content.last;
            on_progress(Progress::Writing { position, last });
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
    async fn write_streams(&self, path: &Path) -> Result<Section<Uuid>, ArchivingError> {
        let fails = fails_at(path);
        let mut writer = SectionWriter::create(path).map_err(&fails)?;
        let mut after = (Uuid::nil(), 0);
        loop {
            let content = self.streams(&mut after, BLOCK_ENTRIES).await?;
            let Some(first) = Entry::all(&content).next() else { break };
            writer = push(writer, first.stream_id, content).await.map_err(&fails)?;
        }
        finish(writer).await.map_err(fails)
    }

    /// The next lines after `after`, as they are in a block.
    async fn events(
        &self,
        after: Position,
        epochs: &mut std::collections::BTreeSet<i32>,
    ) -> Result<Lines, ArchivingError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM es.{} WHERE position > $1 ORDER BY position LIMIT $2",
            self.partition.table
        );
        let mut lines = Lines { bytes: Vec::new(), last: after };
        let parameters: [&(dyn ToSql + Sync); 2] = [&after.0, &BLOCK_EVENTS_MAX];
        let mut rows = pin!(self.client.query_raw(&sql, parameters).await?);
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
        if lines.last == after {
            return Err(ArchivingError::Gap(after.next()));
        }
        Ok(lines)
    }

    /// The next `limit` entries of the stream index, which moves `after` to the last of them.
    async fn streams(
        &self,
        after: &mut (Uuid, i64),
        limit: i64,
    ) -> Result<Vec<u8>, tokio_postgres::Error> {
        let sql = format!(
            "SELECT stream_id, version, position FROM es.{} WHERE (stream_id, version) > ($1, $2) \
             ORDER BY stream_id, version LIMIT $3",
            self.partition.table
        );
        let mut content = Vec::new();
        for row in self.client.query(&sql, &[&after.0, &after.1, &limit]).await? {
            *after = (row.try_get(0)?, row.try_get(1)?);
            Entry { stream_id: after.0, position: Position(row.try_get(2)?) }.write(&mut content);
        }
        Ok(content)
    }

    /// Compares the files with the table, byte by byte; returns the manifest's checksum, which must
    /// be `expected` where one is known.
    async fn compare(
        &self,
        folder: &Path,
        expected: Option<Sha256>,
        on_progress: &mut impl FnMut(Progress),
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
            on_progress(Progress::Verifying { position, last });
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
    async fn lines(&self, after: Position, last: Position) -> Result<Lines, ArchivingError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM es.{} WHERE position > $1 AND position <= $2 ORDER BY position",
            self.partition.table
        );
        let mut lines = Lines { bytes: Vec::new(), last: after };
        for row in self.client.query(&sql, &[&after.0, &last.0]).await? {
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
