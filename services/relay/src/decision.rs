//! Where publishing goes on: a function of the stream's end and of what the log says about it.

use hatch_bus::{Last, StreamState};
use uuid::Uuid;

/// What the log says, read after the stream's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogState {
    /// Its last position.
    pub(crate) head: i64,
    /// The id of its event at the position that the stream's last message names, if it has one.
    pub(crate) event_at_last: Option<Uuid>,
    /// The last generation of the stream on record and its first position.
    pub(crate) recorded: Option<(i32, i64)>,
    /// Whether somebody found something foreign in it.
    pub(crate) foreign: bool,
    /// A generation, and the last position that this relay knows to have been stored there; zeros
    /// when it has published nothing.
    pub(crate) stored: (i32, i64),
    /// Whether a message stands among those after it that is not the event of its position: the rest
    /// of a window is stored around a foreign one as if nothing had happened.
    pub(crate) mixed: bool,
    /// Whether the stream has an event of hatch's own just beyond the head. Looked for where its end is
    /// foreign: whoever wrote that may want to hide it.
    pub(crate) beyond: bool,
    /// Whether the log is in a newer epoch than the last generation on record: somebody decided that
    /// this log, as it is, is the one to go on with.
    pub(crate) newer_epoch: bool,
}

/// Where publishing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// In this generation, after this position.
    Resume { generation: i32, after: i64 },
    /// In a new generation that begins at this position.
    NewGeneration { first_position: i64 },
    /// Nowhere.
    Halt(LogRegressed),
}

/// The stream holds an event that the log lacks: the log was restored or failed over with a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogRegressed {
    /// The stream goes further than the log.
    #[error("the bus is at position {bus}, the log ends at {head}")]
    Ahead { bus: i64, head: i64 },
    /// Another event stands at the position.
    #[error("at position {position} the bus has event {bus}, the log another")]
    OtherEvent { position: i64, bus: Uuid },
    /// No event stands at the position, although the log goes further.
    #[error("the bus is at position {position}, which the log lacks")]
    Missing { position: i64 },
}

/// Decides where publishing goes on.
pub(crate) fn decide(stream: StreamState, log: LogState) -> Decision {
    let at_head = Decision::NewGeneration { first_position: log.head + 1 };
    let StreamState::Present { generation, first_position, last_sequence, last } = stream else {
        return if log.recorded.is_some() {
            at_head
        } else {
            Decision::NewGeneration { first_position: 1 }
        };
    };
    // Events of an epoch that has ended are no longer used.
    if log.newer_epoch {
        return at_head;
    }
    match verify(last_sequence, last, log) {
        // A stranger who can reach NATS can make a stream of any name.
        Verdict::Good if log.recorded != Some((generation, first_position)) => at_head,
        Verdict::Good if log.foreign => at_head,
        // The server lost what it had acknowledged; who reads there may be ahead of it.
        Verdict::Good if log.stored.0 == generation && last_sequence < log.stored.1 => at_head,
        Verdict::Good if log.mixed => at_head,
        Verdict::Good => Decision::Resume { generation, after: last_sequence },
        Verdict::Foreign => at_head,
        Verdict::Regressed(regressed) => Decision::Halt(regressed),
    }
}

enum Verdict {
    Good,
    Foreign,
    Regressed(LogRegressed),
}

fn verify(last_sequence: i64, last: Last, log: LogState) -> Verdict {
    match last {
        Last::Foreign(_) if log.beyond => {
            let bus = log.head + 1;
            return Verdict::Regressed(LogRegressed::Ahead { bus, head: log.head });
        }
        Last::Foreign(_) => return Verdict::Foreign,
        Last::Event { position, .. } if position != last_sequence => return Verdict::Foreign,
        // A stream without a message has nothing that proves how far it ever was.
        Last::Empty if last_sequence > log.head => return Verdict::Foreign,
        Last::Event { .. } if last_sequence > log.head => {
            return Verdict::Regressed(LogRegressed::Ahead { bus: last_sequence, head: log.head });
        }
        Last::Event { .. } | Last::Empty => {}
    }
    match (last, log.event_at_last) {
        (Last::Event { event_id, .. }, Some(same)) if same == event_id => Verdict::Good,
        (Last::Event { position, event_id }, Some(_)) => {
            Verdict::Regressed(LogRegressed::OtherEvent { position, bus: event_id })
        }
        (Last::Event { position, .. }, None) => {
            Verdict::Regressed(LogRegressed::Missing { position })
        }
        // New, or all of it aged out: there is nothing that could contradict the log.
        (Last::Empty | Last::Foreign(_), _) => Verdict::Good,
    }
}

#[cfg(test)]
mod tests;
