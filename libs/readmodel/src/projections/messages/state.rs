//! One message as the read model keeps it: what every event moves.

use chrono::{DateTime, Utc};
use hatch_domain::message::event::{
    MessageDeferred, MessageEvent, MessageReceived, MessageRequested, MessageSent, Resolution,
    SendAttempted,
};
use hatch_domain::message::recipients::Recipients;
use hatch_domain::message::status::{AttemptStatus, Status};
use hatch_domain::{ErrorClass, SendError};
use hatch_eventstore::Position;

use super::message::stored;

/// The code shown for a message that is in doubt: no provider gave one.
const IN_DOUBT_CODE: &str = "in_doubt";

/// Where a message stands after its latest event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MessageState {
    pub(crate) progress: AttemptStatus,
    /// Those of a message to several.
    pub(crate) recipients: Recipients,
    pub(crate) provider: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) provider_message_id: Option<String>,
    pub(crate) next_attempt_at: Option<DateTime<Utc>>,
    pub(crate) error: Option<SendError>,
    pub(crate) segments: Option<u32>,
    pub(crate) sent_at: Option<DateTime<Utc>>,
    pub(crate) delivered_at: Option<DateTime<Utc>>,
    pub(crate) read_at: Option<DateTime<Utc>>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) position: Position,
}

impl MessageState {
    /// Before the first event of a message that was created at `at`.
    pub(crate) fn new(at: DateTime<Utc>, position: Position) -> Self {
        Self {
            progress: AttemptStatus::default(),
            recipients: Recipients::default(),
            provider: None,
            account: None,
            provider_message_id: None,
            next_attempt_at: None,
            error: None,
            segments: None,
            sent_at: None,
            delivered_at: None,
            read_at: None,
            updated_at: at,
            position,
        }
    }

    /// Applies one event. The status is the domain's own fold; what explains it (error, due time)
    /// changes only when it does, so that a late receipt never leaves the reason of another status.
    #[must_use]
    pub(crate) fn after(mut self, event: &MessageEvent, position: Position) -> Self {
        use MessageEvent as E;
        let progress = self.recipients.after(self.progress, event);
        let moved = progress != self.progress;
        self.progress = progress;
        if moved {
            self.error = error_of(event);
            self.next_attempt_at = due_time_of(event);
        }
        self.explain_by_recipients();
        match event {
            E::MessageRequested(requested) => self.requested(requested),
            E::MessageDeferred(deferred) => self.deferred(deferred),
            E::MessageRead(read) => {
                self.read_at.get_or_insert(read.at);
                if read.attempt == progress.attempt {
                    self.called(&read.provider_message_id);
                }
            }
            E::SendAttempted(attempted) if moved => self.attempted(attempted),
            E::MessageSent(sent) if sent.attempt == progress.attempt => self.sent(sent),
            E::MessageDelivered(delivered) => {
                self.delivered_at.get_or_insert(delivered.at);
                if delivered.attempt == progress.attempt {
                    self.called(&delivered.provider_message_id);
                }
            }
            E::MessageUndelivered(undelivered) if undelivered.attempt == progress.attempt => {
                self.called(&undelivered.provider_message_id);
            }
            E::MessageReceived(received) => self.received(received),
            // What the provider calls it, nobody knows.
            E::DoubtResolved(said) if moved && said.resolution == Resolution::Sent => {
                self.sent_at.get_or_insert(said.at);
            }
            E::SendAttempted(_)
            | E::MessageSent(_)
            | E::SendFailed(_)
            | E::SendInDoubt(_)
            | E::AttemptAbandoned(_)
            | E::DoubtResolved(_)
            | E::MessageFailed(_)
            | E::MessageUndelivered(_)
            | E::MessageCanceled(_)
            | E::RetryRequested(_)
            | E::MessageReread(_)
            | E::MessageJoinedConversation(_)
            | E::RecipientComplained(_)
            | E::RecipientUnsubscribed(_) => {}
        }
        self.updated_at = event.at();
        self.position = position;
        self
    }

    /// Of a message that is not with all of its recipients, says why it is not with the first of those, whichever event
    /// came last.
    fn explain_by_recipients(&mut self) {
        let lost = [Status::PartlyDelivered, Status::Undelivered, Status::Failed];
        if let Some(error) =
            self.recipients.error().filter(|_| lost.contains(&self.progress.status))
        {
            self.error = Some(error.clone());
        }
    }

    /// A schedule is the first due time; what no provider carries has arrived already.
    fn requested(&mut self, event: &MessageRequested) {
        match self.progress.status {
            Status::Scheduled => self.next_attempt_at = event.send_at,
            Status::Delivered => self.delivered_at = Some(event.at),
            _ => {}
        }
    }

    /// Puts off the next attempt, if the message waits for one. Why it waits, if an attempt failed,
    /// stays.
    fn deferred(&mut self, event: &MessageDeferred) {
        let waits =
            matches!(self.progress.status, Status::Scheduled | Status::Queued | Status::Retrying);
        if waits {
            // Nobody knows when there is an account.
            // Of a line it is known when it goes on only where its day is used up.
            let is_known = match &event.waits_for {
                Some(_) => event.until > event.at,
                None => event.expires_at.is_none(),
            };
            self.next_attempt_at = is_known.then_some(event.until);
            self.error = event.error.clone().or_else(|| self.error.take());
        }
    }

    /// A new attempt: what the former one brought no longer speaks of this message, unless that one
    /// turns out to have delivered it.
    fn attempted(&mut self, event: &SendAttempted) {
        if self.progress.status != Status::Sending {
            return;
        }
        self.provider = Some(stored(&event.provider));
        self.account = Some(stored(&event.account));
        self.provider_message_id = None;
        self.segments = None;
        self.sent_at = None;
    }

    fn sent(&mut self, event: &MessageSent) {
        self.called(&event.provider_message_id);
        self.sent_at.get_or_insert(event.at);
        self.segments = self.segments.or(event.segments);
    }

    fn received(&mut self, event: &MessageReceived) {
        self.provider = Some(stored(&event.provider));
        self.account = Some(stored(&event.account));
        self.called(&event.provider_message_id);
        self.segments = event.segments;
    }

    fn called(&mut self, provider_message_id: &str) {
        self.provider_message_id.get_or_insert_with(|| stored(provider_message_id));
    }
}

/// The reason of the status that `event` leads to, where it has one.
fn error_of(event: &MessageEvent) -> Option<SendError> {
    let error = match event {
        MessageEvent::SendFailed(event) => &event.error,
        MessageEvent::AttemptAbandoned(event) => return event.error.clone(),
        MessageEvent::MessageFailed(event) => &event.error,
        MessageEvent::MessageUndelivered(event) => &event.error,
        MessageEvent::SendInDoubt(event) => {
            return Some(SendError {
                code: IN_DOUBT_CODE.to_owned(),
                class: ErrorClass::Other,
                detail: event.detail.clone(),
                permanent: false,
            });
        }
        _ => return None,
    };
    Some(error.clone())
}

fn due_time_of(event: &MessageEvent) -> Option<DateTime<Utc>> {
    match event {
        MessageEvent::SendFailed(event) => event.retry_at,
        MessageEvent::AttemptAbandoned(event) => {
            event.expires_at.is_none().then_some(event.retry_at)
        }
        _ => None,
    }
}
