//! The errors between the log and the tables.

use hatch_domain::DecodeError;
use hatch_eventstore::{CheckpointError, LogError, Position, Unanswered};

/// Why rows could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A message event that this build does not know. It halts the projection; it is never skipped.
    #[error("event {event_type} at position {position} cannot be read")]
    Undecodable {
        /// The event's position.
        position: Position,
        /// The event's type.
        event_type: String,
        /// What the domain made of it.
        #[source]
        source: DecodeError,
    },
    /// A message event that does not fit its message's row: a second beginning, or something that
    /// happened to a message that never began. No log that hatch wrote holds one.
    #[error("event {event_type} at position {position} does not fit its message")]
    Misplaced {
        /// The event's position.
        position: Position,
        /// The event's type.
        event_type: String,
    },
    /// The page does not go on where the tables stand, or has a gap.
    #[error("expected the event at position {expected}, got the one at {found}")]
    NotContiguous {
        /// The position that should have come.
        expected: Position,
        /// The one that came.
        found: Position,
    },
    /// The log of the tables' own database does not have the event: it is of another server's log.
    #[error("the event at position {position} is not in the log of the read model's own database")]
    Foreign {
        /// The event's position.
        position: Position,
    },
    /// The checkpoint cannot be loaded or moved; fenced, if another projector moved it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A row holds a status that this build does not know; a newer hatch wrote it.
    #[error("status {0} in the read model is unknown to this build")]
    UnknownStatus(String),
    /// A content that is kept beside the log is damaged, or of a newer build.
    #[error("a content beside the log cannot be read: {0}")]
    Content(&'static str),
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[from] LogError),
    /// No connection to PostgreSQL, or no answer in time.
    #[error("no answer from the read model's database")]
    Unanswered(#[from] Unanswered),
    /// PostgreSQL refused or was lost.
    #[error("the read model's database refused or was lost")]
    Postgres(#[from] tokio_postgres::Error),
}

impl Error {
    /// Whether PostgreSQL is away or busy, so that the same may well succeed later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Unanswered(_) => true,
            Self::Log(error) => error.is_unavailable(),
            Self::Checkpoint(CheckpointError::Postgres(error)) | Self::Postgres(error) => {
                is_passing(error)
            }
            _ => false,
        }
    }

    /// Whether the events are of another server's log.
    #[must_use]
    pub const fn is_foreign(&self) -> bool {
        matches!(self, Self::Foreign { .. })
    }

    /// Whether another projector moved the checkpoint.
    #[must_use]
    pub const fn is_fenced(&self) -> bool {
        matches!(self, Self::Checkpoint(CheckpointError::Fenced { .. }))
    }
}

/// Why tables could not be rebuilt or verified.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// One at a time.
    #[error("{0} is already being rebuilt or verified: wait until that has ended")]
    Busy(&'static str),
    /// The session may not make tables for the live ones' owner.
    #[error(
        "only {0}, who owns the tables, can do this: set HATCH_DATABASE_URL to the one that \
         `hatch migrate` uses"
    )]
    NotOwner(String),
    /// Readers kept the views busy without a pause.
    #[error(
        "the read models were in use without a pause, so the rebuilt tables could not take over; \
         nothing has changed: end long transactions that read them, then try again"
    )]
    InUse,
    /// What a projector or a query fails of, too.
    #[error(transparent)]
    ReadModel(#[from] Error),
}

impl From<Unanswered> for MaintenanceError {
    fn from(unanswered: Unanswered) -> Self {
        Self::ReadModel(Error::Unanswered(unanswered))
    }
}

impl From<tokio_postgres::Error> for MaintenanceError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::ReadModel(Error::Postgres(error))
    }
}

/// Whether what ails PostgreSQL passes: connection, a server that is read-only after a failover,
/// resources, an operator, the system; serialisation and locks. An error without a code is one of the
/// connection.
fn is_passing(error: &tokio_postgres::Error) -> bool {
    const CLASSES: [&str; 7] = ["08", "25", "40", "53", "55", "57", "58"];
    error.code().is_none_or(|code| CLASSES.iter().any(|class| code.code().starts_with(class)))
}
