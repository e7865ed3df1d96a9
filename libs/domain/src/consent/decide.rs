//! What a consent decides. What is so already is no event, and nor is what was said before the last word.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::command::ConsentCommand;
use super::event::{ConsentEvent, Evidence};
use super::{Blocker, Consent, Wish};

/// By how much the clocks of two processes may differ: a withdrawal that is older by no more than this counts.
const CLOCKS_DIFFER_MAX: TimeDelta = TimeDelta::seconds(60);

impl Consent {
    pub(super) fn decide_command(&self, command: &ConsentCommand) -> Vec<ConsentEvent> {
        let wish = self.wish.map(|(wish, _)| wish);
        let is_new = |receipt: Option<Uuid>| receipt.is_none_or(|id| !self.receipts.contains(&id));
        let event: Option<ConsentEvent> = match command {
            ConsentCommand::Give(given) => (wish != Some(Wish::OptedIn)
                && self.is_last_word(&given.evidence, given.at))
            .then(|| given.clone().into()),
            ConsentCommand::GiveBack(given) => (wish == Some(Wish::OptedOut)
                && self.is_last_word(&given.evidence, given.at))
            .then(|| given.clone().into()),
            ConsentCommand::Withdraw(withdrawn) => (wish != Some(Wish::OptedOut)
                && self.is_last_word(&withdrawn.evidence, withdrawn.at + CLOCKS_DIFFER_MAX))
            .then(|| withdrawn.clone().into()),
            ConsentCommand::Block(blocked) => {
                let blocker = Blocker::of(&blocked.provider, &blocked.account);
                let lifted = self.lifted.get(&blocker);
                let changes = !self.blocks.contains_key(&blocker)
                    && lifted.is_none_or(|lifted| blocked.at >= *lifted);
                (changes && is_new(blocked.receipt_id)).then(|| blocked.clone().into())
            }
            ConsentCommand::Unblock(lifted) => {
                let since = self.blocks.get(&Blocker::of(&lifted.provider, &lifted.account));
                let changes = since.is_some_and(|since| lifted.at >= *since);
                (changes && is_new(lifted.receipt_id)).then(|| lifted.clone().into())
            }
            ConsentCommand::Answer(answer) => {
                self.answers.admits(answer.confirms, answer.at).then(|| answer.clone().into())
            }
        };
        event.into_iter().collect()
    }

    /// Whether nothing was said of the wish after `at`. A message may be read long after it came, from the
    /// quarantine; what a client says is said now.
    fn is_last_word(&self, evidence: &Evidence, at: DateTime<Utc>) -> bool {
        match evidence {
            Evidence::Message { .. } => self.wish.is_none_or(|(_, since)| at >= since),
            Evidence::Request { .. } => true,
        }
    }
}
