//! The sliding window counter: what came in this window, and what came in the one before, which counts for less the
//! longer this one goes on.
//!
//! Windows begin at the same times everywhere. So no more than the limit passes in one of them, nor does what is counted
//! ever go above it. A span of the same length that begins in the middle of a window may see up to twice the limit, where
//! all of one window came at its end.

/// A time, as a place in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// The number of the window since 1970.
    pub(super) window: u32,
    elapsed_ms: u64,
    length_ms: u64,
}

impl Moment {
    /// The time `unix_ms`, where windows are `length_ms` long.
    pub(super) fn of(unix_ms: u64, length_ms: u64) -> Self {
        let length_ms = length_ms.max(1);
        let window = u32::try_from(unix_ms / length_ms).unwrap_or(u32::MAX);
        Self { window, elapsed_ms: unix_ms % length_ms, length_ms }
    }
}

/// What came in one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket {
    /// At all instances, as far as this one was told, with what it told itself.
    fleet: u32,
    /// Here, and nobody was told yet.
    own: u32,
}

impl Bucket {
    fn sum(self) -> u64 {
        u64::from(self.fleet) + u64::from(self.own)
    }

    fn settle(&mut self, told: u32, sum: u32) {
        self.own = self.own.saturating_sub(told);
        self.fleet = sum;
    }
}

/// What one client did at one route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    window: u32,
    now: Bucket,
    before: Bucket,
}

/// What is left of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) limit: u32,
    pub(super) left: u32,
    /// Until more is left: where nothing is, until one request passes, else until the next window.
    pub(super) reset_ms: u64,
}

impl Window {
    /// Goes on to `moment`. A clock that goes back a little finds the window that it left at its beginning. One that was
    /// far ahead begins anew: what was counted by it would count until that time has come, and never for less.
    pub(super) fn roll(&mut self, moment: Moment) -> Moment {
        match moment.window.checked_sub(self.window) {
            None if moment.window.saturating_add(1) == self.window => {
                return Moment { window: self.window, elapsed_ms: 0, ..moment };
            }
            Some(0) => return moment,
            Some(1) => self.before = self.now,
            None | Some(_) => self.before = Bucket::default(),
        }
        self.now = Bucket::default();
        self.window = moment.window;
        moment
    }

    /// How much counts at `moment`, which it was rolled to.
    pub(super) fn used(&self, moment: Moment) -> u64 {
        let left_ms = moment.length_ms - moment.elapsed_ms;
        (self.before.sum() * left_ms).div_ceil(moment.length_ms) + self.now.sum()
    }

    /// As [`take_more`](Self::take_more), of which nothing was taken before.
    #[cfg(test)]
    pub(super) fn take(&mut self, limit: u32, cost: u32, moment: Moment) -> bool {
        self.take_more(limit, 0, cost, moment)
    }

    /// Lets `cost` requests pass that go with `taken` ones, which have passed, if `limit` allows all of them together.
    pub(super) fn take_more(&mut self, limit: u32, taken: u32, cost: u32, moment: Moment) -> bool {
        let room = room(limit, taken.saturating_add(cost)) + u64::from(taken);
        let passes = limit > 0 && self.used(moment) <= room;
        if passes {
            self.now.own = self.now.own.saturating_add(cost);
        }
        passes
    }

    pub(super) fn standing(&self, limit: u32, moment: Moment) -> Standing {
        let left = u64::from(limit).saturating_sub(self.used(moment));
        let reset_ms = match left {
            0 => self.wait_ms(limit, 1, moment),
            _ => moment.length_ms - moment.elapsed_ms,
        };
        Standing { limit, left: u32::try_from(left).unwrap_or(limit), reset_ms }
    }

    /// How long it takes until `cost` requests pass, if nothing else does.
    pub(super) fn wait_ms(&self, limit: u32, cost: u32, moment: Moment) -> u64 {
        let Moment { elapsed_ms, length_ms, .. } = moment;
        let room = room(limit, cost);
        let (now, before) = (self.now.sum(), self.before.sum());
        if self.used(moment) <= room {
            return 0;
        }
        if now <= room {
            let faded_ms = length_ms - ((room - now) * length_ms / before).min(length_ms);
            return faded_ms.saturating_sub(elapsed_ms);
        }
        let faded_ms = length_ms - room * length_ms / now;
        length_ms - elapsed_ms + faded_ms
    }

