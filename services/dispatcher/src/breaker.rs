//! When nothing is given to an account for a while, and who tries it meanwhile. A pure state machine: the time is a
//! parameter, and nobody is asked for anything.
//!
//! *Closed*, calls are counted. Some that fail in a row, or a part of those in a window, or one by which the provider
//! refuses the account, *open* it: nothing is given to the account. When its time has come it is *half open*: one call at
//! a time is its probe. Those that succeed close it; one that fails has the next wait longer.

use std::collections::VecDeque;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

/// When the breaker of an account opens, and when it closes.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerRules {
    /// Calls in a row without the provider's own answer that open it; at least 1.
    pub failures: u32,
    /// The part of the calls in the window that opens it when they fail, or are throttled: more than 0, at most 1.
    pub ratio: f64,
    /// Calls in the window before their ratio is looked at; at least 1.
    pub calls_min: u32,
    /// How long calls are remembered for the ratio; at least 100.
    pub window_ms: u64,
    /// How long nothing is given to the account before one message is tried; at least 1. Each time that it opened within
    /// the last hour makes it three times as long, up to ten times the second of `dispatcher.account_backoff_ms`; of one that
    /// is throttled, up to that itself.
    pub open_ms: u64,
    /// Calls, one after the other, that have to succeed before all go on: 1 to 3.
    pub probes: u32,
}

/// A probe waits for this part of the time that the breaker has been open, at least. A message that waits alone is the
/// only one to try, each try is two events of its stream, and a stream holds 10,000.
const RARER: u32 = 32;

/// How much longer each opening of the last hour makes the next, and up to how many times the longest wait between two
/// trials: an account that flaps for a month does not fill its stream. One that is throttled sends something all the time, and waits as long as between two probes at
/// most.
const FLAPPING: (u32, u32) = (3, 10);

/// For how long openings count.
const OPENINGS_COUNT: Duration = Duration::from_secs(3_600);

/// Parts of a window that are counted apart.
const PARTS: u32 = 10;

impl Default for BreakerRules {
    fn default() -> Self {
        let (window_ms, open_ms) = (30_000, 1_000);
        Self { failures: 5, ratio: 0.5, calls_min: 20, window_ms, open_ms, probes: 1 }
    }
}

impl BreakerRules {
    /// Refuses rules by which a breaker never opens, or never closes.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { failures, ratio, calls_min, window_ms, open_ms, probes } = *self;
        let wrong = |key: &str, expected: &str, got: &dyn std::fmt::Display| {
            Err(format!("breaker.{key}: expected {expected}, got {got}"))
        };
        if failures == 0 {
            return wrong("failures", "at least 1", &failures);
        }
        if !(ratio > 0.0 && ratio <= 1.0) {
            return wrong("ratio", "more than 0 and at most 1", &ratio);
        }
        if calls_min == 0 {
            return wrong("calls_min", "at least 1", &calls_min);
        }
        if window_ms < 100 {
            return wrong("window_ms", "at least 100", &window_ms);
        }
        if open_ms == 0 {
            return wrong("open_ms", "at least 1", &open_ms);
        }
        if !(1..=3).contains(&probes) {
            return wrong("probes", "1 to 3", &probes);
        }
        Ok(())
    }

    /// How long calls are remembered.
    pub(crate) const fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms)
    }
}

/// How the breaker of an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    /// Messages go by the account.
    Closed,
    /// None does.
    Open,
    /// One at a time does, to try it.
    HalfOpen,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Its name in the API and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What a call told of its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The provider looked at the message.
    Success,
    /// It did not answer, or was out of order.
    Failure,
    /// It was asked too much.
    Throttled,
    /// It refuses the account.
    Refused,
    /// Nothing.
    Nothing,
}

/// Why a breaker opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// So many calls in a row failed.
    InRow,
    /// Too many of those in the window did.
    Ratio,
    /// Too many of those in the window were throttled.
    Throttled,
    /// The provider refuses the account.
    Refused,
}

