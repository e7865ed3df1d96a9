//! What is known of an account, and how it changes.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::carrier::Opening;
use hatch_providers::{Outcome, Trouble};
use tokio::time::Instant;

use super::{FAILED_CALLS, FAILURE_KNOWN, THROTTLED};
use crate::breaker::{Breaker, Cause};
use crate::condition::{Condition, Failing, Refusal};

/// What is known of an account.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) breaker: Breaker,
    /// Why it is open.
    pub(super) down: Option<Down>,
    /// What the others are not told yet.
    pub(super) untold: Option<Transition>,
    /// When it was closed last, by this process or another.
    pub(super) closed: Option<DateTime<Utc>>,
    /// Which opening the others were told of that it is closed, though the log had it open still.
    settled: Option<DateTime<Utc>>,
    pub(super) failed: FailedCalls,
    /// Calls in a row that were too much, and until when there is to be none.
    pub(super) throttled: u32,
    pub(super) held_until: Option<Instant>,
    /// The provider has looked at a message.
    pub(super) is_proven: bool,
}

/// Calls in a row that failed.
#[derive(Debug, Default)]
pub(super) struct FailedCalls {
    pub(super) calls: u32,
    pub(super) since: Option<DateTime<Utc>>,
    pub(super) last: Option<Instant>,
    /// One of them was answered, by an error.
    pub(super) is_answered: bool,
}

/// Why a breaker is open.
#[derive(Debug, Clone)]
pub(super) struct Down {
    pub(super) why: Why,
    pub(super) since: DateTime<Utc>,
}

impl Down {
    /// The same for the others.
    pub(super) fn news(&self) -> Transition {
        let at = self.since;
        match &self.why {
            Why::Refused(Refusal { trouble, code, detail, .. }) => {
                let (cause, detail) = (trouble.reason().to_owned(), format!("{code}: {detail}"));
                Transition::Opened { cause, detail, failures: 1, calls: 1, at }
            }
            Why::Failing(Failing { cause, detail, failures, calls }) => {
                let (cause, detail) = (cause.clone(), detail.clone());
                Transition::Opened { cause, detail, failures: *failures, calls: *calls, at }
            }
        }
    }
}

/// In one way or the other.
#[derive(Debug, Clone)]
pub(super) enum Why {
    Refused(Refusal),
    Failing(Failing),
}

impl Why {
    /// The same as a breaker has it, which does not tell failures in a row from others.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Refused(_) => Cause::Refused,
            Self::Failing(failing) if failing.cause == "throttled" => Cause::Throttled,
            Self::Failing(_) => Cause::Ratio,
        }
    }
}

/// What the other processes are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transition {
    /// Nobody is to send by the account.
    Opened { cause: String, detail: String, failures: u32, calls: u32, at: DateTime<Utc> },
    /// Everybody may again.
    Closed { opened_at: DateTime<Utc>, open_for: Duration, at: DateTime<Utc> },
}

impl Transition {
    /// When.
    pub(crate) const fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Opened { at, .. } | Self::Closed { at, .. } => *at,
        }
    }
}

/// Why another process opened a breaker.
pub(super) fn heard(opening: &Opening, account: &str) -> Why {
    let trouble = Trouble::ALL.into_iter().find(|trouble| trouble.reason() == opening.cause);
    match trouble {
        Some(trouble) => {
            let (code, detail) = opening.detail.split_once(": ").unwrap_or(("-", &opening.detail));
            let (code, detail) = (code.to_owned(), detail.to_owned());
            Why::Refused(Refusal { trouble, code, detail, since: opening.at })
        }
        None => {
            tracing::debug!(account, cause = opening.cause, "a breaker opens by what others saw");
            let (cause, detail) = (opening.cause.clone(), opening.detail.clone());
            let (failures, calls) = (opening.failures, opening.calls);
            Why::Failing(Failing { cause, detail, failures, calls })
        }
    }
}

impl State {
    /// How the account is.
    pub(super) fn condition(&self) -> Condition {
        if let Some(Down { why, since }) = &self.down {
            return match why {
                Why::Refused(refusal) => Condition::Refused(refusal.clone()),
                Why::Failing(failing) => {
                    Condition::Failing { failing: failing.clone(), since: *since }
                }
            };
        }
        let FailedCalls { calls, since, last, is_answered } = self.failed;
        let is_recent = last.is_some_and(|last| last.elapsed() < FAILURE_KNOWN);
        match since.filter(|_| is_recent && calls >= FAILED_CALLS) {
            Some(since) if is_answered => Condition::Erring { calls, since },
            Some(since) => Condition::Silent { calls, since },
            None => Condition::Up,
        }
    }

    pub(super) fn speaks(&mut self) {
        self.failed = FailedCalls::default();
    }

