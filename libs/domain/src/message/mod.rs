//! A message: one on its way out through attempts and receipts, or one that came in.
//!
//! A message that goes well is four events long: requested, attempted, sent, delivered. The claim
//! ([`MessageCommand::StartAttempt`]) is what makes a send happen once: the provider is called only
//! by the holder of the token that stands in the committed [`event::SendAttempted`].

pub mod authentication;
pub mod command;
pub mod due;
pub mod event;
pub mod mail_id;
pub mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::command::{
    AttemptOutcome, MessageCommand, MessageRejection, ReceiptOutcome, RecordOutcome, RecordReceipt,
    SettleDoubt, Settlement, StartAttempt,
};
use self::event::{
    AttemptAbandoned, Channel, MessageCanceled, MessageDeferred, MessageDelivered, MessageEvent,
    MessageFailed, MessageRead, MessageReceived, MessageRequested, MessageSent, MessageUndelivered,
    RetryRequested, SendAttempted, SendError, SendFailed, SendInDoubt,
};
use self::status::{Progress, Status};
use crate::decider::{Decider, Routing};
use crate::ids::MessageId;

/// The aggregate's name in the log and in subjects.
pub const AGGREGATE: &str = "message";

/// Namespace of [`inbound_message_id`]: a UUIDv4 drawn once for hatch.
const INBOUND_NAMESPACE: Uuid = Uuid::from_u128(0x5c0c_9a3e_41d7_4b0f_9c86_2b1e_7f3a_d415);

/// The id, and so the stream, of the message that a provider calls `provider_message_id`. The same
/// webhook again meets a stream that exists already, whichever instance takes it in. A provider's
/// names are unique among its phone messages (SMS and MMS alike), among its mails, and so on.
#[must_use]
pub fn inbound_message_id(
    provider: &str,
    account: &str,
    channel: Channel,
    provider_message_id: &str,
) -> MessageId {
    let kind = match channel {
        Channel::Sms | Channel::Mms => "message",
        Channel::Email | Channel::Chat => channel.as_str(),
    };
    let name = format!("{provider}\n{account}\n{kind}\n{provider_message_id}");
    MessageId(Uuid::new_v5(&INBOUND_NAMESPACE, name.as_bytes()))
}

/// A message, folded from its stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    origin: Option<Origin>,
    progress: Progress,
    attempts: Vec<Attempt>,
    /// Before this no attempt starts: a schedule, a deferral, or a failure's back-off.
    not_before: Option<DateTime<Utc>>,
    /// The attempts of the rounds before the present one.
    attempts_before: u32,
    /// When the present round of attempts could begin.
    round_from: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Origin {
    Requested(Arc<MessageRequested>),
    Received(Box<MessageReceived>),
}

#[derive(Debug, Clone, PartialEq)]
struct Attempt {
    number: u32,
    provider: String,
    account: String,
    token: Uuid,
    at: DateTime<Utc>,
    lease_until: DateTime<Utc>,
    in_doubt_at: Option<DateTime<Utc>>,
    /// What the provider calls the message, once it took it.
    provider_message_id: Option<String>,
    /// Its parts, once they are known.
    segments: Option<u32>,
    /// It was claimed and not made.
    abandoned: bool,
}

