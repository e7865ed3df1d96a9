//! What a message becomes by each of its events.

use super::event::{
    AttemptAbandoned, MessageDeferred, MessageEvent, Resolution, RetryRequested, SendAttempted,
};
use super::recipients::Told;
use super::state::{Attempt, Message, Origin};

impl Message {
    pub(super) fn after(mut self, event: &MessageEvent) -> Self {
        use MessageEvent as E;
        self.progress = self.recipients.after(self.progress, event);
        match event {
            E::MessageRequested(e) => {
                if self.origin.is_none() {
                    self.origin = Some(Origin::Requested(e.clone()));
                    self.not_before = e.send_at;
                    self.round_from = Some(e.send_at.unwrap_or(e.at));
                }
            }
            E::MessageReceived(e) => {
                self.origin.get_or_insert_with(|| Origin::Received(e.clone().into()));
            }
            E::MessageReread(e) => {
                if matches!(self.origin, Some(Origin::Received(_))) {
                    self.origin = Some(Origin::Received(e.message.clone()));
                }
            }
            E::MessageJoinedConversation(e) => {
                self.joined.push((e.conversation_id, e.mailbox.clone()));
            }
            E::SendAttempted(e) => self.begin(e),
            E::MessageSent(e) => {
                if let Some(attempt) = self.attempts.iter_mut().find(|a| a.number == e.attempt) {
                    attempt.provider_message_id = Some(e.provider_message_id.clone());
                    attempt.segments = attempt.segments.or(e.segments);
                }
            }
            E::SendInDoubt(e) => {
                if let Some(attempt) = self.attempts.iter_mut().find(|a| a.number == e.attempt) {
                    attempt.in_doubt_at = Some(e.at);
                }
            }
            E::SendFailed(e) => {
                self.not_before = e.retry_at;
                // What was in doubt moves a message to no other account, though it was not sent.
                self.note(e.attempt, |attempt| attempt.not_sent = attempt.in_doubt_at.is_none());
            }
            // What a person has sent again is not too late for that.
            E::DoubtResolved(e) if e.resolution == Resolution::Resend => {
                self.round_from = Some(e.at);
            }
            E::AttemptAbandoned(e) => self.abandon(e),
            E::MessageDeferred(e) => self.put_off(e),
            E::RetryRequested(e) => self.begin_round(e),
            E::MessageDelivered(e) => {
                self.note(e.attempt, |attempt| attempt.arrived.note(e.recipient.as_ref()));
            }
            E::MessageRead(e) => {
                self.note(e.attempt, |attempt| attempt.arrived.note(e.recipient.as_ref()));
            }
            E::MessageUndelivered(e) => {
                if e.bounced {
                    self.note(e.attempt, |attempt| attempt.bounced.note(e.recipient.as_ref()));
                }
            }
            E::MessageFailed(_)
            | E::MessageCanceled(_)
            | E::DoubtResolved(_)
            | E::RecipientComplained(_)
            | E::RecipientUnsubscribed(_) => {}
        }
        self
    }

    fn begin(&mut self, event: &SendAttempted) {
        (self.waits_for, self.line) = (None, None);
        self.attempts.push(Attempt {
            number: event.attempt,
            provider: event.provider.clone(),
            account: event.account.clone(),
            name: event.choice.as_ref().map(|choice| choice.name.clone()),
            token: event.token,
            at: event.at,
            lease_until: event.lease_until,
            in_doubt_at: None,
            provider_message_id: None,
            segments: None,
            abandoned: false,
            not_sent: false,
            arrived: Told::default(),
            bounced: Told::default(),
        });
    }

    fn abandon(&mut self, event: &AttemptAbandoned) {
        self.not_before = Some(event.retry_at);
        self.waits_for = event.reason.clone().filter(|_| event.expires_at.is_some());
        self.line = None;
        self.note(event.attempt, |attempt| {
            attempt.abandoned = true;
            // A provider that refused the account did not take the message.
            attempt.not_sent = event.error.is_some();
        });
    }

    fn put_off(&mut self, event: &MessageDeferred) {
        // A message in a line goes on as soon as there is room, which may be before `until`.
        let not_before = if event.waits_for.is_some() { event.at } else { event.until };
        self.not_before = Some(not_before);
        self.waits_for = event.expires_at.map(|_| event.reason.clone());
        let until = event.expires_at.unwrap_or(event.until);
        self.line = event.waits_for.clone().map(|line| (line, until));
    }

    fn begin_round(&mut self, event: &RetryRequested) {
        self.not_before = Some(event.at);
        (self.waits_for, self.line) = (None, None);
        self.attempts_before = self.attempt();
        self.round_from = Some(event.at);
    }

    fn note(&mut self, number: u32, note: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.number == number) {
            note(attempt);
        }
    }
}
