//! The files of one archive: written once, read block by block.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use sha2::Digest as _;
use uuid::Uuid;

use super::error::ArchiveError;
use super::format::{Block, EVENTS, FORMAT, Line, MANIFEST, Manifest, STREAMS, StreamIndexEntry};
use super::format::{Section, Sha256};
use crate::{Position, RecordedEvent};

/// zstd's own default: higher ones take several times as long for a few percent.
const COMPRESSION_LEVEL: i32 = 3;

/// Bytes of a file that are read at a time to check it.
const CHUNK_BYTES: usize = 1 << 20;

/// Makes a file that its owner alone reads: it holds addresses and texts.
fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes one of the two files.
pub(super) struct SectionWriter<K> {
    file: File,
    hasher: sha2::Sha256,
    offset: u64,
    blocks: Vec<Block<K>>,
}

impl<K> SectionWriter<K> {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = create(path)?;
        Ok(Self { file, hasher: sha2::Sha256::new(), offset: 0, blocks: Vec::new() })
    }

    pub(super) fn push(&mut self, first: K, content: &[u8]) -> io::Result<()> {
        let compressed = zstd::bulk::compress(content, COMPRESSION_LEVEL)?;
        self.file.write_all(&compressed)?;
        self.hasher.update(&compressed);
        let (length, size) = (compressed.len(), content.len());
        let sha256 = Sha256::of(content);
        self.blocks.push(Block { first, offset: self.offset, length, size, sha256 });
        self.offset += length as u64;
        Ok(())
    }

    /// Ends the file; it is on the disk then.
    pub(super) fn finish(self) -> io::Result<Section<K>> {
        self.file.sync_all()?;
        Ok(Section { sha256: Sha256(self.hasher.finalize().into()), blocks: self.blocks })
    }
}

/// Writes the manifest into `folder`; it and the folder's entries are on the disk then.
pub(super) fn write_manifest(folder: &Path, manifest: &Manifest) -> io::Result<()> {
    let mut file = create(&folder.join(MANIFEST))?;
    file.write_all(&serde_json::to_vec(manifest)?)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

/// An archive that is read. Nothing but the manifest is kept in memory: less than a thousandth of
/// the events.
#[derive(Debug)]
pub(super) struct Archive {
    folder: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) manifest_sha256: Sha256,
}