    /// The windows that others have to be told of, and asked about: each with what is to be told.
    pub(super) fn untold(&self) -> [(u32, u32); 2] {
        [(self.window, self.now.own), (self.window.saturating_sub(1), self.before.own)]
    }

    /// All were told `told` of `window`, and all of them together have `sum` there.
    pub(super) fn settle(&mut self, window: u32, told: u32, sum: u32) {
        match self.window.checked_sub(window) {
            Some(0) => self.now.settle(told, sum),
            Some(1) => self.before.settle(told, sum),
            _ => {}
        }
    }
}

/// How much may be used already where `cost` requests pass at once. More than `limit` pass where no more than half of it
/// is used, or they never would; all of them count, so that nothing else passes for long.
fn room(limit: u32, cost: u32) -> u64 {
    u64::from(limit.checked_sub(cost).unwrap_or(limit / 2))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LENGTH_MS: u64 = 60_000;

    fn at(ms: u64) -> Moment {
        Moment::of(1_000 * LENGTH_MS + ms, LENGTH_MS)
    }

    fn take(window: &mut Window, limit: u32, cost: u32, ms: u64) -> bool {
        let moment = window.roll(at(ms));
        window.take(limit, cost, moment)
    }

    fn standing(window: &Window, limit: u32, ms: u64) -> (u32, u64) {
        let mut window = *window;
        let moment = window.roll(at(ms));
        let Standing { left, reset_ms, .. } = window.standing(limit, moment);
        (left, reset_ms)
    }

    #[test]
    fn the_window_before_counts_for_less_and_less() {
        let mut window = Window::default();
        assert!(take(&mut window, 100, 100, 59_000), "all of it at the end");
        assert!(!take(&mut window, 100, 1, 59_999));
        for (ms, left, reset_ms) in [
            (59_000, 0, 1_600),
            (60_000, 0, 600),
            (60_600, 1, 59_400),
            (90_000, 50, 30_000),
            (119_999, 99, 1),
            (180_000, 100, 60_000),
        ] {
            assert_eq!(standing(&window, 100, ms), (left, reset_ms), "{ms}");
        }
    }

    #[test]
    fn who_waits_as_long_as_he_is_told_passes_and_no_earlier() {
        for (limit, first, cost, begun_ms, ms) in [
            (100, 100, 1, 59_000, 59_500),
            (100, 100, 40, 0, 60_001),
            (100, 100, 100, 30_000, 70_000),
            (7, 7, 3, 10, 61_000),
            (1, 1, 1, 0, 0),
            (3, 2, 2, 45_000, 45_000),
        ] {
            let mut window = Window::default();
            assert!(take(&mut window, limit, first, begun_ms));
            let moment = window.roll(at(ms));
            let wait_ms = window.wait_ms(limit, cost, moment);
            assert!(wait_ms > 0, "{limit} {cost} {ms}");
            let mut earlier = window;
            assert!(!take(&mut earlier, limit, cost, ms + wait_ms - 1), "{limit} {cost} {ms}");
            assert!(take(&mut window, limit, cost, ms + wait_ms), "{limit} {cost} {ms}");
        }
    }

    #[test]
    fn a_batch_passes_whole_or_not_at_all() {
        let mut window = Window::default();
        assert!(take(&mut window, 10, 8, 0));
        assert!(!take(&mut window, 10, 3, 0));
        assert!(take(&mut window, 10, 2, 0), "nothing was taken of the one that was refused");
        assert!(!take(&mut window, 10, u32::MAX, 60_000));
        assert!(take(&mut window, 10, u32::MAX, 200_000), "no overflow");
        assert!(!take(&mut window, 10, u32::MAX, 240_000));
        assert!(!take(&mut window, 0, 1, 800_000), "where nothing may pass, nothing does");
    }

    #[test]
    fn more_than_the_limit_pass_at_once_for_who_waits_as_he_is_told() {
        for cost in [99, 100, 101, 1_000] {
            let mut window = Window::default();
            let mut ms = 100;
            for _ in 0..5 {
                // As a batch is charged: the request, and its messages when they are counted.
                assert!(take(&mut window, 100, 1, ms), "{cost}");
                let moment = window.roll(at(ms));
                if !window.take_more(100, 1, cost - 1, moment) {
                    ms += window.wait_ms(100, cost, moment);
                    assert!(take(&mut window, 100, 1, ms), "{cost}");
                    let moment = window.roll(at(ms));
                    assert!(window.take_more(100, 1, cost - 1, moment), "{cost}");
                }
                let moment = window.roll(at(ms));
                assert!(!window.take(100, 2, moment), "{cost}: all of it counts");
                ms += window.wait_ms(100, 1, moment);
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_away() {
        let mut window = Window::default();
        assert!(take(&mut window, 10, 10, 61_000));
        assert!(!take(&mut window, 10, 1, 59_000));
        assert!(!take(&mut window, 10, 1, 61_000));
    }

    #[test]
    fn a_clock_that_was_far_ahead_keeps_nobody_out_until_that_time() {
        let mut window = Window::default();
        assert!(take(&mut window, 10, 10, 600_000));
        assert!(!take(&mut window, 10, 1, 599_999), "one window is a little");
        assert!(take(&mut window, 10, 10, 480_000));
        assert!(!take(&mut window, 10, 1, 480_000), "from there on all is counted");
        assert_eq!(standing(&window, 10, 570_000), (5, 30_000), "and it fades");
        assert_eq!(window.untold().map(|(number, _)| number), [1_008, 1_007]);
    }

    #[test]
    fn what_others_say_counts_and_what_is_told_counts_once() {
        let mut window = Window::default();
        assert!(take(&mut window, 10, 3, 0));
        let [(number, told), (_, before)] = window.untold();
        assert_eq!((told, before), (3, 0));
        assert!(take(&mut window, 10, 1, 0), "while they are told");
        window.settle(number, told, 8);
        assert_eq!(standing(&window, 10, 0).0, 1, "eight of all, with ours, and one more");
        window.settle(number - 5, 100, 100);
        assert_eq!(standing(&window, 10, 0).0, 1, "that is long ago");
    }

    /// Numbers that look random and are the same each time.
    struct Script(u64);

    impl Script {
        fn below(&mut self, max: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % max
        }
    }

    /// Several instances, each of which tells and asks when the script says so.
    #[test]
    fn no_more_passes_in_a_window_than_the_limit_and_what_one_interval_lets_through() {
        for seed in 0..500 {
            let mut script = Script(seed);
            let (instances, limit) = (1 + script.below(5), 1 + script.below(50));
            let limit = u32::try_from(limit).expect("small");
            let count = usize::try_from(instances).expect("small");
            let mut windows = vec![Window::default(); count];
            let mut fleet = BTreeMap::<u32, u32>::new();
            // Of each window: all that passed, and of each instance what passed since it asked, and the most of that.
            let mut passed = BTreeMap::<u32, u32>::new();
            let mut since = vec![(0, 0_u32); count];
            let mut most = BTreeMap::<(u32, usize), u32>::new();
            let mut ms = 0;
            for _ in 0..2_000 {
                ms += script.below(200);
                let instance = usize::try_from(script.below(instances)).expect("small");
                let window = &mut windows[instance];
                let moment = window.roll(at(ms));
                if script.below(4) == 0 {
                    for (number, told) in window.untold() {
                        let sum = fleet.entry(number).or_default();
                        *sum += told;
                        window.settle(number, told, *sum);
                    }
                    since[instance] = (moment.window, 0);
                } else if window.take(limit, 1, moment) {
                    assert!(window.used(moment) <= u64::from(limit));
                    *passed.entry(moment.window).or_default() += 1;
                    if since[instance].0 != moment.window {
                        since[instance] = (moment.window, 0);
                    }
                    since[instance].1 += 1;
                    let most = most.entry((moment.window, instance)).or_default();
                    *most = (*most).max(since[instance].1);
                }
            }
            for (number, passed) in passed {
                let interval: u32 = (0..count).filter_map(|i| most.get(&(number, i))).sum();
                let bound = if count == 1 { limit } else { limit + interval };
                assert!(
                    passed <= bound,
                    "seed {seed}: {passed} of {limit}, {interval} in an interval"
                );
            }
        }
    }
}
