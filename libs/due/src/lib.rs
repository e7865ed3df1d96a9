//! What is due: when somebody has to look at a stream again, of whatever kind it is.
//!
//! Events say when ([`DueKind::due`]). They are folded into timers some seconds behind the log's head, for each kind by
//! itself, so that what finishes quickly never touches the table. Sweepers take what is due by PostgreSQL's clock,
//! which is one for all of them, and hand each stream to its kind's [`Handler`]. They read PostgreSQL only: nothing
//! that is due depends on what a bus remembers.
//!
//! To have something be due of another kind of stream: implement [`DueKind`] and [`Handler`], and run [`follow::run`] and
//! a [`Sweeper`] for it. A new kind is folded from the log's first event on.

mod fold;
pub mod follow;
mod kind;
mod lines;
mod observe;
mod parked;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod turns;

use hatch_eventstore::schema::Schema;

pub use follow::{Halts, Lag};
pub use kind::{DueKind, DueTime, KeptNote, WorkClass};
pub use lines::{InLine, LINES, LastTurns, Line, Look, Released, Standing, Turn, in_lines};
pub use observe::{TimersReport, observe, undecodable};
pub use parked::Parked;
pub use store::{DueTimer, Timers};
pub use sweep::{FindRoom, Handler, Lane, Permit, Sweeper};

mod embedded {
    refinery::embed_migrations!("../../schema/due");
}

/// The timers' table. It is migrated after the event store's schema, which makes the role that is granted
/// privileges here.
pub const SCHEMA: Schema = Schema::new("due", embedded::migrations::runner);

/// Why timers cannot be folded or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log and the timers are not of one database.
    #[error("the timers are at position {0}, which the log lacks or has in another epoch")]
    Ahead(hatch_eventstore::Position),
    /// The checkpoint was moved by another process, or cannot be moved.
    #[error(transparent)]
    Checkpoint(#[from] hatch_eventstore::CheckpointError),
    /// The log cannot be read.
    #[error("the log cannot be followed")]
    Log(#[from] hatch_eventstore::LogError),
    /// There is no connection, or no answer in time.
    #[error("no answer from the timers' database")]
    Unanswered(#[from] hatch_eventstore::Unanswered),
    /// PostgreSQL refused or was lost.
    #[error("the timers' database refused or was lost")]
    Postgres(#[from] tokio_postgres::Error),
}
