//! Tables of calls, and how the breaker stands after them.

use super::*;

const RULES: BreakerRules = BreakerRules {
    failures: 5,
    ratio: 0.5,
    calls_min: 20,
    window_ms: 30_000,
    open_ms: 1_000,
    probes: 1,
};
const BACKOFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// A breaker, and its time.
struct World {
    breaker: Breaker,
    now: Instant,
    rules: BreakerRules,
}

impl World {
    fn new() -> Self {
        // Of a runtime or not, it is only compared with itself.
        Self { breaker: Breaker::default(), now: Instant::now(), rules: RULES }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    /// One call of a millisecond, a millisecond later, if one may be made.
    fn call(&mut self, seen: Seen) -> Option<Change> {
        self.pass(1);
        let is_probe = self.breaker.admit(self.now)?;
        let begun = self.now;
        self.pass(1);
        let timing = Timing { now: self.now, backoff: BACKOFF };
        self.breaker.saw((begun, is_probe), seen, timing, &self.rules)
    }

    fn calls(&mut self, of: &str) -> Option<Change> {
        let seen = |letter| match letter {
            's' => Seen::Success,
            'f' => Seen::Failure,
            't' => Seen::Throttled,
            'r' => Seen::Refused,
            _ => Seen::Nothing,
        };
        of.chars().fold(None, |last, letter| self.call(seen(letter)).or(last))
    }

    fn state(&self) -> BreakerState {
        self.breaker.state(self.now)
    }

    /// How long nobody may call, in seconds.
    fn waits(&mut self) -> u64 {
        let begun = self.now;
        while !self.breaker.admits(self.now) {
            self.pass(100);
        }
        (self.now - begun).as_secs()
    }
}

#[test]
fn a_breaker_opens_by_what_it_sees() {
    let half = "sf".repeat(10);
    let below = "ssf".repeat(20);
    for (calls, expected) in [
        ("ffff", None),
        ("fffff", Some((Cause::InRow, 5))),
        ("ffffsffff", None),
        ("ffff-f", Some((Cause::InRow, 5))),
        ("fffftffff", None),
        ("r", Some((Cause::Refused, 1))),
        (half.as_str(), Some((Cause::Ratio, 10))),
        (below.as_str(), None),
        ("ssssssssssttttttttt", None),
        ("sssssssssstttttttttt", Some((Cause::Throttled, 10))),
        ("sssssssssssssssssssss-", None),
    ] {
        let mut world = World::new();
        let opened = match world.calls(calls) {
            Some(Change::Opened { cause, failures, .. }) => Some((cause, failures)),
            _ => None,
        };
        assert_eq!(opened, expected, "{calls}");
        let open = world.state() == BreakerState::Open;
        assert_eq!(open, expected.is_some(), "{calls}");
    }
}

#[test]
fn calls_of_long_ago_are_forgotten() {
    let mut world = World::new();
    world.calls(&"sf".repeat(9));
    world.pass(RULES.window_ms);
    assert_eq!(world.calls("fsfs"), None);
    assert_eq!(world.state(), BreakerState::Closed);
}

#[test]
fn one_at_a_time_tries_and_a_success_closes() {
    let mut world = World::new();
    world.calls("fffff");
    assert_eq!((world.state(), world.call(Seen::Success)), (BreakerState::Open, None));
    assert_eq!(world.waits(), 1);
    assert_eq!(world.state(), BreakerState::HalfOpen);
    assert_eq!(world.breaker.admit(world.now), Some(true));
    assert_eq!(world.breaker.admit(world.now), None, "one at a time");
    world.breaker.give_back(world.now);
    assert!(matches!(world.calls("s"), Some(Change::Closed { .. })));
    assert_eq!(world.state(), BreakerState::Closed);
    assert_eq!(world.calls("ffff"), None, "it counts anew");
}

#[test]
fn as_many_probes_have_to_succeed_as_are_asked_for() {
    let mut world = World::new();
    world.rules.probes = 3;
    world.calls("fffff");
    world.waits();
    assert_eq!(world.calls("ss"), None);
    assert_eq!(world.state(), BreakerState::HalfOpen);
    assert!(world.calls("s").is_some());
}

#[test]
fn a_probe_that_fails_has_the_next_one_wait_longer() {
    for (first, probe) in [("r", "r"), ("r", "f"), ("r", "t"), ("r", "-")] {
        let mut world = World::new();
        world.calls(first);
        let mut waits = Vec::new();
        for _ in 0..7 {
            waits.push(world.waits());
            assert_eq!(world.calls(probe), None);
        }
        assert_eq!(waits[..6], [2, 4, 8, 16, 30, 30], "{probe}");
    }
}

#[test]
fn an_account_that_flaps_is_tried_ever_later() {
    let mut world = World::new();
    let mut waits = Vec::new();
    for _ in 0..9 {
        world.calls("fffff");
        waits.push(world.waits());
        world.calls("s");
    }
    assert_eq!(waits, [1, 3, 9, 27, 81, 243, 300, 300, 300]);
    world.pass(3_600_000);
    world.calls("fffff");
    assert_eq!(world.waits(), 1, "an hour later nobody remembers");
}

#[test]
fn an_account_that_is_throttled_all_the_time_is_never_left_alone_for_long() {
    let mut world = World::new();
    let mut waits = Vec::new();
    for _ in 0..9 {
        world.calls(&"t".repeat(20));
        waits.push(world.waits());
        world.calls("s");
    }
    assert_eq!(waits, [1, 3, 9, 27, 30, 30, 30, 30, 30]);
}

#[test]
fn an_account_that_flaps_for_a_month_opens_some_thousand_times() {
    let mut world = World::new();
    let (month, mut openings) = (Duration::from_secs(31 * 86_400), 0_u32);
    let begun = world.now;
    while world.now - begun < month {
        world.calls("fffff");
        openings += 1;
        let until = world.breaker.until().expect("it is open");
        world.now = world.now.max(until);
        world.calls("s");
    }
    // Of these the log takes 3,000.
    assert!(openings < 9_000, "{openings} openings");
}

#[test]
fn what_another_process_saw_holds_here() {
    let mut world = World::new();
    let timing = |world: &World| Timing { now: world.now, backoff: BACKOFF };
    let at = timing(&world);
    world.breaker.heard_open((Cause::InRow, Duration::ZERO), at, &RULES);
    assert_eq!(world.state(), BreakerState::Open);
    assert!(world.breaker.heard_closed(world.now));
    assert!(!world.breaker.heard_closed(world.now), "it is closed");
    world.pass(1);
    assert_eq!(world.calls("s"), None);
    let mut late = World::new();
    let at = timing(&late);
    late.breaker.heard_open((Cause::Ratio, Duration::from_secs(60)), at, &RULES);
    assert_eq!(late.state(), BreakerState::HalfOpen, "whoever begins late tries at once");
    for (cause, wait) in [(Cause::InRow, 1), (Cause::Throttled, 1), (Cause::Refused, 2)] {
        let mut world = World::new();
        let at = timing(&world);
        world.breaker.heard_open((cause, Duration::ZERO), at, &RULES);
        assert_eq!(world.waits(), wait, "as long as who found it waits");
    }
}

#[test]
fn a_probe_says_nothing_of_a_later_time_that_it_is_open() {
    let mut world = World::new();
    world.calls("fffff");
    world.waits();
    let slow = world.now;
    assert_eq!(world.breaker.admit(slow), Some(true));
    // Another process closes it, and it opens again.
    world.pass(1);
    assert!(world.breaker.heard_closed(world.now));
    world.pass(1);
    world.calls("fffff");
    world.waits();
    let probe = world.now;
    assert_eq!(world.breaker.admit(probe), Some(true));
    let at = Timing { now: world.now, backoff: BACKOFF };
    assert_eq!(world.breaker.saw((slow, true), Seen::Success, at, &RULES), None);
    world.breaker.give_back(slow);
    assert_eq!(world.breaker.admit(world.now), None, "the other one is under way");
    let closed = world.breaker.saw((probe, true), Seen::Success, at, &RULES);
    assert!(matches!(closed, Some(Change::Closed { .. })), "{closed:?}");
}

#[test]
fn what_was_under_way_when_it_opened_or_closed_says_nothing() {
    let mut world = World::new();
    let early = world.now;
    world.pass(1);
    world.calls("fffff");
    let at = Timing { now: world.now, backoff: BACKOFF };
    assert_eq!(world.breaker.saw((early, false), Seen::Success, at, &RULES), None);
    assert_eq!(world.state(), BreakerState::Open);
    world.waits();
    world.calls("s");
    let at = Timing { now: world.now, backoff: BACKOFF };
    assert_eq!(world.breaker.saw((early, false), Seen::Refused, at, &RULES), None);
    assert_eq!(world.state(), BreakerState::Closed);
}

#[test]
fn rules_by_which_nothing_opens_or_closes_are_refused() {
    assert_eq!(RULES.check(), Ok(()));
    for (rules, key) in [
        (BreakerRules { failures: 0, ..RULES }, "failures"),
        (BreakerRules { ratio: 0.0, ..RULES }, "ratio"),
        (BreakerRules { ratio: f64::NAN, ..RULES }, "ratio"),
        (BreakerRules { calls_min: 0, ..RULES }, "calls_min"),
        (BreakerRules { window_ms: 99, ..RULES }, "window_ms"),
        (BreakerRules { open_ms: 0, ..RULES }, "open_ms"),
        (BreakerRules { probes: 4, ..RULES }, "probes"),
    ] {
        let refused = rules.check().expect_err(key);
        assert!(refused.starts_with(&format!("breaker.{key}: ")), "{refused}");
    }
}