    pub(super) fn fails(&mut self, now: DateTime<Utc>, is_answered: bool) {
        self.failed.calls = self.failed.calls.saturating_add(1);
        self.failed.since.get_or_insert(now);
        self.failed.last = Some(Instant::now());
        self.failed.is_answered |= is_answered;
    }

    /// Notes what was too much.
    pub(super) fn throttle(&mut self, outcome: &Outcome) {
        let Outcome::Throttled { retry_after, .. } = outcome else {
            if matches!(outcome, Outcome::Accepted { .. } | Outcome::Refused { .. }) {
                (self.throttled, self.held_until) = (0, None);
            }
            return;
        };
        self.throttled = self.throttled.saturating_add(1);
        let (calls, usual, most) = THROTTLED;
        if self.throttled >= calls {
            let wait = retry_after.unwrap_or(usual).min(most);
            self.held_until = self.held_until.max(Some(Instant::now() + wait));
        }
    }

    /// The breaker opened by what was seen here.
    pub(super) fn opened(&mut self, why: Why, now: DateTime<Utc>) {
        // Who closed it last may go by a clock that is ahead.
        let closed = self.closed.map(|closed| closed + TimeDelta::microseconds(1));
        let down = Down { why, since: closed.map_or(now, |closed| closed.max(now)) };
        self.untold = match self.untold.take() {
            // The others never heard that it was closed meanwhile.
            Some(Transition::Closed { .. }) => None,
            _ => Some(down.news()),
        };
        (self.down, self.is_proven) = (Some(down), false);
    }

    /// Whether more is known here than that it was opened so. Where it was closed here since, and the log has it open all the
    /// same, the others are told.
    pub(super) fn knows_more_than(&mut self, opening: &Opening) -> bool {
        if let Some(down) = &mut self.down {
            // Two found it at once, and one of them told: what closes is what that one opened.
            down.since = down.since.max(opening.at);
            return true;
        }
        let Some(closed) = self.closed.filter(|closed| opening.at <= *closed) else {
            return false;
        };
        let is_settled = self.settled.is_some_and(|settled| opening.at <= settled);
        if self.untold.is_none() && !is_settled {
            let (opened_at, at) = (opening.at, closed);
            let open_for = (at - opened_at).to_std().unwrap_or_default();
            self.settled = Some(opened_at);
            self.untold = Some(Transition::Closed { opened_at, open_for, at });
        }
        true
    }

    /// The breaker closed by what was seen here. Why it had been open.
    pub(super) fn closed(&mut self, open_for: Duration, now: DateTime<Utc>) -> Option<Down> {
        let down = self.down.take()?;
        // The clock that the others go by may stand still for a moment.
        let now = now.max(down.since + TimeDelta::microseconds(1));
        self.untold = match self.untold.take() {
            // They never heard that it was open.
            Some(Transition::Opened { .. }) => None,
            _ => Some(Transition::Closed { opened_at: down.since, open_for, at: now }),
        };
        (self.closed, self.is_proven) = (Some(now), true);
        self.speaks();
        Some(down)
    }

    /// A probe met another refusal, perhaps.
    pub(super) fn refused_again(&mut self, outcome: &Outcome) {
        if let (Outcome::Account { trouble, code, detail }, Some(down)) = (outcome, &mut self.down)
        {
            let (trouble, code, detail) = (*trouble, code.clone(), detail.clone());
            down.why = Why::Refused(Refusal { trouble, code, detail, since: down.since });
        }
    }
}

/// Why a breaker opened by this outcome.
pub(super) fn why(
    outcome: &Outcome,
    (cause, failures, calls): (Cause, u32, u32),
    (now, failed): (DateTime<Utc>, &FailedCalls),
) -> Why {
    if let Outcome::Account { trouble, code, detail } = outcome {
        let (trouble, code, detail) = (*trouble, code.clone(), detail.clone());
        return Why::Refused(Refusal { trouble, code, detail, since: now });
    }
    let last = match outcome {
        Outcome::Unavailable { code, detail } => format!("{code}: {detail}"),
        Outcome::Unknown { detail } | Outcome::Throttled { detail, .. } => detail.clone(),
        _ => String::new(),
    };
    let (cause, detail) = match cause {
        Cause::InRow => {
            let cause = if failed.is_answered { "failures" } else { "silent" };
            let since = failed.since.unwrap_or(now).format("%H:%M:%S");
            (cause, format!("the last {failures} calls failed, since {since} UTC ({last})"))
        }
        Cause::Throttled => {
            ("throttled", format!("{failures} of {calls} calls were too much ({last})"))
        }
        Cause::Ratio | Cause::Refused => {
            ("ratio", format!("{failures} of {calls} calls failed ({last})"))
        }
    };
    Why::Failing(Failing { cause: cause.to_owned(), detail, failures, calls })
}
