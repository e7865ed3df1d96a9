//! When a failed attempt is tried again: exponential back-off with jitter above each step.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::message::command::AttemptOutcome;
use hatch_domain::{ErrorClass, SendError};
use hatch_providers::Outcome;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::choose::Another;
use crate::due::after;

/// How attempts are spaced and how many there are.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Attempts at most, the first included; at least 1.
    pub attempts_max: u32,
    /// The first wait is at least this and at most five times as long, and each later one five times as long as the one
    /// before.
    pub backoff_min_ms: u64,
    /// No wait is longer, unless the provider asks for it.
    pub backoff_max_ms: u64,
}

/// Each wait is so many times the one before. So few waits reach from a passing fault to an outage.
const GROWTH: u64 = 5;

/// The longest waits are spread, too, over this part of them.
const SPREAD_MIN: f64 = 0.1;

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 8, backoff_min_ms: 1_000, backoff_max_ms: 600_000 }
    }
}

impl RetryPolicy {
    /// What the domain is told of an adapter's outcome, now, of a message that is given up at `expires_at` at the
    /// latest. `chance`, from 0 to 1, is the jitter. Where the account is the reason, or the way to its provider, a message
    /// that has another account goes by that at once; what is wrong with the message itself, no account mends; and of what
    /// nobody knows, nothing follows.
    pub(crate) fn judge(
        &self,
        attempt: u32,
        outcome: Outcome,
        (now, expires_at): (DateTime<Utc>, DateTime<Utc>),
        (chance, another): (f64, &Another),
    ) -> AttemptOutcome {
        let (mut error, at_least) = match outcome {
            Outcome::Accepted { provider_message_id, segments } => {
                return AttemptOutcome::Accepted { provider_message_id, segments };
            }
            Outcome::Unknown { detail } => return AttemptOutcome::Unknown { detail },
            Outcome::Shortage(lack) => {
                let retry_at = after(now, self.wait(1, chance));
                return AttemptOutcome::Abandoned { reason: Some(lack.as_str().into()), retry_at };
            }
            Outcome::Account { trouble, code, detail } => {
                let (reason, class) = (trouble.reason().to_owned(), ErrorClass::Account);
                let error = SendError { code, class, detail, permanent: false };
                let goes_on = matches!(another, Another::Now(_));
                let expires_at = (!goes_on).then_some(expires_at);
                return AttemptOutcome::AccountRefused { reason, error, expires_at };
            }
            Outcome::Refused { error } => (error, Duration::ZERO),
            Outcome::Throttled { code, retry_after, detail } => {
                let class = ErrorClass::Rate;
                let error = SendError { code, class, detail, permanent: false };
                (error, retry_after.unwrap_or_default())
            }
            Outcome::Unavailable { code, detail } => {
                let class = ErrorClass::Unreachable;
                (SendError { code, class, detail, permanent: false }, Duration::ZERO)
            }
        };
        if error.class == ErrorClass::Account && *another != Another::Nobody {
            // Another account may well send it.
            error.permanent = false;
        }
        let wait = match another {
            Another::Now(_) if fails_over(&error) => Duration::ZERO,
            _ => self.wait(attempt, chance).max(at_least),
        };
        let goes_on = !error.permanent && attempt < self.attempts_max;
        let retry_at = goes_on.then(|| after(now, wait));
        AttemptOutcome::NotSent { error, retry_at }
    }