/// A breaker became another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It opened.
    Opened {
        /// Why.
        cause: Cause,
        /// Calls that failed.
        failures: u32,
        /// Of so many.
        calls: u32,
    },
    /// It closed.
    Closed {
        /// How long it was open.
        open_for: Duration,
    },
}

/// How long waits are, in one go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// When.
    pub(crate) now: Instant,
    /// Between two probes of an account that its provider refuses, at first, and between any two at most.
    pub(crate) backoff: (Duration, Duration),
}

/// The breaker of an account.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    in_row: u32,
    window: Window,
    open: Option<Open>,
    /// When it closed last.
    closed: Option<Instant>,
    /// When it opened.
    openings: VecDeque<Instant>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    /// Nobody tries before.
    until: Instant,
    /// The next wait.
    wait: Duration,
    /// Somebody tries.
    probing: bool,
    /// Probes that succeeded.
    succeeded: u32,
}

impl Breaker {
    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match &self.open {
            None => BreakerState::Closed,
            Some(open) if open.until <= now => BreakerState::HalfOpen,
            Some(_) => BreakerState::Open,
        }
    }

    /// When it is half open at the latest; none where it is closed.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.until)
    }

    /// Whether a call may be made now.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        self.open.as_ref().is_none_or(|open| open.may_try(now))
    }

    /// Leave to call, and whether that is a probe; none while nobody is to call.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<bool> {
        let Some(open) = &mut self.open else { return Some(false) };
        if !open.may_try(now) {
            return None;
        }
        open.probing = true;
        Some(true)
    }

    /// Whether somebody tries.
    pub(crate) fn is_probing(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.probing)
    }

    /// A probe that was begun then is given back, and tells nothing.
    pub(crate) fn give_back(&mut self, begun: Instant) {
        if let Some(open) = self.open.as_mut().filter(|open| open.has_begun(begun)) {
            open.probing = false;
        }
    }

    /// A call that was begun then told this.
    pub(crate) fn saw(
        &mut self,
        (begun, is_probe): (Instant, bool),
        seen: Seen,
        timing: Timing,
        rules: &BreakerRules,
    ) -> Option<Change> {
        if self.open.is_some() {
            // What was under way when it opened says nothing of the account now, and neither does a probe of an earlier time
            // that it was open.
            let is_its = self.open.as_ref().is_some_and(|open| open.has_begun(begun));
            return if is_probe && is_its { self.probed(seen, timing, rules) } else { None };
        }
        if self.closed.is_some_and(|closed| begun <= closed) {
            return None;
        }
        match seen {
            Seen::Nothing => return None,
            // It answers.
            Seen::Success | Seen::Throttled | Seen::Refused => self.in_row = 0,
            Seen::Failure => self.in_row = self.in_row.saturating_add(1),
        }
        self.window.count(timing.now, seen, rules.window());
        let Counted { calls, failed, throttled } = self.window.counted();
        let bad = failed.saturating_add(throttled);
        let cause = if seen == Seen::Refused {
            Cause::Refused
        } else if seen == Seen::Failure && self.in_row >= rules.failures {
            Cause::InRow
        } else if seen != Seen::Success
            && calls >= rules.calls_min
            && f64::from(bad) >= f64::from(calls) * rules.ratio
        {
            if throttled >= failed { Cause::Throttled } else { Cause::Ratio }
        } else {
            return None;
        };
        let failures = match cause {
            Cause::InRow => self.in_row,
            Cause::Refused => 1,
            Cause::Ratio | Cause::Throttled => bad,
        };
        self.open((cause, Duration::ZERO), timing, rules);
        Some(Change::Opened { cause, failures, calls: calls.max(failures) })
    }

    /// It opened at these times, before this process knew of any.
    pub(crate) fn remember(&mut self, openings: impl Iterator<Item = Instant>) {
        if self.openings.is_empty() {
            self.openings.extend(openings);
        }
    }

    /// Another process opened it for this cause, so long ago.
    pub(crate) fn heard_open(
        &mut self,
        opened: (Cause, Duration),
        timing: Timing,
        rules: &BreakerRules,
    ) {
        if self.open.is_none() {
            self.open(opened, timing, rules);
        }
    }

    /// Another process closed it. Whether it was open here.
    pub(crate) fn heard_closed(&mut self, now: Instant) -> bool {
        self.close(now).is_some()
    }

    fn open(&mut self, (cause, ago): (Cause, Duration), timing: Timing, rules: &BreakerRules) {
        let now = timing.now;
        let (growth, of_longest) = FLAPPING;
        let most = timing.backoff.1.saturating_mul(of_longest);
        let (least, most) = match cause {
            Cause::Refused => (timing.backoff.0, most),
            // It works, as far as its provider lets it.
            Cause::Throttled => (Duration::from_millis(rules.open_ms), timing.backoff.1),
            Cause::InRow | Cause::Ratio => (Duration::from_millis(rules.open_ms), most),
        };
        self.openings.retain(|opened| now.duration_since(*opened) < OPENINGS_COUNT);
        let times = u32::try_from(self.openings.len()).unwrap_or(u32::MAX);
        let first = least.saturating_mul(growth.saturating_pow(times)).min(most.max(least));
        self.openings.push_back(now);
        let wait = (least * 2).min(timing.backoff.1);
        let until = now + first.saturating_sub(ago);
        self.open = Some(Open { since: now, until, wait, probing: false, succeeded: 0 });
    }

    fn probed(&mut self, seen: Seen, timing: Timing, rules: &BreakerRules) -> Option<Change> {
        let open = self.open.as_mut()?;
        open.probing = false;
        if seen == Seen::Success {
            open.succeeded += 1;
            if open.succeeded < rules.probes {
                return None;
            }
            return self.close(timing.now).map(|open_for| Change::Closed { open_for });
        }
        open.succeeded = 0;
        open.put_off(timing);
        None
    }

    fn close(&mut self, now: Instant) -> Option<Duration> {
        let open = self.open.take()?;
        (self.in_row, self.window, self.closed) = (0, Window::default(), Some(now));
        Some(now.duration_since(open.since))
    }
}