impl Archive {
    /// Reads the manifest in `folder`, which must have the checksum `expected`, where one is known.
    pub(super) fn open(folder: PathBuf, expected: Option<Sha256>) -> Result<Self, ArchiveError> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read(&path).map_err(|error| ArchiveError::unreadable(&path, error))?;
        let manifest_sha256 = Sha256::of(&text);
        if expected.is_some_and(|expected| expected != manifest_sha256) {
            return Err(ArchiveError::damaged(&path, "its checksum is not the one on record"));
        }
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| ArchiveError::damaged(&path, error))?;
        if manifest.format != FORMAT {
            let what = format!("it has format {}, this build reads {FORMAT}", manifest.format);
            return Err(ArchiveError::damaged(&path, what));
        }
        Ok(Self { folder, manifest, manifest_sha256 })
    }

    pub(super) fn holds(&self, position: Position) -> bool {
        self.manifest.first <= position && position <= self.manifest.last
    }

    /// The events after `after`, which this has the next one of; at most `limit`, and none after
    /// the one with which their payloads exceed `bytes_max`.
    pub(super) fn page(
        &self,
        after: Position,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<RecordedEvent>, ArchiveError> {
        let blocks = &self.manifest.events.blocks;
        let from = blocks.partition_point(|block| block.first <= after.next()).saturating_sub(1);
        let (mut page, mut bytes) = (Vec::new(), 0);
        for number in from..blocks.len() {
            for event in self.events(number, |position| position > after)? {
                if page.len() == limit || bytes > bytes_max {
                    return Ok(page);
                }
                bytes += event.payload.get().len();
                page.push(event);
            }
        }
        Ok(page)
    }

    /// The events at `positions`, which are in order; those that this has of them.
    pub(super) fn at(&self, positions: &[Position]) -> Result<Vec<RecordedEvent>, ArchiveError> {
        let blocks = &self.manifest.events.blocks;
        let mut found = Vec::new();
        let mut rest = positions;
        while let [first, ..] = rest {
            let number = blocks.partition_point(|block| block.first <= *first).saturating_sub(1);
            let end =
                blocks.get(number + 1).map_or_else(|| self.manifest.last.next(), |next| next.first);
            let (here, after) = rest.split_at(rest.partition_point(|one| *one < end));
            if here.is_empty() {
                break;
            }
            found.extend(self.events(number, |position| here.binary_search(&position).is_ok())?);
            rest = after;
        }
        Ok(found)
    }

    /// Where a stream's events are, by version; `limit` of them at most.
    pub(super) fn stream(
        &self,
        stream_id: Uuid,
        limit: usize,
    ) -> Result<Vec<Position>, ArchiveError> {
        let blocks = &self.manifest.streams.blocks;
        // The first that begins with it may have the rest of what the one before ends with.
        let from = blocks.partition_point(|block| block.first < stream_id).saturating_sub(1);
        let mut positions = Vec::new();
        for block in blocks[from..].iter().take_while(|block| block.first <= stream_id) {
            let content = self.block(STREAMS, block)?;
            let entries =
                StreamIndexEntry::all(&content).filter(|entry| entry.stream_id == stream_id);
            positions.extend(entries.map(|entry| entry.position));
            if positions.len() >= limit {
                positions.truncate(limit);
                break;
            }
        }
        Ok(positions)
    }

    /// The events of a block that are wanted.
    pub(super) fn events(
        &self,
        number: usize,
        wanted: impl Fn(Position) -> bool,
    ) -> Result<Vec<RecordedEvent>, ArchiveError> {
        let content = self.events_block(number)?;
        let damaged = |error| ArchiveError::damaged(&self.folder.join(EVENTS), error);
        let mut events = Vec::new();
        let mut position = self.manifest.events.blocks[number].first;
        // Positions are dense: what is not wanted need not be understood.
        for text in serde_json::Deserializer::from_slice(&content).into_iter::<&RawValue>() {
            let text = text.map_err(damaged)?;
            if wanted(position) {
                let line: Line = serde_json::from_str(text.get()).map_err(damaged)?;
                events.push(line.into_event().map_err(damaged)?);
            }
            position = position.next();
        }
        Ok(events)
    }

    /// The lines of a block.
    pub(super) fn events_block(&self, number: usize) -> Result<Vec<u8>, ArchiveError> {
        self.block(EVENTS, &self.manifest.events.blocks[number])
    }

    /// The entries of a block of the stream index.
    pub(super) fn streams_block(&self, number: usize) -> Result<Vec<u8>, ArchiveError> {
        self.block(STREAMS, &self.manifest.streams.blocks[number])
    }

    fn block<K>(&self, file: &str, block: &Block<K>) -> Result<Vec<u8>, ArchiveError> {
        let path = self.folder.join(file);
        let mut compressed = vec![0; block.length];
        File::open(&path)
            .and_then(|file| file.read_exact_at(&mut compressed, block.offset))
            .map_err(|error| ArchiveError::unreadable(&path, error))?;
        let damaged = |what: String| {
            ArchiveError::damaged(&path, format!("the block at byte {}: {what}", block.offset))
        };
        let content = zstd::bulk::decompress(&compressed, block.size)
            .map_err(|error| damaged(error.to_string()))?;
        if Sha256::of(&content) != block.sha256 {
            return Err(damaged("its checksum is not that of the manifest".to_owned()));
        }
        Ok(content)
    }

    /// Reads both files whole and compares their checksums.
    pub(super) fn check_files(&self) -> Result<(), ArchiveError> {
        let Manifest { events, streams, .. } = &self.manifest;
        for (file, sha256) in [(EVENTS, events.sha256), (STREAMS, streams.sha256)] {
            let path = self.folder.join(file);
            let found = checksum(&path).map_err(|error| ArchiveError::unreadable(&path, error))?;
            if found != sha256 {
                let what = format!("its SHA-256 is {found}, the manifest says {sha256}");
                return Err(ArchiveError::damaged(&path, what));
            }
        }
        Ok(())
    }
}

fn checksum(path: &Path) -> io::Result<Sha256> {
    let mut file = File::open(path)?;
    let mut hasher = sha2::Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(Sha256(hasher.finalize().into())),
            read => hasher.update(&chunk[..read]),
        }
    }
}

