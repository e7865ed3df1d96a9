//! Tells a burst from an overload that lasts. Pure.

use std::time::Duration;

/// Too many are borne with for so long: a burst, or a slow disk.
const PATIENCE: Duration = Duration::from_secs(2);
/// When nobody was refused for so long and there is room to spare, bursts may come again.
const CALM: Duration = Duration::from_secs(2);
/// Rates are means over about so long: a slow commit is no change of pace.
const MEMORY: Duration = Duration::from_secs(1);

/// Tells a burst from an overload.
#[derive(Debug, Clone, Copy)]
pub(super) struct OverloadDetector {
    /// Since when there are too many, or, once that is an overload, since when there is room to spare.
    since: Option<Duration>,
    overloaded: bool,
}

impl OverloadDetector {
    pub(super) const fn new() -> Self {
        Self { since: None, overloaded: false }
    }

    /// Takes note of whether there are too many at a time, or few and nobody refused; says whether it is
    /// an overload.
    pub(super) fn judge(&mut self, at: Duration, too_many: bool, calm: bool) -> bool {
        let (turning, long) = if self.overloaded { (calm, CALM) } else { (too_many, PATIENCE) };
        self.since = turning.then(|| self.since.unwrap_or(at));
        if self.since.is_some_and(|since| at >= since + long) {
            *self = Self { since: None, overloaded: !self.overloaded };
        }
        self.overloaded
    }
}

/// A mean over the last [`MEMORY`], about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mean(pub(super) f64);

impl Mean {
    pub(super) const fn new() -> Self {
        Self(0.0)
    }

    /// Takes note of what was the case for a time that is not zero.
    pub(super) fn add(&mut self, value: f64, passed: Duration) {
        let weight = 1.0 - (-passed.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        self.0 += (value - self.0) * weight;
    }
}

/// A rate a second, averaged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate(Mean);

impl Rate {
    pub(super) const fn new() -> Self {
        Self(Mean::new())
    }

    pub(super) const fn a_second(self) -> f64 {
        self.0.0
    }

    /// How long so many take at it.
    pub(super) fn time(self, count: f64) -> Duration {
        let seconds = count / self.a_second().max(f64::MIN_POSITIVE);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Takes note of so many within a time that is not zero.
    pub(super) fn add(&mut self, count: f64, passed: Duration) {
        self.0.add(count / passed.as_secs_f64(), passed);
    }

    /// The same of work that there was enough of, if it is `busy`. Otherwise what was done says only that no less
    /// can be: whoever waits between bursts is no slower than in one.
    pub(super) fn add_while(&mut self, busy: bool, count: f64, passed: Duration) {
        if busy || count / passed.as_secs_f64() > self.a_second() {
            self.add(count, passed);
        }
    }
}
