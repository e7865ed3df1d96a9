//! The rows of the log: how they are read, and what a read can fail of.

use std::pin::pin;
use std::time::Duration;

use deadpool_postgres::PoolError;
use futures::TryStreamExt;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use crate::archive::ArchiveError;
use crate::{Connection, Position, RecordedEvent, Unanswered};

/// How long one read may take, the wait for a connection included.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(4);

/// Events of one stream at most; streams are short by design.
pub const STREAM_EVENTS_MAX: usize = 10_000;

/// The columns of an event, in the order that [`event`] reads them.
macro_rules! event_columns {
    () => {
        "position, stream_id, version, tenant_id, event_id, type, schema_version, epoch, \
         recorded_at, aggregate, conversation_id, channel, priority, metadata, payload"
    };
}

macro_rules! select_events {
    ($rest:literal) => {
        concat!("SELECT ", $crate::rows::event_columns!(), " FROM es.events ", $rest)
    };
}

pub(crate) use event_columns;
pub(crate) use select_events;

pub(crate) const HEAD: &str = "SELECT coalesce(max(position), 0) FROM es.events";
pub(crate) const STREAMS: &str = select_events!(
    "WHERE stream_id = ANY($1) AND tenant_id = ANY($2) ORDER BY stream_id, version LIMIT $3"
);

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// PostgreSQL did not answer, or not in time: try again later.
    #[error("the log is unavailable")]
    Unavailable(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// Positions are missing, in the tables and in the archives: the log is damaged.
    #[error("the log has a gap: position {expected} is missing before {found}")]
    Gap {
        /// The position that should have come.
        expected: Position,
        /// The one that came.
        found: Position,
    },
    /// The reader has seen more than the log holds: the database was restored, cloned or failed
    /// over with a loss.
    #[error(
        "LOG_REGRESSED: the log ends at position {head}, {seen} was read before: restore the whole \
         database from one backup, or rebuild what is ahead of the log"
    )]
    Regressed {
        /// The position that the reader came with.
        seen: Position,
        /// The last position there is.
        head: Position,
    },
    /// A stream's versions are not 1, 2, 3, ...
    #[error("stream {stream_id} has a gap: version {expected} is missing before {found}")]
    StreamGap {
        /// The stream.
        stream_id: Uuid,
        /// The version that should have come.
        expected: i64,
        /// The one that came.
        found: i64,
    },
    /// A stream is longer than any should be.
    #[error("stream {0} has more than {STREAM_EVENTS_MAX} events")]
    StreamTooLong(Uuid),
    /// Events that were moved to files cannot be read from them.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A row cannot be read as an event.
    #[error("read a row of the log")]
    Malformed(#[source] tokio_postgres::Error),
}

impl LogError {
    /// Whether trying again later can help. Every other error means that the log, or this reader's
    /// idea of it, is damaged: the reader halts.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Archive(ArchiveError::Unreadable { .. }))
    }
}

impl From<Unanswered> for LogError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Connect(PoolError::Backend(error)) => unavailable(error),
            unanswered => Self::Unavailable(Some(Box::new(unanswered))),
        }
    }
}

/// The record of a client's idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedCommand {
    /// SHA-256 of the request that it was used for.
    pub request_hash: [u8; 32],
    /// Position of the first event of that time.
    pub first: Position,
    /// Position of the last event of that time.
    pub last: Position,
}

impl RecordedCommand {
    /// Reads hash, first and last position from `row`, beginning at column `start`.
    pub(crate) fn read(row: &Row, start: usize) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            // The table checks the length.
            request_hash: row.try_get::<_, &[u8]>(start)?.try_into().unwrap_or_default(),
            first: Position(row.try_get(start + 1)?),
            last: Position(row.try_get(start + 2)?),
        })
    }
}

/// The rows of `sql` as events; stops when their payloads exceed `bytes_max`.
pub(crate) async fn read(
    client: &Connection,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
    bytes_max: usize,
) -> Result<Vec<RecordedEvent>, LogError> {
    let statement = client.prepare_cached(sql).await.map_err(unavailable)?;
    let rows = client.query_raw(&statement, parameters.iter().copied());
    let mut rows = pin!(rows.await.map_err(unavailable)?);
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await.map_err(unavailable)? {
        let event = event(&row).map_err(LogError::Malformed)?;
        bytes += event.payload.get().len();
        events.push(event);
        if bytes > bytes_max {
            break;
        }
    }
    Ok(events)
}

/// The event of a row that has all columns.
pub(crate) fn event(row: &Row) -> Result<RecordedEvent, tokio_postgres::Error> {
    Ok(RecordedEvent {
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

pub(crate) fn unavailable(error: tokio_postgres::Error) -> LogError {
    LogError::Unavailable(Some(Box::new(error)))
}
