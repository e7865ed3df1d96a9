//! What is asked of the appender, and what it answers.

use uuid::Uuid;

use crate::{NewEvent, Position};

/// The state a stream must be in for an append to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// The stream has no event.
    NoStream,
    /// The stream's last event has this version.
    Exact(i64),
    /// The stream has at least one event.
    Exists,
    /// Whatever it is.
    Any,
}

/// Events for one stream.
#[derive(Debug, Clone)]
pub struct StreamWrite {
    /// The stream.
    pub stream_id: Uuid,
    /// Whose stream it is; one of another tenant is refused.
    pub tenant_id: Uuid,
    /// What must hold of it.
    pub expected: ExpectedVersion,
    /// At least one event.
    pub events: Vec<NewEvent>,
}

/// An expectation about a stream that is not written.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    /// The stream.
    pub stream_id: Uuid,
    /// What must hold of it.
    pub expected: ExpectedVersion,
}

/// A client's idempotency key, with what it was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandKey {
    /// UUIDv5 of tenant, route and the client's key.
    pub id: Uuid,
    /// SHA-256 of the normalised request.
    pub request_hash: [u8; 32],
}

/// A row of another table that commits with the events, such as a webhook's audit row.
#[derive(Debug, Clone)]
pub struct SideRow {
    /// The table, schema-qualified.
    pub table: &'static str,
    /// The row as a JSON object; columns it leaves out are NULL.
    pub row: String,
}

/// One command's events, to be appended all or not at all.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// The client's key, where it gave one.
    pub key: Option<CommandKey>,
    /// The streams to write; each at most once.
    pub writes: Vec<StreamWrite>,
    /// Expectations about other streams.
    pub guards: Vec<Guard>,
    /// Rows that commit with the events.
    pub side_rows: Vec<SideRow>,
}

/// What an append came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// Its events are committed.
    Committed {
        /// Position of its first event.
        first: Position,
        /// Position of its last event; the log's head when it had none.
        last: Position,
    },
    /// The same key and request were committed before, at these positions.
    Duplicate {
        /// Position of the first event of that time.
        first: Position,
        /// Position of the last event of that time.
        last: Position,
    },
}

/// Why nothing was appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// A stream is not in the expected state: decide again on its new state.
    #[error("stream {stream_id} is at version {actual}, expected {expected:?}")]
    Conflict {
        /// The stream, written or guarded.
        stream_id: Uuid,
        /// What was expected.
        expected: ExpectedVersion,
        /// Its version; 0 when it does not exist.
        actual: i64,
    },
    /// The key was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// The stream belongs to another tenant.
    #[error("stream {0} belongs to another tenant")]
    ForeignTenant(Uuid),
    /// It breaks a limit, or PostgreSQL refuses a value of it.
    #[error("the log refuses the events: {0}")]
    Refused(String),
    /// The queue is full: try again later.
    #[error("the append queue is full")]
    Overloaded,
    /// PostgreSQL did not answer in time; the events may yet be committed.
    #[error("the log is unavailable")]
    Unavailable,
}
