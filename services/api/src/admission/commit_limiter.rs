//! How many messages a process may have on their way into the log at a time. Pure, as `window` is.
//!
//! When the processors have no more to give, everything takes longer at once, the commit of what is
//! accepted as well, and no queue behind the log need be full. Then those who wait for their answer are
//! the queue. What a new one would wait is, by Little's law, their number divided by the rate at which
//! they are answered.

use std::time::Duration;

use super::overload_detector::{Mean, OverloadDetector, Rate};

/// Messages that may be on their way in any case: so many fill a few commits.
const PENDING_MIN: f64 = 64.0;
/// While webhooks are behind, so many times fewer may be.
const RESTRAINT: f64 = 2.0;

/// The numbers of one look.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommitSample {
    /// Since the process began to look.
    pub(super) at: Duration,
    /// Messages on their way.
    pub(super) pending: u64,
    /// Messages that were answered since the process began.
    pub(super) answered: u64,
    /// Whether one was refused since the last look.
    pub(super) refused: bool,
    /// Whether webhooks wait too long, which is an overload as well.
    pub(super) webhooks_behind: bool,
}

/// The limit of the commands that wait for their commit, as one process computes it.
#[derive(Debug)]
pub(super) struct CommitLimiter {
    wait: Duration,
    last: Option<(Duration, u64)>,
    /// Messages answered a second.
    rate: Rate,
    /// Messages on their way. It is a mean that counts: a commit answers many at once, and what is on its
    /// way just after it says nothing.
    pending: Mean,
    /// How many may be.
    limit: f64,
    overload: OverloadDetector,
}

impl CommitLimiter {
    /// For messages that may be on their way for so long.
    pub(super) const fn new(wait: Duration) -> Self {
        Self {
            wait,
            last: None,
            rate: Rate::new(),
            pending: Mean::new(),
            limit: PENDING_MIN,
            overload: OverloadDetector::new(),
        }
    }

    /// How long one more than `pending` would wait, as far as is known.
    pub(super) fn wait(&self, pending: u64) -> Duration {
        self.rate.time(pending as f64)
    }

    /// Whether there are so many that they wait too long.
    pub(super) fn is_crowded(&self) -> bool {
        self.pending.0 > self.limit
    }