impl Open {
    /// Whether the probe that was begun then is of this time that it is open.
    fn has_begun(&self, begun: Instant) -> bool {
        begun >= self.since
    }

    fn may_try(&self, now: Instant) -> bool {
        !self.probing && self.until <= now
    }

    /// Puts the next probe off.
    fn put_off(&mut self, Timing { now, backoff }: Timing) {
        self.until = now + self.wait.max(now.duration_since(self.since) / RARER);
        self.wait = (self.wait * 2).min(backoff.1);
    }
}

/// The calls of the last while, in parts of it.
#[derive(Debug, Default)]
struct Window {
    parts: VecDeque<(Instant, Counted)>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    calls: u32,
    failed: u32,
    throttled: u32,
}

impl Window {
    fn count(&mut self, now: Instant, seen: Seen, window: Duration) {
        while self.parts.front().is_some_and(|(begun, _)| now.duration_since(*begun) >= window) {
            self.parts.pop_front();
        }
        let part = window / PARTS;
        if self.parts.back().is_none_or(|(begun, _)| now.duration_since(*begun) >= part) {
            self.parts.push_back((now, Counted::default()));
        }
        let Some((_, counted)) = self.parts.back_mut() else { return };
        counted.calls = counted.calls.saturating_add(1);
        match seen {
            Seen::Failure => counted.failed = counted.failed.saturating_add(1),
            Seen::Throttled => counted.throttled = counted.throttled.saturating_add(1),
            Seen::Success | Seen::Refused | Seen::Nothing => {}
        }
    }

    fn counted(&self) -> Counted {
        self.parts.iter().fold(Counted::default(), |all, (_, one)| Counted {
            calls: all.calls.saturating_add(one.calls),
            failed: all.failed.saturating_add(one.failed),
            throttled: all.throttled.saturating_add(one.throttled),
        })
    }
}

#[cfg(test)]
mod tests;