    /// From this attempt's step to the next one's, as `chance` says: many that failed at once do not come again
    /// at once, and none comes again before its provider can have recovered.
    pub(crate) fn wait(&self, attempt: u32, chance: f64) -> Duration {
        let max = Duration::from_millis(self.backoff_max_ms);
        let step = |number: u32| {
            let grown = self.backoff_min_ms.saturating_mul(GROWTH.saturating_pow(number));
            Duration::from_millis(grown).min(max)
        };
        let steps = attempt.saturating_sub(1);
        let (high, low) = (step(steps.saturating_add(1)), step(steps));
        let low = low.min(high.mul_f64(1.0 - SPREAD_MIN));
        low + (high - low).mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// Whether another account may do better at once.
pub(crate) const fn fails_over(error: &SendError) -> bool {
    let is_of_account =
        matches!(error.class, ErrorClass::Account | ErrorClass::Rate | ErrorClass::Unreachable);
    is_of_account && !error.permanent
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use hatch_providers::{Lack, Trouble};

    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { attempts_max: 3, backoff_min_ms: 200, backoff_max_ms: 5_000 };

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("in range")
    }

    fn judge(attempt: u32, outcome: Outcome, chance: f64) -> AttemptOutcome {
        judge_with(attempt, outcome, chance, &Another::Nobody)
    }

    fn judge_with(
        attempt: u32,
        outcome: Outcome,
        chance: f64,
        another: &Another,
    ) -> AttemptOutcome {
        POLICY.judge(attempt, outcome, (now(), now() + TimeDelta::days(1)), (chance, another))
    }

    fn refused(class: ErrorClass, permanent: bool) -> Outcome {
        let (code, detail) = ("1".to_owned(), "no".to_owned());
        Outcome::Refused { error: SendError { code, class, detail, permanent } }
    }

    fn unavailable() -> Outcome {
        Outcome::Unavailable { code: "connect".to_owned(), detail: "refused".to_owned() }
    }

    fn throttled(retry_after: Option<Duration>) -> Outcome {
        let (code, detail) = ("20429".to_owned(), "slow down".to_owned());
        Outcome::Throttled { code, retry_after, detail }
    }

    fn retry_after(outcome: &AttemptOutcome) -> Option<i64> {
        match outcome {
            AttemptOutcome::NotSent { retry_at, .. } => {
                retry_at.map(|at| (at - now()).num_milliseconds())
            }
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    #[test]
    fn waits_grow_from_the_least_to_the_most() {
        let waits = |chance: f64| [1, 2, 3, 4, 5].map(|n| POLICY.wait(n, chance).as_millis());
        assert_eq!(waits(0.0), [200, 1_000, 4_500, 4_500, 4_500]);
        assert_eq!(waits(1.0), [1_000, 5_000, 5_000, 5_000, 5_000]);
        assert_eq!(POLICY.wait(u32::MAX, 1.0).as_millis(), 5_000);
        let constant = RetryPolicy { backoff_min_ms: 5_000, ..POLICY };
        assert_eq!([0.0, 1.0].map(|chance| constant.wait(1, chance).as_millis()), [4_500, 5_000]);
    }

    #[test]
    fn a_wait_beyond_all_time_ends_with_it() {
        let far = RetryPolicy { backoff_max_ms: u64::MAX, backoff_min_ms: u64::MAX, ..POLICY };
        let (times, with) = ((now(), now()), (1.0, &Another::Nobody));
        let judged = far.judge(1, unavailable(), times, with);
        let AttemptOutcome::NotSent { retry_at, .. } = judged else { panic!("{judged:?}") };
        assert_eq!(retry_at, Some(DateTime::<Utc>::MAX_UTC));
    }

    #[test]
    fn five_attempts_survive_an_outage_of_ten_seconds() {
        let least: Duration = (1..5).map(|attempt| POLICY.wait(attempt, 0.0)).sum();
        assert!(least >= Duration::from_secs(10), "{least:?}");
    }

    #[test]
    fn the_last_attempt_has_no_next_one() {
        assert_eq!(retry_after(&judge(2, unavailable(), 0.5)), Some(3_000));
        assert_eq!(retry_after(&judge(3, unavailable(), 0.5)), None);
    }

    #[test]
    fn what_kept_us_from_a_provider_has_its_code_and_its_class() {
        for (outcome, expected) in [
            (throttled(None), ("20429", ErrorClass::Rate)),
            (unavailable(), ("connect", ErrorClass::Unreachable)),
        ] {
            match judge(1, outcome, 0.5) {
                AttemptOutcome::NotSent { error, .. } => {
                    assert_eq!((error.code.as_str(), error.class), expected);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_permanent_refusal_is_not_retried() {
        let error = SendError {
            code: "21211".to_owned(),
            class: ErrorClass::InvalidRecipient,
            detail: "invalid To".to_owned(),
            permanent: true,
        };
        assert_eq!(retry_after(&judge(1, Outcome::Refused { error }, 0.5)), None);
    }

    #[test]
    fn a_provider_that_says_how_long_to_wait_is_obeyed() {
        let throttled = |seconds| throttled(Some(Duration::from_secs(seconds)));
        assert_eq!(retry_after(&judge(1, throttled(60), 1.0)), Some(60_000));
        assert_eq!(retry_after(&judge(1, throttled(0), 1.0)), Some(1_000));
    }

    #[test]
    fn our_own_want_ends_no_message_however_often_it_is_met() {
        for attempt in [1, POLICY.attempts_max, 1_000] {
            let judged = judge(attempt, Outcome::Shortage(Lack::Files), 1.0);
            match judged {
                AttemptOutcome::Abandoned { reason, retry_at } => {
                    assert_eq!(reason.as_deref(), Some("files"));
                    assert!(retry_at > now(), "{retry_at}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn doubt_is_never_a_failure() {
        let unknown = Outcome::Unknown { detail: "timeout".to_owned() };
        let judged = judge(1, unknown, 0.5);
        assert!(matches!(judged, AttemptOutcome::Unknown { .. }));
    }

    #[test]
    fn what_is_wrong_with_an_account_ends_no_message_however_often_it_is_met() {
        for attempt in [1, POLICY.attempts_max, 1_000] {
            let (code, detail) = ("20003".to_owned(), "Authenticate".to_owned());
            let trouble = Trouble::Credentials;
            match judge(attempt, Outcome::Account { trouble, code, detail }, 1.0) {
                AttemptOutcome::AccountRefused { reason, error, expires_at } => {
                    assert_eq!((reason.as_str(), error.permanent), ("account_credentials", false));
                    assert_eq!(expires_at, Some(now() + TimeDelta::days(1)));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_message_goes_by_another_account_at_once_where_the_account_or_the_way_is_the_reason() {
        let throttled = throttled(Some(Duration::from_secs(60)));
        let another = Another::Now("twilio-2".parse().expect("a name"));
        // The outcome, and the milliseconds until the next attempt: with another account, with one later, without.
        for (outcome, expected) in [
            (throttled, [Some(0), Some(60_000), Some(60_000)]),
            (unavailable(), [Some(0), Some(1_000), Some(1_000)]),
            (refused(ErrorClass::Account, true), [Some(0), Some(1_000), None]),
            (refused(ErrorClass::Account, false), [Some(0), Some(1_000), Some(1_000)]),
            (refused(ErrorClass::Unreachable, false), [Some(0), Some(1_000), Some(1_000)]),
            (refused(ErrorClass::Unreachable, true), [None, None, None]),
            (refused(ErrorClass::InvalidRecipient, true), [None, None, None]),
            (refused(ErrorClass::OptedOut, true), [None, None, None]),
            (refused(ErrorClass::Content, true), [None, None, None]),
            (refused(ErrorClass::Expired, true), [None, None, None]),
            (refused(ErrorClass::Other, false), [Some(1_000), Some(1_000), Some(1_000)]),
        ] {
            for (another, expected) in
                [&another, &Another::Later, &Another::Nobody].into_iter().zip(expected)
            {
                let judged = judge_with(1, outcome.clone(), 1.0, another);
                assert_eq!(retry_after(&judged), expected, "{outcome:?} {another:?}");
            }
            let last = judge_with(POLICY.attempts_max, outcome.clone(), 1.0, &another);
            assert_eq!(retry_after(&last), None, "attempts have an end: {outcome:?}");
        }
    }

    #[test]
    fn what_nobody_knows_goes_by_no_other_account() {
        let another = Another::Now("twilio-2".parse().expect("a name"));
        let unknown = Outcome::Unknown { detail: "timeout".to_owned() };
        let judged = judge_with(1, unknown, 0.5, &another);
        assert!(matches!(judged, AttemptOutcome::Unknown { .. }), "{judged:?}");
    }

    #[test]
    fn a_message_of_a_refused_account_waits_only_where_it_has_no_other() {
        for (another, waits) in [
            (Another::Now("twilio-2".parse().expect("a name")), false),
            (Another::Later, true),
            (Another::Nobody, true),
        ] {
            let (code, detail) = ("20003".to_owned(), String::new());
            let outcome = Outcome::Account { trouble: Trouble::Credentials, code, detail };
            match judge_with(1, outcome, 0.5, &another) {
                AttemptOutcome::AccountRefused { expires_at, .. } => {
                    assert_eq!(expires_at.is_some(), waits, "{another:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