impl Message {
    /// Where the message stands.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.progress.status
    }

    /// The latest attempt, from 1; 0 before the first.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.progress.attempt
    }

    /// What was asked for; none for an inbound message.
    #[must_use]
    pub fn requested(&self) -> Option<&MessageRequested> {
        match &self.origin {
            Some(Origin::Requested(request)) => Some(request),
            _ => None,
        }
    }

    /// What came in; none for an outbound message.
    #[must_use]
    pub fn received(&self) -> Option<&MessageReceived> {
        match &self.origin {
            Some(Origin::Received(received)) => Some(received),
            _ => None,
        }
    }

    /// How many attempts the present round has had, the one under way included. One that was abandoned was
    /// none: what the claimant lacked is not the provider's answer.
    #[must_use]
    pub fn attempt_in_round(&self) -> u32 {
        let of_round = |attempt: &&Attempt| attempt.number > self.attempts_before;
        let made = self.attempts.iter().filter(of_round).filter(|attempt| !attempt.abandoned);
        u32::try_from(made.count()).unwrap_or(u32::MAX)
    }

    /// When the next attempt is due; none when the message waits for none. One that is to be sent at once is
    /// due since it was requested, by the clock of whoever accepted it.
    #[must_use]
    pub fn attempt_due(&self) -> Option<DateTime<Utc>> {
        let origin = self.requested()?;
        match self.status() {
            Status::Queued | Status::Scheduled => Some(self.not_before.unwrap_or(origin.at)),
            Status::Retrying => self.not_before,
            _ => None,
        }
    }

    /// The time that somebody set for the next attempt: a schedule, a wait, a person who asks again.
    #[must_use]
    pub const fn not_before(&self) -> Option<DateTime<Utc>> {
        self.not_before
    }

    /// From when on the present round of attempts could begin: when it was asked for, or its schedule.
    #[must_use]
    pub const fn round_from(&self) -> Option<DateTime<Utc>> {
        self.round_from
    }

    /// When the lease of the attempt under way ends; none when none is.
    #[must_use]
    pub fn lease_until(&self) -> Option<DateTime<Utc>> {
        let attempt = self.latest().filter(|_| self.status() == Status::Sending)?;
        Some(attempt.lease_until)
    }

    /// The provider, and the account there, by which an attempt was made.
    #[must_use]
    pub fn attempted_via(&self, number: u32) -> Option<(&str, &str)> {
        self.find_attempt(number).map(|a| (a.provider.as_str(), a.account.as_str()))
    }

    /// The doubt about the latest attempt, if there is one.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt<'_>> {
        let attempt = self.latest().filter(|_| self.status() == Status::InDoubt)?;
        Some(Doubt {
            attempt: attempt.number,
            provider: &attempt.provider,
            account: &attempt.account,
            attempted_at: attempt.at,
            lease_until: attempt.lease_until,
            since: attempt.in_doubt_at?,
        })
    }

    /// Whether an attempt may begin, now or later.
    #[must_use]
    pub fn waits_for_attempt(&self) -> bool {
        self.attempt_due().is_some()
    }

    /// The attempt that was claimed with `token`.
    #[must_use]
    pub fn attempt_claimed_with(&self, token: Uuid) -> Option<u32> {
        self.attempts.iter().find(|attempt| attempt.token == token).map(|attempt| attempt.number)
    }

    fn outbound(&self) -> Result<&MessageRequested, MessageRejection> {
        match &self.origin {
            Some(Origin::Requested(request)) => Ok(request),
            Some(Origin::Received(_)) => Err(MessageRejection::Inbound),
            None => Err(MessageRejection::Unknown),
        }
    }

    fn latest(&self) -> Option<&Attempt> {
        self.find_attempt(self.attempt())
    }

    fn find_attempt(&self, number: u32) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.number == number)
    }

    fn start_attempt(&self, start: &StartAttempt) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        match self.attempt_due() {
            Some(due) if due > start.at && self.not_before.is_some() => {
                return Err(MessageRejection::NotDue(due));
            }
            Some(_) => {}
            None => return Err(MessageRejection::NotWaiting(self.status())),
        }
        Ok(vec![
            SendAttempted {
                attempt: self.attempt().saturating_add(1),
                provider: start.provider.clone(),
                account: start.account.clone(),
                token: start.token,
                call_before: start.call_before,
                lease_until: start.lease_until,
                at: start.at,
            }
            .into(),
        ])
    }

    fn record_outcome(
        &self,
        record: &RecordOutcome,
    ) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        let RecordOutcome { attempt: number, token, ref outcome, at } = *record;
        let attempt = self
            .find_attempt(number)
            .filter(|attempt| attempt.token == token)
            .ok_or(MessageRejection::NotClaimant(number))?;
        // A receipt may have overtaken the answer and settled the attempt; then only the
        // acceptance, with its parts, still tells something new.
        let latest = number == self.attempt();
        let open = latest && self.status() == Status::Sending;
        // Whoever found its lease over could not know that nothing was sent. The claimant does.
        let unsettled = open || (latest && self.status() == Status::InDoubt);
        Ok(match outcome {
            AttemptOutcome::Accepted { provider_message_id, segments }
                if attempt.provider_message_id.is_none()
                    || (attempt.segments.is_none() && segments.is_some()) =>
            {
                let provider_message_id = provider_message_id.clone();
                let segments = *segments;
                vec![MessageSent { attempt: number, provider_message_id, segments, at }.into()]
            }
            AttemptOutcome::NotSent { error, retry_at } if unsettled => {
                not_sent(number, error, *retry_at, at)
            }
            AttemptOutcome::Unknown { detail } if open => {
                vec![SendInDoubt { attempt: number, detail: detail.clone(), at }.into()]
            }
            AttemptOutcome::Abandoned { reason, retry_at } if unsettled => {
                let (reason, retry_at) = (reason.clone(), *retry_at);
                vec![AttemptAbandoned { attempt: number, reason, retry_at, at }.into()]
            }
            _ => Vec::new(),
        })
    }

    fn settle_doubt(&self, settle: &SettleDoubt) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        let SettleDoubt { attempt, ref settlement, at } = *settle;
        if self.doubt().is_none_or(|doubt| doubt.attempt != attempt) {
            // A receipt, or somebody else, was faster.
            return Ok(Vec::new());
        }
        Ok(match settlement {
            Settlement::Sent { provider_message_id } => {
                let provider_message_id = provider_message_id.clone();
                vec![MessageSent { attempt, provider_message_id, segments: None, at }.into()]
            }
            Settlement::NotSent { error, retry_at } => not_sent(attempt, error, *retry_at, at),
        })
    }

    fn expire_lease(&self, at: DateTime<Utc>) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        let expired = self
            .latest()
            .filter(|attempt| self.status() == Status::Sending && attempt.lease_until <= at);
        Ok(expired.map_or_else(Vec::new, |attempt| {
            let detail = "the claimant said nothing before its lease was over".to_owned();
            vec![SendInDoubt { attempt: attempt.number, detail, at }.into()]
        }))
    }

    fn cancel(&self, at: DateTime<Utc>) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        match self.status() {
            Status::Queued | Status::Scheduled => Ok(vec![MessageCanceled { at }.into()]),
            status => Err(MessageRejection::NotCancelable(status)),
        }
    }

    fn retry(&self, at: DateTime<Utc>) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        match self.status() {
            Status::Failed => Ok(vec![RetryRequested { at }.into()]),
            status => Err(MessageRejection::NotRetryable(status)),
        }
    }

    fn defer(
        &self,
        reason: &str,
        until: DateTime<Utc>,
        at: DateTime<Utc>,
    ) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        match self.attempt_due() {
            Some(due) if due >= until => Ok(Vec::new()),
            Some(_) => Ok(vec![MessageDeferred { reason: reason.to_owned(), until, at }.into()]),
            None => Err(MessageRejection::NotWaiting(self.status())),
        }
    }

    fn expire(
        &self,
        round_from: DateTime<Utc>,
        at: DateTime<Utc>,
    ) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        if self.attempt_due().is_none() {
            return Err(MessageRejection::NotWaiting(self.status()));
        }
        if self.round_from != Some(round_from) {
            return Ok(Vec::new());
        }
        let error = SendError {
            code: "expired".to_owned(),
            detail: "it could not be sent for as long as it was valid".to_owned(),
            permanent: false,
        };
        Ok(vec![MessageFailed { attempt: self.attempt(), error, receipt_id: None, at }.into()])
    }

    fn record_receipt(
        &self,
        receipt: &RecordReceipt,
    ) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        let attempt = self.attempt_of(receipt)?;
        let event = receipt_event(attempt, receipt);
        // A repeat, or one that came too late, changes nothing and is no event; the webhook log
        // keeps the observation.
        let changes = self.progress.after(&event) != self.progress;
        Ok(if changes { vec![event] } else { Vec::new() })
    }

    fn attempt_of(&self, receipt: &RecordReceipt) -> Result<&Attempt, MessageRejection> {
        let called = Some(receipt.provider_message_id.as_str());
        let found = match receipt.attempt {
            Some(number) => self.find_attempt(number),
            None => self.attempts.iter().find(|a| a.provider_message_id.as_deref() == called),
        };
        found.ok_or(MessageRejection::NoSuchAttempt)
    }
}

