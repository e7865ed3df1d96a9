//! A message, folded from its stream, and what can be asked of it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::command::MessageRejection;
use super::event::{MessageReceived, MessageRequested};
use super::recipients::{Recipients, Told};
use super::status::{AttemptStatus, Status};
use crate::account_name::AccountName;
use crate::address::Address;
use crate::decider::{Decider, Routing};
use crate::ids::ConversationId;
use crate::{Channel, Priority};

/// A message, folded from its stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    pub(super) origin: Option<Origin>,
    pub(super) progress: AttemptStatus,
    /// Those of a message to several.
    pub(super) recipients: Recipients,
    pub(super) attempts: Vec<Attempt>,
    /// Before this no attempt starts: a schedule, a deferral, or a failure's back-off.
    pub(super) not_before: Option<DateTime<Utc>>,
    /// What it waits for, where that is an account.
    pub(super) waits_for: Option<String>,
    /// The line of its account in which it waits, and until when.
    pub(super) line: Option<(String, DateTime<Utc>)>,
    /// The attempts of the rounds before the present one.
    pub(super) attempts_before: u32,
    /// When the present round of attempts could begin.
    pub(super) round_from: Option<DateTime<Utc>>,
    /// The conversations that it belongs to beside the one that it began in, each with the mailbox whose it is.
    pub(super) joined: Vec<(ConversationId, Address)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Origin {
    Requested(Arc<MessageRequested>),
    Received(Box<MessageReceived>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) provider: String,
    pub(super) account: String,
    /// What hatch calls that account, where the claim says so.
    pub(super) name: Option<AccountName>,
    pub(super) token: Option<Uuid>,
    pub(super) at: DateTime<Utc>,
    pub(super) lease_until: DateTime<Utc>,
    pub(super) in_doubt_at: Option<DateTime<Utc>>,
    /// What the provider calls the message, once it took it.
    pub(super) provider_message_id: Option<String>,
    /// Its parts, once they are known.
    pub(super) segments: Option<u32>,
    /// It was claimed and not made.
    pub(super) abandoned: bool,
    /// The provider surely did not take the message by it, and said so, or could not be reached.
    pub(super) not_sent: bool,
    /// Whom it reached, by what was said of it.
    pub(super) arrived: Told,
    /// From whom it came back.
    pub(super) bounced: Told,
}

impl Message {
    /// Where the message stands.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.progress.status
    }

    /// What became of each recipient, for a message to several.
    #[must_use]
    pub const fn recipients(&self) -> &Recipients {
        &self.recipients
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

    /// Whether it is a test, whichever way it goes: nobody wrote it to anybody.
    #[must_use]
    pub fn is_test(&self) -> bool {
        match &self.origin {
            Some(Origin::Requested(request)) => request.test,
            Some(Origin::Received(received)) => received.test,
            None => false,
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

    /// How many of these were made by the account of the latest one. So each account of a route has as many tries as one that
    /// carries a message alone.
    #[must_use]
    pub fn attempt_by_account(&self) -> u32 {
        let Some(latest) = self.latest() else { return 0 };
        let is_by_it = |attempt: &&Attempt| {
            attempt.number > self.attempts_before
                && !attempt.abandoned
                && (&attempt.provider, &attempt.account) == (&latest.provider, &latest.account)
        };
        u32::try_from(self.attempts.iter().filter(is_by_it).count()).unwrap_or(u32::MAX)
    }

    /// The accounts by which attempts of the present round surely did not send it, in their order, each as often as it
    /// was tried. An attempt for which nobody was called says nothing of its account, and neither does one in doubt.
    pub fn tried(&self) -> impl Iterator<Item = Tried<'_>> {
        let of_round = |attempt: &&Attempt| attempt.number > self.attempts_before;
        self.attempts.iter().filter(of_round).filter(|attempt| attempt.not_sent).map(|attempt| {
            Tried {
                name: attempt.name.as_ref(),
                provider: &attempt.provider,
                account: &attempt.account,
            }
        })
    }

    /// The present round of attempts: how many attempts there were before it, which no two rounds have in common.
    #[must_use]
    pub const fn round(&self) -> u32 {
        self.attempts_before
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

    /// What the provider calls the message, as far as it took an attempt.
    #[must_use]
    pub fn provider_message_id(&self, number: u32) -> Option<&str> {
        self.find_attempt(number)?.provider_message_id.as_deref()
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

    /// What is wrong with the account that it waits for, in one word; none where it waits for none.
    #[must_use]
    pub fn waits_for_account(&self) -> Option<&str> {
        self.waits_for.as_deref()
    }

    /// The line of its account in which it waits; none where it waits in none.
    #[must_use]
    pub fn waits_in_line(&self) -> Option<&str> {
        self.line.as_ref().map(|(line, _)| line.as_str())
    }

    /// Until when it waits in its line, as the event says that put it there; none where it waits in none.
    #[must_use]
    pub fn waits_in_line_until(&self) -> Option<DateTime<Utc>> {
        self.line.as_ref().map(|(_, until)| *until)
    }

    /// Whether an attempt may begin, now or later.
    #[must_use]
    pub fn waits_for_attempt(&self) -> bool {
        self.attempt_due().is_some()
    }

    /// The attempt that was claimed with `token`.
    #[must_use]
    pub fn attempt_claimed_with(&self, token: Uuid) -> Option<u32> {
        self.attempts
            .iter()
            .find(|attempt| attempt.token == Some(token))
            .map(|attempt| attempt.number)
    }

    pub(super) fn outbound(&self) -> Result<&MessageRequested, MessageRejection> {
        match &self.origin {
            Some(Origin::Requested(request)) => Ok(request),
            Some(Origin::Received(_)) => Err(MessageRejection::Inbound),
            None => Err(MessageRejection::Unknown),
        }
    }

    pub(super) fn latest(&self) -> Option<&Attempt> {
        self.find_attempt(self.attempt())
    }

    pub(super) fn find_attempt(&self, number: u32) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.number == number)
    }

    pub(super) fn columns(&self) -> Routing {
        let (conversation_id, channel, priority) = match &self.origin {
            Some(Origin::Requested(r)) => {
                (Some(r.conversation_id), Some(r.channel), Some(r.priority))
            }
            Some(Origin::Received(r)) => (Some(r.conversation_id), Some(r.channel), None),
            None => (None, None, None),
        };
        Routing {
            aggregate: Self::KIND,
            conversation_id,
            channel: channel.map(Channel::as_str),
            priority: priority.map(Priority::as_str),
        }
    }
}

/// An account by which a message surely was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried<'a> {
    /// What hatch called it; none in claims from before they said so.
    pub name: Option<&'a AccountName>,
    /// The provider that was called.
    pub provider: &'a str,
    /// What that calls the account.
    pub account: &'a str,
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
