//! Decides from a message's state what has to be done for it now. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::message::command::Settlement;
use hatch_domain::message::status::Status;
use hatch_domain::message::{Doubt, Message};
use hatch_domain::{ErrorClass, OnDoubt, SendError, time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The policy for a message whose attempt is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

impl From<OnDoubt> for DoubtPolicy {
    fn from(policy: OnDoubt) -> Self {
        match policy {
            OnDoubt::LookUp => Self::LookUp,
            OnDoubt::Wait => Self::Wait,
            OnDoubt::Resend => Self::Resend,
            OnDoubt::Fail => Self::Fail,
        }
    }
}

impl From<DoubtPolicy> for OnDoubt {
    fn from(policy: DoubtPolicy) -> Self {
        match policy {
            DoubtPolicy::LookUp => Self::LookUp,
            DoubtPolicy::Wait => Self::Wait,
            DoubtPolicy::Resend => Self::Resend,
            DoubtPolicy::Fail => Self::Fail,
        }
    }
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
    /// How long after an attempt its provider's answer that there is no such message says something.
    pub conclusive_after: Duration,
    /// How long a call may take: a doubt about a claimant that said nothing is left alone for as long,
    /// before policy ends it.
    pub call: Duration,
    /// How long a receipt is waited for before a doubt is left to a person.
    pub receipt: Duration,
}

/// No look-up is further from the one before.
const LOOK_UP_WAIT_MAX: Duration = Duration::from_secs(3_600);

/// The next action for a message.
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

/// When the present round began, if it is too late for another attempt of it.
pub(crate) fn expired_round(
    message: &Message,
    now: DateTime<Utc>,
    waits: &Waits,
) -> Option<DateTime<Utc>> {
    message.round_from().filter(|from| after(*from, waits.validity) <= now)
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
    let (code, class) = (code.to_owned(), ErrorClass::Other);
    let error = SendError { code, class, detail: detail.to_owned(), permanent: false };
    let retry_at = (message.attempt_by_account() < attempts_max).then_some(now);
    Settlement::NotSent { error, retry_at }
}

fn attempt(message: &Message, due: DateTime<Utc>, now: DateTime<Utc>, waits: &Waits) -> Action {
    if expired_round(message, now, waits).is_some() {
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
            let first = after(from, waits.look_ups[0]);
            let conclusive = after(doubt.attempted_at, waits.conclusive_after);
            at(first.max(conclusive), now, Action::LookUp)
        }
        DoubtPolicy::Wait => at(after(doubt.since, waits.receipt), now, Action::LeaveInDoubt),
        DoubtPolicy::Resend => at(call_over(doubt, waits), now, Action::Settle(Settled::Resend)),
        DoubtPolicy::Fail => at(call_over(doubt, waits), now, Action::Settle(Settled::Fail)),
    }
}

/// When the call in doubt is surely over. Before its lease was, only its claimant itself can have said
/// that it got no answer.
fn call_over(doubt: &Doubt<'_>, waits: &Waits) -> DateTime<Utc> {
    match doubt.since < doubt.lease_until {
        true => doubt.since,
        false => after(doubt.since, waits.call),
    }
}

fn at(time: DateTime<Utc>, now: DateTime<Utc>, action: Action) -> Action {
    if time <= now { action } else { Action::LookAgain(time) }
}