/// An attempt in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt<'a> {
    /// Its number.
    pub attempt: u32,
    /// The provider that was called.
    pub provider: &'a str,
    /// The provider account that was used.
    pub account: &'a str,
    /// When it was claimed; the provider has nothing of it from before.
    pub attempted_at: DateTime<Utc>,
    /// Until when its claimant may still say what came of it.
    pub lease_until: DateTime<Utc>,
    /// Since when it is in doubt.
    pub since: DateTime<Utc>,
}

/// The attempt surely did not send; without another one the message has failed.
fn not_sent(
    attempt: u32,
    error: &SendError,
    retry_at: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
) -> Vec<MessageEvent> {
    let retry_at = retry_at.filter(|_| !error.permanent);
    let failed = SendFailed { attempt, error: error.clone(), retry_at, at };
    let last = MessageFailed { attempt, error: error.clone(), receipt_id: None, at };
    let terminal = retry_at.is_none().then(|| last.into());
    std::iter::once(failed.into()).chain(terminal).collect()
}

fn receipt_event(attempt: &Attempt, receipt: &RecordReceipt) -> MessageEvent {
    let RecordReceipt { provider_message_id, receipt_id, outcome, at, .. } = receipt.clone();
    let attempt = attempt.number;
    match outcome {
        ReceiptOutcome::Sent => {
            MessageSent { attempt, provider_message_id, segments: None, at }.into()
        }
        ReceiptOutcome::Delivered => {
            MessageDelivered { attempt, provider_message_id, receipt_id, at }.into()
        }
        ReceiptOutcome::Read => MessageRead { attempt, provider_message_id, receipt_id, at }.into(),
        ReceiptOutcome::Undelivered(error) => {
            MessageUndelivered { attempt, provider_message_id, receipt_id, error, at }.into()
        }
        ReceiptOutcome::Failed(error) => {
            MessageFailed { attempt, error, receipt_id: Some(receipt_id), at }.into()
        }
    }
}

