//! What a message decides: which events follow from a command, or why none may.

use chrono::{DateTime, Utc};

use super::command::{
    AttemptOutcome, JoinConversation, MessageCommand, MessageRejection, ReceiptOutcome,
    RecordOutcome, RecordReceipt, SettleDoubt, Settlement, StartAttempt, WaitForAccount,
    WaitInLine,
};
use super::event::{
    AttemptAbandoned, MessageCanceled, MessageDeferred, MessageDelivered, MessageEvent,
    MessageFailed, MessageJoinedConversation, MessageRead, MessageReceived, MessageReread,
    MessageSent, MessageUndelivered, RecipientComplained, RecipientUnsubscribed, RetryRequested,
    SendAttempted, SendFailed, SendInDoubt,
};
use super::state::{Attempt, Message};
use super::status::Status;
use crate::address::Address;
use crate::ids::ConversationId;
use crate::{ErrorClass, SendError};

/// Conversations that one message belongs to at most, beside the one that it began in.
const JOINED_MAX: usize = 100;

impl Message {
    pub(super) fn decide_command(
        &self,
        command: &MessageCommand,
    ) -> Result<Vec<MessageEvent>, MessageRejection> {
        match command {
            MessageCommand::Request(_) | MessageCommand::Receive(_) if self.origin.is_some() => {
                Err(MessageRejection::Exists)
            }
            MessageCommand::Request(request) => {
                Ok(vec![MessageEvent::MessageRequested(request.clone())])
            }
            MessageCommand::Receive(received) => Ok(vec![received.clone().into()]),
            MessageCommand::Reread { message, at } => Ok(self.reread(message, *at)),
            MessageCommand::Join(join) => Ok(self.join(join)),
            MessageCommand::StartAttempt(start) => self.start_attempt(start),
            MessageCommand::RecordOutcome(record) => self.record_outcome(record),
            MessageCommand::RecordReceipt(receipt) => self.record_receipt(receipt),
            MessageCommand::Cancel { at } => self.cancel(*at),
            MessageCommand::Retry { at } => self.retry(*at),
            MessageCommand::Defer { reason, until, at } => self.defer(reason, *until, *at),
            MessageCommand::WaitForAccount(wait) => self.wait_for_account(wait),
            MessageCommand::WaitInLine(wait) => self.wait_in_line(wait),
            MessageCommand::Refuse { error, at } => self.refuse(error, *at),
            MessageCommand::ExpireLease { at } => self.expire_lease(*at),
            MessageCommand::SettleDoubt(settle) => self.settle_doubt(settle),
            MessageCommand::ResolveDoubt(resolve) => self.resolve_doubt(resolve),
            MessageCommand::Expire { round_from, at } => self.expire(*round_from, *at),
        }
    }

    /// What the reading tells that is new; nothing of a message that did not come in. A reading says nothing of who
    /// wrote to whom, and of where the message belongs: others have acted upon that.
    fn reread(&self, reading: &MessageReceived, at: DateTime<Utc>) -> Vec<MessageEvent> {
        let Some(before) = self.received() else { return Vec::new() };
        let after = MessageReceived {
            body: reading.body.clone(),
            attachments: reading.attachments.clone(),
            email: reading.email.clone(),
            segments: reading.segments,
            ..before.clone()
        };
        if after == *before {
            return Vec::new();
        }
        vec![MessageReread { message: Box::new(after), at }.into()]
    }