pub(crate) fn after(time: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    let wait = time::delta(wait);
    time.checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use hatch_domain::Decider;
    use hatch_domain::message::command::MessageCommand;
    use hatch_domain::message::event::{
        MessageCanceled, MessageDeferred, MessageEvent, MessageSent, RetryRequested, SendFailed,
        SendInDoubt,
    };

    use super::*;
    use crate::testing::{at, attempted, requested, scheduled};

    const WAITS: Waits = Waits {
        delivery_grace: Duration::from_secs(5),
        validity: Duration::from_secs(1_000),
        look_ups: [Duration::from_secs(30), Duration::from_secs(120)],
        conclusive_after: Duration::ZERO,
        call: Duration::from_secs(15),
        receipt: Duration::from_secs(600),
    };

    fn message(history: &[MessageEvent]) -> Message {
        history.iter().fold(Message::default(), Message::evolve)
    }

    fn due(history: &[MessageEvent], second: i64) -> Action {
        decide(&message(history), at(second), DoubtPolicy::LookUp, &WAITS, 0)
    }

    fn error() -> SendError {
        let class = ErrorClass::Other;
        SendError { code: "x".to_owned(), class, detail: "x".to_owned(), permanent: false }
    }

    fn failed(attempt: u32, retry_at: i64) -> MessageEvent {
        SendFailed { attempt, error: error(), retry_at: Some(at(retry_at)), at: at(2) }.into()
    }

    fn in_doubt(attempt: u32, second: i64) -> MessageEvent {
        SendInDoubt { attempt, detail: "timeout".to_owned(), at: at(second) }.into()
    }

    #[test]
    fn a_new_message_is_left_to_the_bus_for_a_while_and_no_other_is() {
        assert_eq!(due(&[requested()], 4), Action::LookAgain(at(5)));
        assert_eq!(due(&[requested()], 5), Action::Attempt);
        assert_eq!(due(&[scheduled(60)], 59), Action::LookAgain(at(60)));
        assert_eq!(due(&[scheduled(60)], 60), Action::Attempt);
        let retrying = [requested(), attempted(1), failed(1, 20)];
        assert_eq!(due(&retrying, 19), Action::LookAgain(at(20)));
        assert_eq!(due(&retrying, 20), Action::Attempt);
        let (reason, error, expires_at) = ("rate".to_owned(), None, None);
        let (until, waits_for) = (at(30), None);
        let deferral = MessageDeferred { reason, until, error, expires_at, waits_for, at: at(1) };
        assert_eq!(due(&[requested(), deferral.into()], 30), Action::Attempt);
    }

    #[test]
    fn validity_is_counted_from_request_schedule_or_retry() {
        assert_eq!(due(&[requested()], 1_000), Action::Expire);
        assert_eq!(due(&[scheduled(60)], 1_059), Action::Attempt);
        assert_eq!(due(&[scheduled(60)], 1_060), Action::Expire);
        let far = [requested(), attempted(1), failed(1, 5_000)];
        assert_eq!(due(&far, 20), Action::LookAgain(at(1_000)), "not at its attempt's time");
        let expire = MessageCommand::Expire { round_from: at(0), at: at(1_000) };
        let mut again = vec![requested()];
        again.extend(message(&again).decide(&expire).expect("it waits"));
        again.push(RetryRequested { at: at(2_000) }.into());
        assert_eq!(due(&again, 2_999), Action::Attempt);
        assert_eq!(due(&again, 3_000), Action::Expire);
    }

    #[test]
    fn an_attempt_is_its_claimants_until_the_lease_is_over() {
        let sending = [requested(), attempted(1)];
        assert_eq!(due(&sending, 9), Action::LookAgain(at(10)));
        assert_eq!(due(&sending, 10), Action::ExpireLease);
    }

    #[test]
    fn a_doubt_is_looked_up_after_the_later_of_doubt_and_lease() {
        let early = [requested(), attempted(1), in_doubt(1, 3)];
        assert_eq!(due(&early, 39), Action::LookAgain(at(40)));
        assert_eq!(due(&early, 40), Action::LookUp);
        let late = [requested(), attempted(1), in_doubt(1, 50)];
        assert_eq!(due(&late, 79), Action::LookAgain(at(80)));
        let second = decide(&message(&late), at(79), DoubtPolicy::LookUp, &WAITS, 1);
        assert_eq!(second, Action::LookUp, "its caller came when it was due");
    }

    #[test]
    fn nobody_is_asked_before_the_answer_says_something() {
        let waits = Waits { conclusive_after: Duration::from_secs(1_800), ..WAITS };
        let doubtful = message(&[requested(), attempted(1), in_doubt(1, 3)]);
        let by = |second| decide(&doubtful, at(second), DoubtPolicy::LookUp, &waits, 0);
        let claimed = doubtful.doubt().expect("in doubt").attempted_at;
        let first = (claimed - at(0)).num_seconds() + 1_800;
        assert_eq!(by(first - 1), Action::LookAgain(at(first)));
        assert_eq!(by(first), Action::LookUp);
    }

    #[test]
    fn look_ups_are_ever_further_apart_up_to_an_hour() {
        let waits: Vec<_> =
            (1..=8).map(|n| (next_look_up(at(0), n, &WAITS) - at(0)).num_seconds()).collect();
        assert_eq!(waits, [90, 180, 360, 720, 1_440, 2_880, 3_600, 3_600]);
        assert_eq!(next_look_up(at(0), u32::MAX, &WAITS), at(3_600));
    }

    #[test]
    fn other_policies_wait_for_a_receipt_or_decide_at_once() {
        let doubtful = message(&[requested(), attempted(1), in_doubt(1, 3)]);
        let by = |policy, second| decide(&doubtful, at(second), policy, &WAITS, 0);
        assert_eq!(by(DoubtPolicy::Wait, 602), Action::LookAgain(at(603)));
        assert_eq!(by(DoubtPolicy::Wait, 603), Action::LeaveInDoubt);
        assert_eq!(by(DoubtPolicy::Resend, 3), Action::Settle(Settled::Resend));
        assert_eq!(by(DoubtPolicy::Fail, 3), Action::Settle(Settled::Fail));
    }

    #[test]
    fn policy_ends_no_doubt_while_the_call_of_a_silent_claimant_may_go_on() {
        let doubtful = message(&[requested(), attempted(1), in_doubt(1, 10)]);
        let by = |policy, second| decide(&doubtful, at(second), policy, &WAITS, 0);
        for (policy, settled) in
            [(DoubtPolicy::Resend, Settled::Resend), (DoubtPolicy::Fail, Settled::Fail)]
        {
            assert_eq!(by(policy, 24), Action::LookAgain(at(25)));
            assert_eq!(by(policy, 25), Action::Settle(settled));
        }
    }

    #[test]
    fn nothing_is_due_of_what_is_sent_or_ended() {
        let provider_message_id = "SM1".to_owned();
        let sent = MessageSent { attempt: 1, provider_message_id, segments: None, at: at(2) };
        assert_eq!(due(&[requested(), attempted(1), sent.into()], 99), Action::Nothing);
        let canceled = MessageCanceled { at: at(1) };
        assert_eq!(due(&[requested(), canceled.into()], 99), Action::Nothing);
    }

    #[test]
    fn the_last_attempt_of_a_round_is_not_followed_by_another() {
        let doubtful = message(&[requested(), attempted(1), in_doubt(1, 3)]);
        let next = |attempts_max| match not_sent(&doubtful, "x", "x", attempts_max, at(9)) {
            Settlement::NotSent { retry_at, .. } => retry_at,
            Settlement::Sent { .. } => panic!("not sent"),
        };
        assert_eq!((next(2), next(1)), (Some(at(9)), None));
    }
}
