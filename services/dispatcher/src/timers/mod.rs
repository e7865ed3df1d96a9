//! The timers: when somebody has to look at each message that is not final. A projection of the log,
//! folded some seconds behind its head, so that messages which finish quickly never touch the table.

pub(crate) mod fold;
pub(crate) mod follow;
pub(crate) mod observe;
pub(crate) mod store;
#[cfg(test)]
mod tests;

pub(crate) use store::{DueTimer, Timers};

/// Why the timers cannot be folded or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the timers are at position {0}, which the log lacks or has in another epoch")]
    Ahead(hatch_eventstore::Position),
    #[error(transparent)]
    Checkpoint(#[from] hatch_eventstore::CheckpointError),
    #[error("the log cannot be followed")]
    Log(#[from] hatch_eventstore::LogError),
    #[error("no answer from the timers' database")]
    Unanswered(#[from] hatch_eventstore::Unanswered),
    #[error("the timers' database refused or was lost")]
    Postgres(#[from] tokio_postgres::Error),
}
