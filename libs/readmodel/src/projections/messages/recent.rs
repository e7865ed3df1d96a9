//! The messages that began lately, as the pages applied since then leave them.
//!
//! Most events of a message come within a second of its first. A projector that has applied that one
//! knows where the message stands, and need not read it back. Only messages whose first event it has
//! applied itself are remembered: what is remembered is told by the log alone, whatever was done to
//! the tables meanwhile, and good for as long as the checkpoint moves in no other hands.

use std::collections::{BTreeMap, HashMap};

use hatch_domain::ids::MessageId;
use hatch_domain::message::status::Status;

use super::fold::{MessageFact, MessageRows, StateRow};

/// Twice as many messages, and those of a page, are remembered at most.
pub(crate) const MESSAGES_MAX: usize = 4_096;

/// The rows of the last pages, which a projector remembers so that it need not read them.
#[derive(Debug, Default)]
pub(crate) struct RecentMessages {
    states: HashMap<MessageId, StateRow>,
    /// Those of before the last time that there were too many.
    older: HashMap<MessageId, StateRow>,
}

impl RecentMessages {
    /// Takes out what is known of the messages that `facts` go on with.
    pub(crate) fn take(&mut self, facts: &[MessageFact]) -> BTreeMap<MessageId, StateRow> {
        let mut known = BTreeMap::new();
        for id in facts.iter().map(MessageFact::message_id) {
            if let Some(state) = self.states.remove(&id).or_else(|| self.older.remove(&id)) {
                known.insert(id, state);
            }
        }
        known
    }

    /// Remembers the messages of a page that was applied: those that began in it, and those that were
    /// `known` before it. `rows` are as they were written.
    pub(crate) fn keep(&mut self, rows: MessageRows, known: &[MessageId]) {
        let began: Vec<MessageId> = rows.contents.iter().map(|content| content.id).collect();
        let mut states = rows.states;
        for id in began.iter().chain(known) {
            // What is settled is seldom heard of again.
            let open = |row: &StateRow| !is_settled(row.state.progress.status);
            if let Some(state) = states.remove(id).filter(open) {
                self.states.insert(*id, state);
            }
        }
        if self.states.len() > MESSAGES_MAX {
            self.older = std::mem::take(&mut self.states);
        }
    }
}

const fn is_settled(status: Status) -> bool {
    matches!(
        status,
        Status::Delivered
            | Status::Read
            | Status::Undelivered
            | Status::PartlyDelivered
            | Status::Failed
            | Status::Canceled
            | Status::Received
    )
}
