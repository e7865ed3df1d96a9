//! `--find-max`: whether a rate was held, and which to try next.

use crate::book::Sample;
use crate::plan::{Goal, Plan};

/// The share of what was offered in the second half that must have been done in it.
const DONE_SHARE_MIN: f64 = 0.98;
/// The backlog may grow, from the half to the end, by what so many seconds bring.
const BACKLOG_GROWTH_S: f64 = 0.1;
/// Backlogs are compared as medians over so long a part of the run: a moment tells little.
const BACKLOG_PART: f64 = 0.1;
/// The search ends when the lowest rate that was not held is this close to the highest that was.
const CLOSE: f64 = 1.05;

/// How a run went, as far as its course tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// Whether the rate was held for the whole duration without a growing backlog.
    pub(crate) held: bool,
    /// What was done in the second half, as a share of what was offered in it.
    pub(crate) done_share: f64,
    /// The backlog before the half.
    pub(crate) backlog_half: u64,
    /// The backlog before the end.
    pub(crate) backlog_end: u64,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { held, done_share, backlog_half, backlog_end } = self;
        let held = if *held { "held" } else { "not held" };
        let done = done_share * 100.0;
        write!(f, "{held} ({done:.1} % done, backlog {backlog_half} then {backlog_end})")
    }
}

impl Sample {
    /// What was offered, was not refused, did not fail, and is not done.
    pub(crate) fn backlog(&self, goal: Goal) -> u64 {
        let ended = match goal {
            Goal::Accepted => self.accepted,
            Goal::Delivered => self.settled,
        };
        self.offered.saturating_sub(ended + self.refused + self.errors)
    }

    fn done(&self, goal: Goal) -> u64 {
        match goal {
            Goal::Accepted => self.accepted,
            Goal::Delivered => self.completed,
        }
    }
}

/// Judges a run by its course. Without one there is nothing that was held.
pub(crate) fn judge(plan: &Plan, course: &[Sample]) -> Verdict {
    let within: Vec<_> = course.iter().filter(|sample| sample.at <= plan.duration).collect();
    let part = plan.duration.mul_f64(BACKLOG_PART);
    let backlog_before = |end| {
        let near = within.iter().filter(|sample| sample.at <= end && sample.at + part >= end);
        median(near.map(|sample| sample.backlog(plan.goal)).collect())
    };
    let half = plan.duration / 2;
    let (backlog_half, backlog_end) = (backlog_before(half), backlog_before(plan.duration));
    let middle = within.iter().rfind(|sample| sample.at <= half);
    let (Some(middle), Some(last)) = (middle, within.last()) else {
        return Verdict { held: false, done_share: 0.0, backlog_half, backlog_end };
    };
    let offered = (last.offered - middle.offered).max(1);
    let done_share = (last.done(plan.goal) - middle.done(plan.goal)) as f64 / offered as f64;
    let growth_max = f64::from(plan.rate) * BACKLOG_GROWTH_S;
    let held = done_share >= DONE_SHARE_MIN
        && backlog_end.saturating_sub(backlog_half) as f64 <= growth_max.max(1.0);
    Verdict { held, done_share, backlog_half, backlog_end }
}

fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

/// The search for the highest rate that is held: by doubling, then by halving what is in between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    held: Option<u32>,
    not_held: Option<u32>,
    /// Was not held, once: a machine that stood still for a moment looks like its limit.
    doubted: Option<u32>,
    rate_max: u32,
}

impl Search {
    /// Looks no higher than `rate_max`.
    pub(crate) fn new(rate_max: u32) -> Self {
        Self { held: None, not_held: None, doubted: None, rate_max }
    }

