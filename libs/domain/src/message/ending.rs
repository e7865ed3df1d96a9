//! What an event of a message is counted as: how it ended, or that it was sent.

use super::event::MessageEvent;
use super::state::Message;
use super::status::Status;
use crate::decider::Ending;
use crate::{Channel, ErrorClass, SendError};

/// What has no account, and no class.
const NONE: &str = "-";

impl Message {
    /// Asked before the event is applied.
    pub(super) fn ending_by(&self, event: &MessageEvent) -> Option<Ending> {
        use MessageEvent as E;
        if event.recipient().is_some() {
            return self.ending_by_part(event);
        }
        let (outcome, attempt, error) = match event {
            // Said again with the parts of the message, it is news of an old fact.
            E::MessageSent(e) => {
                let attempt = self.find_attempt(e.attempt)?;
                let is_new = attempt.provider_message_id.is_none();
                (is_new.then_some("sent")?, e.attempt, None)
            }
            E::MessageDelivered(e) => ("delivered", e.attempt, None),
            E::MessageUndelivered(e) => ("undelivered", e.attempt, Some(&e.error)),
            E::MessageFailed(e) => {
                let outcome = match e.error.class {
                    ErrorClass::Expired => "expired",
                    _ => "failed",
                };
                (outcome, e.attempt, Some(&e.error))
            }
            E::SendInDoubt(e) => ("in_doubt", e.attempt, None),
            E::MessageCanceled(_) => ("canceled", 0, None),
            E::MessageRequested(_)
            | E::SendAttempted(_)
            | E::SendFailed(_)
            | E::AttemptAbandoned(_)
            | E::MessageReceived(_)
            | E::MessageRead(_)
            | E::MessageDeferred(_)
            | E::RetryRequested(_)
            | E::MessageReread(_)
            | E::MessageJoinedConversation(_)
            | E::DoubtResolved(_)
            | E::RecipientComplained(_)
            | E::RecipientUnsubscribed(_) => return None,
        };
        Some(self.counted(outcome, attempt, error))
    }

    /// What is said of one recipient of several ends the message once it has moved it to an end.
    fn ending_by_part(&self, event: &MessageEvent) -> Option<Ending> {
        use MessageEvent as E;
        let (attempt, error) = match event {
            E::MessageDelivered(e) => (e.attempt, None),
            E::MessageRead(e) => (e.attempt, None),
            E::MessageUndelivered(e) => (e.attempt, Some(&e.error)),
            E::MessageFailed(e) => (e.attempt, Some(&e.error)),
            _ => return None,
        };
        let before = self.status();
        let outcome = match self.recipients.status_by(self.progress, event) {
            after if after == before => return None,
            Status::Read if before == Status::Delivered => return None,
            Status::Delivered | Status::Read => Status::Delivered.as_str(),
            after @ (Status::PartlyDelivered | Status::Undelivered | Status::Failed) => {
                after.as_str()
            }
            _ => return None,
        };
        Some(self.counted(outcome, attempt, error))
    }

    fn counted(&self, outcome: &'static str, attempt: u32, error: Option<&SendError>) -> Ending {
        let account = self.find_attempt(attempt).map_or(NONE, |attempt| attempt.account.as_str());
        Ending {
            outcome,
            channel: self.requested().map_or(NONE, |request| Channel::as_str(request.channel)),
            account: account.to_owned(),
            class: error.map_or(NONE, |SendError { class, .. }| class.as_str()),
        }
    }
}
