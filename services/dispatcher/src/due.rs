//! What is due of a message, decided by the message itself. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::message::command::Settlement;
use hatch_domain::message::event::SendError;
use hatch_domain::message::status::Status;
use hatch_domain::message::{Doubt, Message};
use serde::{Deserialize, Serialize};

/// What becomes of a message when nobody knows whether an attempt sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoubtPolicy {
    /// The provider is asked what became of it.
    LookUp,
    /// Only a receipt settles it, or a person.
    Wait,
    /// It is sent again, at the risk of a second copy.
    Resend,
    /// It fails, at the risk that it was sent.
    Fail,
}

/// The waits that decide what is due.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// How long a new message is left to its delivery by the bus.
    pub delivery_grace: Duration,
    /// From the request, the schedule or the retry until a message that was not sent fails.
    pub validity: Duration,
    /// When the provider is asked about a doubt: first and for the second time, counted from the
    /// later of doubt and lease end.
    pub look_ups: [Duration; 2],
    /// How long a receipt is waited for before a doubt is left to a person.
    pub receipt: Duration,
}

/// No look-up is further from the one before.
const LOOK_UP_WAIT_MAX: Duration = Duration::from_secs(3_600);

/// What to do about a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Make the next attempt.
    Attempt,
    /// Let it fail: its validity is over.
    Expire,
    /// The claimant is gone: say that its attempt is in doubt.
    ExpireLease,
    /// Ask the provider about the doubt.
    LookUp,
    /// End the doubt.
    Settle(Settled),
    /// Nothing yet.
    LookAgain(DateTime<Utc>),
    /// Nothing more, until a receipt or a person settles it.
    LeaveInDoubt,
    /// Nothing, unless it has further events.
    Nothing,
}

/// How a doubt ends that nobody can resolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Resend,
    Fail,
}

/// Says what is due of `message` at `now`. `looks` is how often the provider was asked about the
/// doubt; after the first time the caller looks again only when the next is due.
pub(crate) fn decide(
    message: &Message,
    now: DateTime<Utc>,
    policy: DoubtPolicy,
    waits: &Waits,
    looks: u32,
) -> Action {
    if let Some(due) = message.attempt_due() {
        attempt(message, due, now, waits)
    } else if let Some(lease_until) = message.lease_until() {
        at(lease_until, now, Action::ExpireLease)
    } else if let Some(doubt) = message.doubt() {
        in_doubt(&doubt, now, policy, waits, looks)
    } else {
        Action::Nothing
    }
}

/// Whether it is too late for another attempt.
pub(crate) fn is_expired(message: &Message, now: DateTime<Utc>, waits: &Waits) -> bool {
    message.round_from().is_some_and(|from| after(from, waits.validity) <= now)
}

/// When the provider is asked again, after having been asked `looks` times.
pub(crate) fn next_look_up(now: DateTime<Utc>, looks: u32, waits: &Waits) -> DateTime<Utc> {
    let [first, second] = waits.look_ups;
    let apart = second.saturating_sub(first);
    let wait = apart.saturating_mul(1 << looks.saturating_sub(1).min(16));
    after(now, wait.min(LOOK_UP_WAIT_MAX))
}

/// What ends a doubt without having sent: another attempt at once, unless it was the last.
pub(crate) fn not_sent(
    message: &Message,
    code: &str,
    detail: &str,
    attempts_max: u32,
    now: DateTime<Utc>,
) -> Settlement {
    let error = SendError { code: code.to_owned(), detail: detail.to_owned(), permanent: false };
    let retry_at = (message.attempt_in_round() < attempts_max).then_some(now);
    Settlement::NotSent { error, retry_at }
}

fn attempt(message: &Message, due: DateTime<Utc>, now: DateTime<Utc>, waits: &Waits) -> Action {
    if is_expired(message, now, waits) {
        return Action::Expire;
    }
    // The bus brings a new message, and nothing else.
    let requested_at = message.requested().map(|request| request.at);
    let is_new = message.status() == Status::Queued && message.attempt() == 0;
    let due = match is_new && requested_at == Some(due) {
        true => after(due, waits.delivery_grace),
        false => due,
    };
    let expires = message.round_from().map_or(due, |from| after(from, waits.validity));
    at(due.min(expires), now, Action::Attempt)
}

fn in_doubt(
    doubt: &Doubt<'_>,
    now: DateTime<Utc>,
    policy: DoubtPolicy,
    waits: &Waits,
    looks: u32,
) -> Action {
    match policy {
        DoubtPolicy::LookUp if looks > 0 => Action::LookUp,
        DoubtPolicy::LookUp => {
            let from = doubt.since.max(doubt.lease_until);
            at(after(from, waits.look_ups[0]), now, Action::LookUp)
        }
        DoubtPolicy::Wait => at(after(doubt.since, waits.receipt), now, Action::LeaveInDoubt),
        DoubtPolicy::Resend => Action::Settle(Settled::Resend),
        DoubtPolicy::Fail => Action::Settle(Settled::Fail),
    }
}

fn at(time: DateTime<Utc>, now: DateTime<Utc>, action: Action) -> Action {
    if time <= now { action } else { Action::LookAgain(time) }
}

pub(crate) fn after(time: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
    time.checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
