//! How a kind of streams defines its timers.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use hatch_domain::Decider;
use hatch_eventstore::RecordedEvent;
use uuid::Uuid;

/// A kind of streams of which something can be due. All of it is pure but [`keep`](Self::keep).
pub trait DueKind: Send + Sync + 'static {
    /// Decides on its streams; the timers have its kind.
    type Stream: Decider + 'static;

    /// What is kept of some events beside their stream's timer.
    type Note: Clone + Debug + PartialEq + Send + Sync;

    /// The name of its fold among the checkpoints, and its version.
    const CHECKPOINT: (&'static str, i32);

    /// What an event says of its stream's due time.
    fn due(event: &<Self::Stream as Decider>::Event) -> DueTime;

    /// The lane and priority of a stream, from the columns of an event whose payload this build may not be able to
    /// read.
    fn place(recorded: &RecordedEvent) -> WorkClass;

    /// For whom a stream waits from its event on, where the event parks it and says so.
    fn waits_for(_event: &<Self::Stream as Decider>::Event) -> Option<String> {
        None
    }

    /// What is kept of an event, if anything is.
    fn note(_event: &<Self::Stream as Decider>::Event) -> Option<Self::Note> {
        None
    }

    /// Writes what is kept of events, in the transaction in which their timers are.
    fn keep(
        _transaction: &Transaction<'_>,
        _kept: &[KeptNote<Self::Note>],
    ) -> impl Future<Output = Result<(), tokio_postgres::Error>> + Send {
        async { Ok(()) }
    }
}

/// The lane and the priority of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkClass {
    /// The lane. A sweeper takes the streams of its lanes.
    pub lane: &'static str,
    /// How urgent.
    pub priority: &'static str,
}

/// What is kept of an event beside its stream's timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptNote<N> {
    /// Whose stream it is.
    pub tenant_id: Uuid,
    /// The stream.
    pub stream_id: Uuid,
    /// What is kept.
    pub note: N,
}

/// What an event says of its stream's due time. One event alone tells, so that progress never depends on anything
/// being remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueTime {
    /// Look at it at this time; what is to be done then, the stream itself says.
    At {
        /// The step that the event speaks of, such as an attempt; none when it speaks of the next one.
        step: Option<u32>,
        /// When.
        at: DateTime<Utc>,
    },
    /// This step, and those before it, need nobody any more. A later one keeps its time.
    Settled {
        /// The step.
        step: u32,
    },
    /// Nothing is left to be done for the stream.
    Over,
}
