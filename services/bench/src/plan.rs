//! The schedule: when each request is due, whatever becomes of those before it.

use std::time::Duration;

/// What a run is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Requests a second.
    pub(crate) rate: u32,
    /// How long requests fall due; what was begun is awaited beyond it.
    pub(crate) duration: Duration,
    /// Requests under way at a time. One that finds no room waits, and its latency counts the wait.
    pub(crate) clients: u16,
    /// What counts as done.
    pub(crate) goal: Goal,
    /// Whether the book keeps when each message was delivered.
    pub(crate) keeps_delivered: bool,
}

/// What counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// That the request was accepted.
    Accepted,
    /// That the message is shown as delivered.
    Delivered,
}

impl Plan {
    /// How many requests fall due.
    pub(crate) fn requests(&self) -> u64 {
        u64::from(self.rate) * self.duration.as_secs()
    }

    /// When request `n`, counted from 0, is due, counted from the start.
    pub(crate) fn due(&self, n: u64) -> Duration {
        const SECOND: u64 = 1_000_000_000;
        let rate = u64::from(self.rate);
        Duration::from_secs(n / rate) + Duration::from_nanos(n % rate * SECOND / rate)
    }

    /// How many requests are due at `elapsed`: all whose time is not later.
    pub(crate) fn due_by(&self, elapsed: Duration) -> u64 {
        const SECOND: u128 = 1_000_000_000;
        let due = ((elapsed.as_nanos() + 1) * u128::from(self.rate)).div_ceil(SECOND);
        u64::try_from(due).unwrap_or(u64::MAX).min(self.requests())
    }
}

#[cfg(test)]
impl Plan {
    /// A plan of `rate` requests a second for `seconds`.
    pub(crate) fn of(rate: u32, seconds: u64) -> Self {
        let duration = Duration::from_secs(seconds);
        Self { rate, duration, clients: 8, goal: Goal::Delivered, keeps_delivered: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_evenly_and_none_is_forgotten() {
        let plan = Plan::of(4, 2);
        let due: Vec<_> = (0..plan.requests()).map(|n| plan.due(n).as_millis()).collect();
        assert_eq!(due, [0, 250, 500, 750, 1_000, 1_250, 1_500, 1_750]);
        assert_eq!(plan.due_by(Duration::from_secs(9)), 8, "no more than planned");
    }

    #[test]
    fn what_is_due_by_a_time_agrees_with_when_each_is_due() {
        for rate in [1, 3, 7, 50, 999, 6_000, 199_999] {
            let plan = Plan::of(rate, 1);
            for n in (0..plan.requests()).step_by(13) {
                let due = plan.due(n);
                assert_eq!(plan.due_by(due), n + 1, "rate {rate}, request {n}");
                if let Some(before) = due.checked_sub(Duration::from_nanos(1)) {
                    assert_eq!(plan.due_by(before), n, "before request {n} at rate {rate}");
                }
            }
        }
    }
}
