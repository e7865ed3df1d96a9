//! What an event of a message is counted as: how it ended, or that it was sent.

use super::event::MessageEvent;
use super::state::Message;
use crate::decider::Ending;
use crate::{Channel, ErrorClass, SendError};

/// What has no account, and no class.
const NONE: &str = "-";

impl Message {
    /// Asked before the event is applied.
    pub(super) fn ending_by(&self, event: &MessageEvent) -> Option<Ending> {
        use MessageEvent as E;
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
            | E::MessageReread(_) => return None,
        };
        let account = self.find_attempt(attempt).map_or(NONE, |attempt| attempt.account.as_str());
        Some(Ending {
            outcome,
            channel: self.requested().map_or(NONE, |request| Channel::as_str(request.channel)),
            account: account.to_owned(),
            class: error.map_or(NONE, |SendError { class, .. }| class.as_str()),
        })
    }
}
