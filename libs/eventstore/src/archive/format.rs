//! What is in the files of an archive.
//!
//! A folder holds three. `events.ndjson.zst` is events in position order, one JSON object a line,
//! in blocks that are compressed on their own: one block is read for one event, and `zstd -d` makes
//! text of the whole. `streams.zst` has the id and position of every event, by stream and version.
//! `manifest.json` has their checksums, and where each block is.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::Digest as _;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::rows::event_columns;
use crate::{Position, RecordedEvent};

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const EVENTS: &str = "events.ndjson.zst";
pub(super) const STREAMS: &str = "streams.zst";

/// The version of all this.
pub(super) const FORMAT: u32 = 1;

/// Bytes of an [`StreamIndexEntry`].
pub(super) const ENTRY_BYTES: usize = 24;

/// What an archive holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) hatch_version: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) first: Position,
    pub(super) last: Position,
    pub(super) count: usize,
    /// In which the events were written.
    pub(super) epochs: BTreeSet<i32>,
    pub(super) events: Section<Position>,
    pub(super) streams: Section<Uuid>,
}

/// One of the two files.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section<K> {
    /// Of the file.
    pub(super) sha256: Sha256,
    pub(super) blocks: Vec<Block<K>>,
}

/// What can be read by itself.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Block<K> {
    /// The first position, or the first stream, that it has.
    pub(super) first: K,
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// Its bytes there.
    pub(super) length: usize,
    /// Its bytes uncompressed.
    pub(super) size: usize,
    /// Of the uncompressed bytes.
    pub(super) sha256: Sha256,
}

/// A checksum; as text it is hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Sha256(pub(super) [u8; 32]);

impl Sha256 {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<Sha256> for String {
    fn from(sha256: Sha256) -> Self {
        sha256.to_string()
    }
}

impl FromStr for Sha256 {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a SHA-256 is 64 hexadecimal digits";
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() || !text.is_ascii() {
            return Err(wrong);
        }
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).map_err(|_| wrong)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// The columns of a [`Line`], in the order that [`Line::read`] reads them.
pub(super) const COLUMNS: &str = event_columns!();

/// An event as it is in the file. The JSON of metadata and payload is kept byte for byte.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) position: Position,
    stream_id: Uuid,
    version: i64,
    tenant_id: Uuid,
    event_id: Uuid,
    #[serde(rename = "type")]
    event_type: String,
    schema_version: i16,
    pub(super) epoch: i32,
    recorded_at: DateTime<Utc>,
    aggregate: String,
    conversation_id: Option<Uuid>,
    channel: Option<String>,
    priority: Option<String>,
    metadata: Box<RawValue>,
    payload: Box<RawValue>,
}

impl Line {
    pub(super) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            position: Position(row.try_get(0)?),
            stream_id: row.try_get(1)?,
            version: row.try_get(2)?,
            tenant_id: row.try_get(3)?,
            event_id: row.try_get(4)?,
            event_type: row.try_get(5)?,
            schema_version: row.try_get(6)?,
            epoch: row.try_get(7)?,
            recorded_at: row.try_get(8)?,
            aggregate: row.try_get(9)?,
            conversation_id: row.try_get(10)?,
            channel: row.try_get(11)?,
            priority: row.try_get(12)?,
            metadata: row.try_get::<_, Json<_>>(13)?.0,
            payload: row.try_get::<_, Json<_>>(14)?.0,
        })
    }

    /// Adds it to `block`.
    pub(super) fn write(&self, block: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(&mut *block, self)?;
        block.push(b'\n');
        Ok(())
    }

    pub(super) fn into_event(self) -> serde_json::Result<RecordedEvent> {
        Ok(RecordedEvent {
            metadata: serde_json::from_str(self.metadata.get())?,
            position: self.position,
            stream_id: self.stream_id,
            version: self.version,
            tenant_id: self.tenant_id,
            event_id: self.event_id,
            event_type: self.event_type,
            schema_version: self.schema_version,
            epoch: self.epoch,
            recorded_at: self.recorded_at,
            aggregate: self.aggregate,
            conversation_id: self.conversation_id,
            channel: self.channel,
            priority: self.priority,
            payload: self.payload,
        })
    }
}

/// An event of the stream index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamIndexEntry {
    pub(super) stream_id: Uuid,
    pub(super) position: Position,
}

impl StreamIndexEntry {
    pub(super) fn write(self, block: &mut Vec<u8>) {
        block.extend_from_slice(self.stream_id.as_bytes());
        block.extend_from_slice(&self.position.0.to_be_bytes());
    }

    /// The entries of a block; what is no whole entry is left out.
    pub(super) fn all(block: &[u8]) -> impl Iterator<Item = Self> {
        block.chunks_exact(ENTRY_BYTES).filter_map(|bytes| {
            let (id, position) = bytes.split_at(16);
            Some(Self {
                stream_id: Uuid::from_slice(id).ok()?,
                position: Position(i64::from_be_bytes(position.try_into().ok()?)),
            })
        })
    }
}