/// The first file of an archive in `folder` that is not there, if one is missing.
pub(super) fn missing(folder: &Path) -> Option<PathBuf> {
    [MANIFEST, EVENTS, STREAMS]
        .map(|file| folder.join(file))
        .into_iter()
        .find(|path| !path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: i64 = 101;
    const LAST: i64 = 125;
    const STREAMS_COUNT: i64 = 4;
    /// Smaller than any stream, so that each goes across blocks.
    const ENTRIES: usize = 2;
    const LINES: i64 = 3;

    fn stream(n: i64) -> Uuid {
        Uuid::from_u128(0x7000 + u128::from(n.unsigned_abs()))
    }

    fn line(position: i64) -> String {
        serde_json::json!({
            "position": position, "stream_id": stream(position % STREAMS_COUNT), "version": 1,
            "tenant_id": stream(9), "event_id": stream(position), "type": "Happened",
            "schema_version": 1, "epoch": 1, "recorded_at": "2026-01-02T03:04:05.678901Z",
            "aggregate": "thing", "conversation_id": null, "channel": "sms", "priority": null,
            "metadata": {"correlation_id": stream(8), "actor": "test"}, "payload": {"n": position},
        })
        .to_string()
    }

    /// Files of many blocks, which hold few events each.
    fn archive(folder: &Path) -> Archive {
        let mut writer = SectionWriter::create(&folder.join(EVENTS)).expect("made");
        let mut position = FIRST;
        while position <= LAST {
            let lines: Vec<_> = (position..LAST + 1).take(3).map(line).collect();
            writer.push(Position(position), lines.join("\n").as_bytes()).expect("written");
            position += LINES;
        }
        let events = writer.finish().expect("written");
        let mut writer = SectionWriter::create(&folder.join(STREAMS)).expect("made");
        let mut entries: Vec<_> = (FIRST..=LAST).map(|n| (n % STREAMS_COUNT, n)).collect();
        entries.sort_unstable();
        for entries in entries.chunks(ENTRIES) {
            let mut block = Vec::new();
            for (n, position) in entries {
                StreamIndexEntry { stream_id: stream(*n), position: Position(*position) }
                    .write(&mut block);
            }
            writer.push(stream(entries[0].0), &block).expect("written");
        }
        let manifest = Manifest {
            format: FORMAT,
            hatch_version: String::new(),
            created_at: chrono::DateTime::UNIX_EPOCH,
            first: Position(FIRST),
            last: Position(LAST),
            count: 25,
            epochs: [1].into(),
            events,
            streams: writer.finish().expect("written"),
        };
        write_manifest(folder, &manifest).expect("written");
        let archive = Archive::open(folder.to_owned(), None).expect("readable");
        archive.check_files().expect("sound");
        archive
    }

    fn positions(events: &[RecordedEvent]) -> Vec<i64> {
        events.iter().map(|event| event.position.0).collect()
    }

    #[test]
    fn a_page_begins_and_ends_anywhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = archive(folder.path());
        for after in FIRST - 1..LAST {
            for limit in [1, 2, 3, 4, 100] {
                let page = archive.page(Position(after), limit, usize::MAX).expect("readable");
                let expected: Vec<_> = (after + 1..=LAST).take(limit).collect();
                assert_eq!(positions(&page), expected, "{limit} after {after}");
            }
        }
        let payload = archive.page(Position(FIRST), 1, 0).expect("readable")[0].payload.get().len();
        let page = archive.page(Position(FIRST), 100, 3 * payload).expect("readable");
        assert_eq!(page.len(), 4, "it ends with the one that exceeds the bytes");
    }

    #[test]
    fn every_choice_of_positions_is_found_and_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = archive(folder.path());
        for step in 1..9 {
            for from in FIRST..=LAST {
                let chosen: Vec<_> = (from..=LAST).step_by(step).map(Position).collect();
                let found = archive.at(&chosen).expect("readable");
                assert_eq!(found.iter().map(|e| e.position).collect::<Vec<_>>(), chosen);
            }
        }
        assert!(archive.at(&[]).expect("readable").is_empty());
    }

    #[test]
    fn a_stream_is_found_in_all_of_its_blocks() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = archive(folder.path());
        for n in 0..STREAMS_COUNT {
            let expected: Vec<_> =
                (FIRST..=LAST).filter(|p| p % STREAMS_COUNT == n).map(Position).collect();
            assert_eq!(archive.stream(stream(n), 100).expect("readable"), expected);
            assert_eq!(archive.stream(stream(n), 3).expect("readable"), expected[..3]);
        }
        for stranger in [Uuid::nil(), stream(STREAMS_COUNT), Uuid::max()] {
            assert!(archive.stream(stranger, 100).expect("readable").is_empty());
        }
    }
}
