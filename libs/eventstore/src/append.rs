//! The request to the appender and its answer.

use std::collections::HashSet;

use uuid::Uuid;

use crate::{NewEvent, Position};

/// Events of a batch, and of a command, at most.
pub(crate) const BATCH_EVENTS_MAX: usize = 512;

/// Bytes of a batch, and of a command, at most.
pub(crate) const BATCH_BYTES_MAX: usize = 1024 * 1024;

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

impl ExpectedVersion {
    /// Whether a stream at version `actual` is in this state; 0 is a stream without events.
    #[must_use]
    pub const fn holds(self, actual: i64) -> bool {
        match self {
            Self::NoStream => actual == 0,
            Self::Exact(version) => actual == version,
            Self::Exists => actual > 0,
            Self::Any => true,
        }
    }
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
    /// At least one event. Their aggregate is the stream's kind: a stream of another kind is refused.
    pub events: Vec<NewEvent>,
}

impl StreamWrite {
    /// The kind of the stream: the aggregate that its events name.
    pub(crate) fn kind(&self) -> &'static str {
        self.events.first().map_or("", |event| event.routing.aggregate)
    }
}

/// An expectation about a stream that is not written.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    /// The stream.
    pub stream_id: Uuid,
    /// Whose stream it is; one of another tenant is refused.
    pub tenant_id: Uuid,
    /// Its kind, such as `message`; a stream of another kind is refused.
    pub kind: &'static str,
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

/// A table whose rows can commit with events.
#[derive(Debug)]
pub struct SideTable {
    /// Its name, schema-qualified.
    pub name: &'static str,
    /// The names and types of the columns that are written; the others get their default. The first one
    /// names the row: no two rows have the same value there, and none has NULL.
    pub columns: &'static [(&'static str, &'static str)],
}

/// A row of another table that commits with the events, such as a webhook's audit row.
#[derive(Debug, Clone)]
pub struct SideRow {
    /// The table.
    pub table: &'static SideTable,
    /// A value for each of the table's columns, in PostgreSQL's text form of the column's type;
    /// none is NULL.
    pub values: Vec<Option<String>>,
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
    /// Whether its events allow something to be sent: then it is refused while the fence is closed.
    pub sends: bool,
}

/// Streams and side rows of one command at most, each.
const PARTS_MAX: usize = 256;

/// Guards of one command at most: a mail has one for each of its recipients.
const GUARDS_MAX: usize = 1_024;

/// What an event, a guard or a side row takes beside its text, about.
const OVERHEAD_BYTES: usize = 256;

impl Append {
    /// Whether there is nothing to append, and nothing to check.
    pub(crate) const fn is_empty(&self) -> bool {
        self.key.is_none()
            && self.writes.is_empty()
            && self.guards.is_empty()
            && self.side_rows.is_empty()
    }

    /// How many events it has.
    pub(crate) fn events(&self) -> usize {
        self.writes.iter().map(|write| write.events.len()).sum()
    }

    /// How many bytes it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let events = self.writes.iter().flat_map(|write| &write.events);
        let events = events.map(|event| OVERHEAD_BYTES + event.payload.len());
        let rows = self.side_rows.iter().map(|side| OVERHEAD_BYTES + side.bytes());
        let guards = OVERHEAD_BYTES * self.guards.len();
        OVERHEAD_BYTES + guards + events.chain(rows).sum::<usize>()
    }

    /// Every stream that it guards or writes; of those that it is to begin only if `check_existing`, because if
    /// they exist, inserting them fails.
    pub(crate) fn stream_ids(&self, check_existing: bool) -> impl Iterator<Item = Uuid> {
        let read = move |write: &&StreamWrite| {
            check_existing || write.expected != ExpectedVersion::NoStream
        };
        let written = self.writes.iter().filter(read).map(|write| write.stream_id);
        written.chain(self.guards.iter().map(|guard| guard.stream_id))
    }

    /// The kinds of the streams that it writes or guards.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        let written = self.writes.iter().map(StreamWrite::kind);
        written.chain(self.guards.iter().map(|guard| guard.kind))
    }

    /// Refuses what breaks a limit, before it takes a place in the queue.
    pub(crate) fn check(&self) -> Result<(), AppendError> {
        let refuse = |why: &str| Err(AppendError::Refused(why.to_owned()));
        if self.writes.iter().any(|write| write.events.is_empty()) {
            return refuse("a stream is written without events");
        }
        let is_mixed = |write: &StreamWrite| {
            write.events.iter().any(|event| event.routing.aggregate != write.kind())
        };
        if self.writes.iter().any(is_mixed) {
            return refuse("the events of a stream are of several kinds");
        }
        let mut streams = HashSet::new();
        // Most write one stream, and need no set.
        if self.writes.len() > 1 && !self.writes.iter().all(|write| streams.insert(write.stream_id))
        {
            return refuse("a stream is written twice in one command");
        }
        let parts = [self.writes.len(), self.side_rows.len()];
        if parts.into_iter().any(|count| count > PARTS_MAX) || self.guards.len() > GUARDS_MAX {
            return refuse("too many streams, guards or side rows");
        }
        if self.events() > BATCH_EVENTS_MAX || self.bytes() > BATCH_BYTES_MAX {
            return refuse("too many events or bytes in one command");
        }
        if !self.side_rows.iter().all(SideRow::is_plain) {
            return refuse("a side row has other columns than its table, or no plain names");
        }
        Ok(())
    }
}

impl SideRow {
    fn bytes(&self) -> usize {
        self.values.iter().flatten().map(String::len).sum()
    }

    /// Whether there is one value for each column and one that names the row, and every name can stand in
    /// SQL as it is.
    fn is_plain(&self) -> bool {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.';
        let SideTable { name, columns } = self.table;
        let mut names = columns.iter().flat_map(|(name, kind)| [name, kind]).chain([name]);
        self.values.len() == columns.len()
            && self.values.first().is_some_and(Option::is_some)
            && names.all(|name| !name.is_empty() && name.bytes().all(plain))
    }
}

/// The result of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// Its events are committed.
    Committed {
        /// Position of its first event; the log's head when it had none.
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

impl Appended {
    /// Position of the command's last event, or the log's head when it had none.
    #[must_use]
    pub const fn last(&self) -> Position {
        match self {
            Self::Committed { last, .. } | Self::Duplicate { last, .. } => *last,
        }
    }
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
        /// Whether it is guarded only, and not written.
        guarded: bool,
    },
    /// The key was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// The stream belongs to another tenant.
    #[error("stream {0} belongs to another tenant")]
    ForeignTenant(Uuid),
    /// The stream is of another kind.
    #[error("stream {0} is of another kind")]
    ForeignKind(Uuid),
    /// It allows something to be sent, and the fence is closed.
    #[error("the fence is closed")]
    Fenced,
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

impl AppendError {
    /// Whether it is the conflict of another stream than this one.
    pub(crate) fn is_of_other(&self, stream_id: Uuid) -> bool {
        matches!(self, Self::Conflict { stream_id: of, .. } if *of != stream_id)
    }
}