    /// Notes whether `rate` was held; says which to try next, if any: one that was not held once more.
    pub(crate) fn next(&mut self, rate: u32, held: bool) -> Option<u32> {
        if held {
            self.held = Some(rate);
        } else if self.doubted.replace(rate) != Some(rate) {
            return Some(rate);
        } else {
            self.not_held = Some(rate);
        }
        match (self.held, self.not_held) {
            (Some(held), None) => (held < self.rate_max).then(|| (held * 2).min(self.rate_max)),
            (None, Some(not_held)) => (not_held > 1).then_some(not_held / 2),
            (Some(held), Some(not_held)) => {
                let middle = held.midpoint(not_held);
                let apart = f64::from(not_held) > f64::from(held) * CLOSE;
                (apart && middle > held).then_some(middle)
            }
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A run at 1,000 a second for 10 s; `backlog` says how much was open at each second.
    fn course(backlog: impl Fn(f64) -> f64) -> (Plan, Vec<Sample>) {
        let plan = Plan::of(1_000, 10);
        let samples = (1..=100).map(|n| {
            let at = Duration::from_millis(n * 100);
            let offered = plan.due_by(at);
            let done = offered - (backlog(at.as_secs_f64()) as u64).min(offered);
            let done =
                Sample { accepted: done, completed: done, settled: done, ..Sample::default() };
            Sample { at, offered, ..done }
        });
        (plan, samples.collect())
    }

    #[track_caller]
    fn verdict(backlog: impl Fn(f64) -> f64) -> Verdict {
        let (plan, course) = course(backlog);
        judge(&plan, &course)
    }

    #[test]
    fn a_backlog_that_stays_is_held_however_it_began() {
        assert!(verdict(|_| 30.0).held);
        assert!(verdict(|at| 500.0 - at * 40.0).held, "a slow start that is made up for");
        let bump = |at: f64| if (at - 10.0).abs() < 0.05 { 400.0 } else { 30.0 };
        assert!(!verdict(|at| at * 60.0).held);
        let judged = verdict(bump);
        assert!(judged.backlog_end < 100, "a moment at the end is no growth: {judged:?}");
    }

    #[test]
    fn a_backlog_that_grows_by_more_than_a_tenth_of_a_second_is_not_held() {
        assert!(verdict(|at| at * 18.0).held, "90 in the second half");
        assert!(!verdict(|at| at * 22.0).held, "110 in the second half");
    }

    #[test]
    fn what_is_refused_or_fails_is_no_backlog_and_not_done_either() {
        let (plan, mut course) = course(|at| at * 50.0);
        for sample in &mut course {
            sample.errors = (sample.offered - sample.settled) / 2;
            sample.refused = sample.offered - sample.settled - sample.errors;
        }
        let judged = judge(&plan, &course);
        assert_eq!((judged.backlog_end, judged.held), (0, false), "{judged:?}");
        assert!(!judge(&plan, &[]).held, "nothing was seen");
    }

    #[test]
    fn what_was_accepted_is_all_that_counts_when_nothing_else_is_asked() {
        let (mut plan, mut course) = course(|_| 10.0);
        for sample in &mut course {
            (sample.completed, sample.settled) = (0, 0);
        }
        assert!(!judge(&plan, &course).held);
        plan.goal = Goal::Accepted;
        assert!(judge(&plan, &course).held);
    }

    #[test]
    fn the_search_finds_what_can_be_held_from_below_and_from_above() {
        for (first, capacity) in [(500, 6_300), (8_000, 6_300), (1, 17), (64, 3), (100, 100)] {
            let mut search = Search::new(200_000);
            let (mut rate, mut tried) = (first, 0);
            while let Some(next) = search.next(rate, rate <= capacity) {
                rate = next;
                tried += 1;
                assert!(tried < 60, "it ends");
            }
            let found = search.held.expect("some rate is held");
            assert!(found <= capacity, "{found} of {capacity}");
            assert!(f64::from(found) * CLOSE + 1.0 >= f64::from(capacity), "{found} of {capacity}");
        }
    }

    #[test]
    fn the_search_ends_where_nothing_and_where_everything_is_held() {
        let mut search = Search::new(4_000);
        assert_eq!(search.next(3_000, true), Some(4_000));
        assert_eq!(search.next(4_000, true), None);
        let mut search = Search::new(4_000);
        assert_eq!(search.next(1, false), Some(1));
        assert_eq!(search.next(1, false), None);
    }

    #[test]
    fn a_rate_that_is_held_at_the_second_try_is_held() {
        let mut search = Search::new(4_000);
        assert_eq!(search.next(1_000, false), Some(1_000));
        assert_eq!(search.next(1_000, true), Some(2_000));
        assert_eq!(search.next(2_000, false), Some(2_000));
        assert_eq!(search.next(2_000, false), Some(1_500));
    }
}