impl Decider for Message {
    type Command = MessageCommand;
    type Event = MessageEvent;
    type Rejection = MessageRejection;

    fn decide(&self, command: &MessageCommand) -> Result<Vec<MessageEvent>, MessageRejection> {
        match command {
            MessageCommand::Request(_) | MessageCommand::Receive(_) if self.origin.is_some() => {
                Err(MessageRejection::Exists)
            }
            MessageCommand::Request(request) => {
                Ok(vec![MessageEvent::MessageRequested(request.clone())])
            }
            MessageCommand::Receive(received) => Ok(vec![received.clone().into()]),
            MessageCommand::StartAttempt(start) => self.start_attempt(start),
            MessageCommand::RecordOutcome(record) => self.record_outcome(record),
            MessageCommand::RecordReceipt(receipt) => self.record_receipt(receipt),
            MessageCommand::Cancel { at } => self.cancel(*at),
            MessageCommand::Retry { at } => self.retry(*at),
            MessageCommand::Defer { reason, until, at } => self.defer(reason, *until, *at),
            MessageCommand::ExpireLease { at } => self.expire_lease(*at),
            MessageCommand::SettleDoubt(settle) => self.settle_doubt(settle),
            MessageCommand::Expire { round_from, at } => self.expire(*round_from, *at),
        }
    }

    fn evolve(mut self, event: &MessageEvent) -> Self {
        use MessageEvent as E;
        self.progress = self.progress.after(event);
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
            E::SendAttempted(e) => self.attempts.push(Attempt {
                number: e.attempt,
                provider: e.provider.clone(),
                account: e.account.clone(),
                token: e.token,
                at: e.at,
                lease_until: e.lease_until,
                in_doubt_at: None,
                provider_message_id: None,
                segments: None,
                abandoned: false,
            }),
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
            E::SendFailed(e) => self.not_before = e.retry_at,
            E::AttemptAbandoned(e) => {
                self.not_before = Some(e.retry_at);
                if let Some(attempt) = self.attempts.iter_mut().find(|a| a.number == e.attempt) {
                    attempt.abandoned = true;
                }
            }
            E::MessageDeferred(e) => self.not_before = Some(e.until),
            E::RetryRequested(e) => {
                self.not_before = Some(e.at);
                self.attempts_before = self.attempt();
                self.round_from = Some(e.at);
            }
            E::MessageFailed(_)
            | E::MessageDelivered(_)
            | E::MessageUndelivered(_)
            | E::MessageRead(_)
            | E::MessageCanceled(_) => {}
        }
        self
    }

    fn routing(&self) -> Routing {
        let (conversation_id, channel, priority) = match &self.origin {
            Some(Origin::Requested(r)) => {
                (Some(r.conversation_id), Some(r.channel), Some(r.priority))
            }
            Some(Origin::Received(r)) => (Some(r.conversation_id), Some(r.channel), None),
            None => (None, None, None),
        };
        Routing {
            aggregate: AGGREGATE,
            conversation_id,
            channel: channel.map(Channel::as_str),
            priority: priority.map(event::Priority::as_str),
        }
    }
}