    /// Takes note of what is seen, and says how many may be on their way until the next look; none when
    /// nothing limits them.
    pub(super) fn look(&mut self, sample: CommitSample) -> Option<u64> {
        let CommitSample { at, pending, answered, refused, webhooks_behind } = sample;
        if let Some((before, count)) = self.last.replace((at, answered))
            && let Some(passed) = at.checked_sub(before).filter(|passed| !passed.is_zero())
        {
            self.rate.add_while(pending > 0, answered.saturating_sub(count) as f64, passed);
            self.pending.add(pending as f64, passed);
        }
        self.limit = (self.rate.a_second() * self.wait.as_secs_f64()).max(PENDING_MIN);
        let calm = !refused && !webhooks_behind && pending as f64 <= self.limit / 2.0;
        let too_many = webhooks_behind || self.is_crowded();
        let limit = if webhooks_behind { self.limit / RESTRAINT } else { self.limit };
        self.overload.judge(at, too_many, calm).then_some(limit as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(100);

    /// Clients that send as soon as they are answered or refused, before a log that commits what waits
    /// once in `commit_ms`, `batch_max` at a time. Says how many were on their way, and the limit, at
    /// each look.
    fn run(clients: u64, batch_max: u64, commit_ms: u64, ticks: u64) -> Vec<(u64, Option<u64>)> {
        let (mut pending, mut answered, mut limit) = (CommitLimiter::new(WAIT), 0, None);
        let mut seen = Vec::new();
        for tick in 1..=ticks {
            let on_their_way = clients.min(limit.unwrap_or(u64::MAX));
            answered += on_their_way.min(batch_max) * (100 / commit_ms);
            let refused = on_their_way < clients;
            let at = Duration::from_millis(tick * 100);
            limit = pending.look(CommitSample {
                at,
                pending: on_their_way,
                answered,
                refused,
                webhooks_behind: false,
            });
            seen.push((on_their_way, limit));
        }
        seen
    }

    #[test]
    fn a_log_that_keeps_up_limits_nobody() {
        // 64 clients, answered within 5 ms each: 12,800 a second.
        assert!(run(64, 1_000, 5, 300).iter().skip(20).all(|(_, limit)| limit.is_none()));
    }

    #[test]
    fn few_clients_are_never_refused_however_slow_the_log_is() {
        assert!(run(64, 1, 100, 300).iter().all(|(_, limit)| limit.is_none()));
    }

    #[test]
    fn an_overload_of_a_log_at_its_ceiling_is_limited_to_what_fits_in_the_time() {
        // 700 a second, before which 640 clients would wait for a second each.
        let seen = run(640, 70, 100, 100);
        let (_, limit) = seen[99];
        assert!(seen[..18].iter().all(|(_, limit)| limit.is_none()), "a burst is borne with");
        assert!(limit.is_some_and(|limit| (64..=80).contains(&limit)), "{limit:?}");
    }

    #[test]
    fn an_overload_is_seen_although_each_commit_answers_most_of_it() {
        // 700 a second, and every other look is just after a commit.
        let mut pending = CommitLimiter::new(WAIT);
        let limits: Vec<_> = (1..=50)
            .map(|tick| {
                let at = Duration::from_millis(tick * 100);
                let on_their_way = if tick % 2 == 0 { 256 } else { 10 };
                let sample = CommitSample {
                    at,
                    pending: on_their_way,
                    answered: tick * 70,
                    refused: false,
                    webhooks_behind: false,
                };
                pending.look(sample)
            })
            .collect();
        assert!(limits[..18].iter().all(Option::is_none), "a burst is borne with: {limits:?}");
        assert!(limits[40..].iter().all(Option::is_some), "{limits:?}");
    }

    #[test]
    fn webhooks_that_are_behind_are_an_overload_until_they_are_not() {
        let mut pending = CommitLimiter::new(WAIT);
        let mut look = |tick: u64, webhooks_behind| {
            let at = Duration::from_millis(tick * 100);
            let answered = tick * 70;
            pending.look(CommitSample {
                at,
                pending: 10,
                answered,
                refused: false,
                webhooks_behind,
            })
        };
        let limits: Vec<_> = (0..120).map(|tick| look(tick, (20..60).contains(&tick))).collect();
        let limited = |looks: &[Option<u64>]| looks.iter().filter(|l| l.is_some()).count();
        assert_eq!(limited(&limits[..39]), 0, "it is borne with: {limits:?}");
        assert_eq!(limited(&limits[41..79]), 38, "{limits:?}");
        assert!(limits[41..60].iter().flatten().all(|limit| *limit < 40), "{limits:?}");
        assert!(limits[60..79].iter().flatten().all(|limit| *limit >= 64), "{limits:?}");
        assert_eq!(limited(&limits[82..]), 0, "{limits:?}");
    }

    #[test]
    fn after_an_overload_nothing_is_refused_any_more() {
        let mut pending = CommitLimiter::new(WAIT);
        let mut look = |tick: u64, on_their_way, refused| {
            let at = Duration::from_millis(tick * 100);
            let sample = CommitSample {
                at,
                pending: on_their_way,
                answered: tick * 70,
                refused,
                webhooks_behind: false,
            };
            pending.look(sample)
        };
        for tick in 0..50 {
            look(tick, 128, tick > 25);
        }
        assert!(look(50, 35, true).is_some());
        let limits: Vec<_> = (51..80).map(|tick| look(tick, 10, false)).collect();
        assert!(limits[..19].iter().all(Option::is_some), "it is not calm yet: {limits:?}");
        assert!(limits[21..].iter().all(Option::is_none), "{limits:?}");
    }
}