    /// Says once that it belongs to a conversation, however often it is brought there; nothing of a message that did not
    /// come in. A mailbox has it in one conversation: where a repeat would go now may be another one by then.
    fn join(&self, join: &JoinConversation) -> Vec<MessageEvent> {
        let Some(received) = self.received() else { return Vec::new() };
        let JoinConversation { conversation_id, mailbox, participants, topic, at } = join.clone();
        let has_joined = |(id, of): &(ConversationId, Address)| {
            *id == conversation_id || of.identity() == mailbox.identity()
        };
        let is_there = received.conversation_id == conversation_id
            || received.email.as_ref().is_some_and(|email| email.began_with(&mailbox))
            || self.joined.iter().any(has_joined);
        if is_there || self.joined.len() >= JOINED_MAX {
            return Vec::new();
        }
        let kind = received.email.as_ref().map(|email| email.kind).unwrap_or_default();
        let joined =
            MessageJoinedConversation { conversation_id, mailbox, participants, topic, kind, at };
        vec![joined.into()]
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
                choice: start.choice.clone(),
                token: Some(start.token),
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
            .filter(|attempt| attempt.token == Some(token))
            .ok_or(MessageRejection::NotClaimant(number))?;
        // A receipt may have overtaken the answer and settled the attempt; then only the
        // acceptance, with its parts, still tells something new.
        let latest = number == self.attempt();
        let open = latest && self.status() == Status::Sending;
        // A process that found the lease expired cannot know that nothing was sent. The claimant knows it.
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
                let (error, expires_at) = (None, None);
                let attempt = number;
                vec![AttemptAbandoned { attempt, reason, retry_at, error, expires_at, at }.into()]
            }
            AttemptOutcome::AccountRefused { reason, error, expires_at } if unsettled => {
                let (reason, error) = (Some(reason.clone()), Some(error.clone()));
                let (attempt, retry_at, expires_at) = (number, at, *expires_at);
                vec![AttemptAbandoned { attempt, reason, retry_at, error, expires_at, at }.into()]
            }
            _ => Vec::new(),
        })
    }

    fn settle_doubt(&self, settle: &SettleDoubt) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        let SettleDoubt { attempt, ref settlement, at } = *settle;
        if self.doubt().is_none_or(|doubt| doubt.attempt != attempt) {
            // A receipt or another process was faster.
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
            Status::Failed | Status::Undelivered => Ok(vec![RetryRequested { at }.into()]),
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
            Some(_) => {
                let (reason, error, expires_at) = (reason.to_owned(), None, None);
                let waits_for = None;
                Ok(vec![MessageDeferred { reason, until, error, expires_at, waits_for, at }.into()])
            }
            None => Err(MessageRejection::NotWaiting(self.status())),
        }
    }

    /// Says so once, however often it is found to wait for the same.
    fn wait_for_account(
        &self,
        wait: &WaitForAccount,
    ) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        let Some(due) = self.attempt_due() else {
            return Err(MessageRejection::NotWaiting(self.status()));
        };
        if self.waits_for.as_deref() == Some(wait.reason.as_str()) {
            return Ok(Vec::new());
        }
        let WaitForAccount { reason, error, expires_at, at } = wait.clone();
        let (until, error, expires_at) = (at.max(due), Some(error), Some(expires_at));
        Ok(vec![MessageDeferred { reason, until, error, expires_at, waits_for: None, at }.into()])
    }

    /// Says so once, as long as it stays in that line.
    fn wait_in_line(&self, wait: &WaitInLine) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        let Some(due) = self.attempt_due() else {
            return Err(MessageRejection::NotWaiting(self.status()));
        };
        let WaitInLine { reason, waits_for, until, expires_at, at } = wait.clone();
        if self.waits_in_line() == Some(waits_for.as_str()) {
            return Ok(Vec::new());
        }
        let until = until.unwrap_or(at).max(due);
        let error = SendError {
            code: "waiting_for_rate".to_owned(),
            class: ErrorClass::Rate,
            detail: format!(
                "it stands in the line of its account ({reason}), and goes in its turn"
            ),
            permanent: false,
        };
        let (error, expires_at, waits_for) = (Some(error), Some(expires_at), Some(waits_for));
        Ok(vec![MessageDeferred { reason, until, error, expires_at, waits_for, at }.into()])
    }

    fn refuse(
        &self,
        error: &SendError,
        at: DateTime<Utc>,
    ) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        if self.attempt_due().is_none() {
            return Err(MessageRejection::NotWaiting(self.status()));
        }
        let (attempt, error) = (self.attempt(), error.clone());
        Ok(vec![MessageFailed { attempt, error, receipt_id: None, recipient: None, at }.into()])
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
            class: ErrorClass::Expired,
            detail: "it could not be sent for as long as it was valid".to_owned(),
            permanent: false,
        };
        Ok(vec![
            MessageFailed { attempt: self.attempt(), error, receipt_id: None, recipient: None, at }
                .into(),
        ])
    }

    fn record_receipt(
        &self,
        receipt: &RecordReceipt,
    ) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        let attempt = self.attempt_of(receipt)?;
        let recipient = self.recipient_of(receipt)?;
        if self.is_outdone(attempt, recipient.as_ref(), &receipt.outcome) {
            return Ok(Vec::new());
        }
        let event = receipt_event(attempt, recipient, receipt)?;
        // A repeat, or one that came too late, changes nothing and is no event; the webhook log
        // keeps the observation.
        let changes = self.recipients.changes(self.progress, &event);
        Ok(if changes { vec![event] } else { Vec::new() })
    }

    /// Of whom the event of a receipt speaks. What is said of the only recipient is said of the message.
    fn recipient_of(&self, receipt: &RecordReceipt) -> Result<Option<Address>, MessageRejection> {
        use ReceiptOutcome::{Complained, Unsubscribed};
        let is_wish = matches!(receipt.outcome, Complained(_) | Unsubscribed(_));
        let named = receipt.recipient.as_ref();
        if !self.recipients.are_several() {
            let only = self.requested().and_then(|request| request.to.first()).or(named);
            return Ok(only.filter(|_| is_wish).cloned());
        }
        let known = named.and_then(|named| self.recipients.find(named));
        match known {
            Some(known) => Ok(Some(known.address.clone())),
            None if is_wish => Err(MessageRejection::NoSuchRecipient),
            None => Ok(named.cloned()),
        }
    }

    /// Whether more is known than what a receipt says: what came back has not arrived, and what came back by one
    /// attempt may have arrived by another.
    fn is_outdone(
        &self,
        attempt: &Attempt,
        recipient: Option<&Address>,
        outcome: &ReceiptOutcome,
    ) -> bool {
        use ReceiptOutcome as O;
        let came_back = attempt.bounced.is_of(recipient);
        match outcome {
            O::Sent | O::Delivered | O::Read | O::Undelivered(_) | O::Failed(_) => came_back,
            O::Bounced(_) => {
                let brought_it = |other: &Attempt| {
                    other.number != attempt.number
                        && other.arrived.is_of(recipient)
                        && !other.bounced.is_of(recipient)
                };
                came_back || self.attempts.iter().any(brought_it)
            }
            O::Complained(_) | O::Unsubscribed(_) => false,
        }
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

/// The attempt surely did not send; without another one the message has failed.
pub(super) fn not_sent(
    attempt: u32,
    error: &SendError,
    retry_at: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
) -> Vec<MessageEvent> {
    let retry_at = retry_at.filter(|_| !error.permanent);
    let failed = SendFailed { attempt, error: error.clone(), retry_at, at };
    let last =
        MessageFailed { attempt, error: error.clone(), receipt_id: None, recipient: None, at };
    let terminal = retry_at.is_none().then(|| last.into());
    std::iter::once(failed.into()).chain(terminal).collect()
}

fn receipt_event(
    attempt: &Attempt,
    recipient: Option<Address>,
    receipt: &RecordReceipt,
) -> Result<MessageEvent, MessageRejection> {
    let RecordReceipt { provider_message_id, receipt_id, outcome, at, .. } = receipt.clone();
    let attempt = attempt.number;
    let bounced = matches!(outcome, ReceiptOutcome::Bounced(_));
    Ok(match outcome {
        ReceiptOutcome::Sent => {
            MessageSent { attempt, provider_message_id, segments: None, at }.into()
        }
        ReceiptOutcome::Delivered => {
            MessageDelivered { attempt, provider_message_id, receipt_id, recipient, at }.into()
        }
        ReceiptOutcome::Read => {
            MessageRead { attempt, provider_message_id, receipt_id, recipient, at }.into()
        }
        ReceiptOutcome::Undelivered(error) | ReceiptOutcome::Bounced(error) => MessageUndelivered {
            attempt,
            provider_message_id,
            receipt_id,
            error,
            recipient,
            bounced,
            at,
        }
        .into(),
        ReceiptOutcome::Failed(error) => {
            MessageFailed { attempt, error, receipt_id: Some(receipt_id), recipient, at }.into()
        }
        ReceiptOutcome::Complained(reason) => {
            let recipient = recipient.ok_or(MessageRejection::NoSuchRecipient)?;
            RecipientComplained { attempt, provider_message_id, receipt_id, recipient, reason, at }
                .into()
        }
        ReceiptOutcome::Unsubscribed(reason) => {
            let recipient = recipient.ok_or(MessageRejection::NoSuchRecipient)?;
            RecipientUnsubscribed {
                attempt,
                provider_message_id,
                receipt_id,
                recipient,
                reason,
                at,
            }
            .into()
        }
    })
}
