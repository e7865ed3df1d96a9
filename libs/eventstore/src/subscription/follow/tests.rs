//! What a subscription does, disorder by disorder, and then all of it at random.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A subscription that has caught up to position 10.
fn live() -> (Follow, Instant) {
    let now = Instant::now();
    let mut follow = Follow::new(Position(7), now);
    assert_eq!(follow.step(Position(10), true, now), Step::Page);
    follow.paged(Some(Position(10)), false, Position(10), now);
    (follow, now)
}

#[test]
fn it_pages_until_the_head_and_then_waits_for_the_feed() {
    let (mut follow, now) = live();
    assert_eq!(follow.step(Position(10), true, now), Step::Wait(now + SILENCE_MAX));
    assert_eq!(follow.offered(Position(11), now), Offer::Take);
    assert_eq!(follow.last(), Position(11));
}

#[test]
fn it_is_fed_from_the_feeds_first_event_until_the_log_has_to_be_asked() {
    let (mut follow, now) = live();
    assert!(!follow.is_fed());
    // The feed may be ahead of the head that is known.
    assert_eq!(follow.offered(Position(11), now), Offer::Take);
    assert!(follow.is_fed());
    assert!(matches!(follow.step(Position(10), true, now), Step::Wait(_)));
    assert_eq!(follow.offered(Position(13), now), Offer::Gap);
    assert_eq!(follow.step(Position(10), true, now), Step::Page);
    follow.paged(Some(Position(13)), false, Position(10), now);
    assert!(!follow.is_fed());
}

#[test]
fn a_full_page_is_followed_by_another_unless_the_feed_goes_on_from_there() {
    let (mut follow, now) = live();
    follow.paged(Some(Position(20)), true, Position(15), now);
    assert_eq!(follow.step(Position(15), true, now), Step::Page);
    assert_eq!(follow.offered(Position(20), now), Offer::Skip);
    assert_eq!(follow.step(Position(15), true, now), Step::Page);
    assert_eq!(follow.offered(Position(21), now), Offer::Take);
    assert!(matches!(follow.step(Position(15), true, now), Step::Wait(_)));
    follow.paged(Some(Position(30)), false, Position(15), now);
    assert!(matches!(follow.step(Position(15), true, now), Step::Wait(_)));
}

#[test]
fn a_repeat_is_skipped_and_a_gap_sends_it_to_the_log() {
    let (mut follow, now) = live();
    assert_eq!(follow.offered(Position(9), now), Offer::Skip);
    assert_eq!(follow.offered(Position(10), now), Offer::Skip);
    assert!(matches!(follow.step(Position(10), true, now), Step::Wait(_)));
    assert_eq!(follow.offered(Position(12), now), Offer::Gap);
    assert_eq!(follow.last(), Position(10));
    assert_eq!(follow.step(Position(10), true, now), Step::Page);
}

#[test]
fn a_feed_that_does_not_bring_what_the_log_has_is_given_250_ms() {
    let (mut follow, now) = live();
    assert_eq!(follow.step(Position(12), true, now), Step::Wait(now + BEHIND_MAX));
    // A head that moves on does not extend the time, nor does half of what is missing.
    assert_eq!(follow.step(Position(15), true, now + 100 * MS), Step::Wait(now + BEHIND_MAX));
    assert_eq!(follow.offered(Position(11), now + 200 * MS), Offer::Take);
    assert_eq!(follow.step(Position(15), true, now + 250 * MS), Step::Page);
}

#[test]
fn a_feed_that_keeps_up_with_some_delay_is_not_paged_past() {
    let (mut follow, now) = live();
    for n in 1..100 {
        let now = now + 100 * u32::try_from(n).expect("small") * MS;
        let position = Position(10 + n);
        assert!(matches!(follow.step(position.next(), true, now), Step::Wait(_)));
        assert_eq!(follow.offered(position, now), Offer::Take);
    }
}

#[test]
fn without_a_feed_every_new_head_is_paged_at_once_and_an_empty_page_is_not_repeated() {
    let (mut follow, now) = live();
    assert_eq!(follow.step(Position(10), false, now), Step::Wait(now + SILENCE_MAX));
    assert_eq!(follow.step(Position(11), false, now), Step::Page);
    follow.paged(None, false, Position(11), now);
    assert_eq!(follow.step(Position(11), false, now), Step::Wait(now + SILENCE_MAX));
    assert_eq!(follow.step(Position(12), false, now), Step::Page);
}

#[test]
fn silence_ends_in_a_look_at_the_log() {
    let (mut follow, now) = live();
    for fed in [true, false] {
        assert_eq!(follow.step(Position(10), fed, now + SILENCE_MAX), Step::Page);
    }
}

/// What can happen to a subscription between two of its steps.
#[derive(Debug, Clone)]
enum Happening {
    /// The log grows, which it is told of or not.
    Append(i64, bool),
    /// It is told where the log ends.
    Hint,
    /// The feed brings an event of the log this far from the one that would be next: again, out of
    /// order, or after a gap.
    Offer(i64),
    /// The feed brings this many in order.
    Run(i64),
    /// The feed comes and goes.
    Feed(bool),
    /// PostgreSQL does not answer, or does again.
    Outage(bool),
    /// Time passes.
    Pass(u32),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (1..20_i64, any::<bool>()).prop_map(|(count, told)| Happening::Append(count, told)),
        Just(Happening::Hint),
        (-5..8_i64).prop_map(Happening::Offer),
        (1..12_i64).prop_map(Happening::Run),
        any::<bool>().prop_map(Happening::Feed),
        any::<bool>().prop_map(Happening::Outage),
        (1..6_000_u32).prop_map(Happening::Pass),
    ]
}

/// A log that is a number, and a reader of it that keeps what it takes.
struct Model {
    follow: Follow,
    log: i64,
    /// The log's end as the reader was told.
    head: i64,
    fed: bool,
    away: bool,
    now: Instant,
    page: i64,
    taken: Vec<i64>,
}

impl Model {
    fn happen(&mut self, happening: &Happening) {
        match *happening {
            Happening::Append(count, told) => {
                self.log += count;
                self.head = if told { self.log } else { self.head };
            }
            Happening::Hint => self.head = self.log,
            Happening::Offer(offset) => self.offer(self.follow.last().0 + 1 + offset),
            Happening::Run(count) => {
                let next = self.follow.last().0 + 1;
                (next..next + count).for_each(|position| self.offer(position));
            }
            Happening::Feed(fed) => self.fed = fed,
            Happening::Outage(away) => self.away = away,
            Happening::Pass(ms) => self.now += ms * MS,
        }
    }

    fn offer(&mut self, position: i64) {
        let known = self.fed && position <= self.log;
        if known && self.follow.offered(Position(position), self.now) == Offer::Take {
            self.taken.push(position);
        }
    }

    /// Reads until it would wait; says until when.
    fn read(&mut self) -> Option<Instant> {
        // More pages than that are one too many for what there is.
        for _ in 0..self.log + 3 {
            match self.follow.step(Position(self.head), self.fed, self.now) {
                Step::Wait(until) => return Some(until),
                Step::Page if self.away => return None,
                Step::Page => {
                    let last = self.follow.last().0;
                    let end = self.log.min(last + self.page);
                    self.taken.extend(last + 1..=end);
                    let read = (end > last).then_some(Position(end));
                    let full = end - last == self.page;
                    self.follow.paged(read, full, Position(self.head), self.now);
                }
            }
        }
        panic!("it pages for ever");
    }
}

proptest! {
    /// Whatever the feed brings or leaves out, and whoever is away: what is taken is the log, in
    /// order, without a gap, and with all quiet it is all of it, within the time that silence may last.
    #[test]
    fn whatever_happens_the_log_is_taken_in_order_and_whole(
        start in 0..5_i64,
        page in 1..7_i64,
        happenings in vec(happening(), 0..80),
    ) {
        let now = Instant::now();
        let follow = Follow::new(Position(start), now);
        let (taken, fed, away) = (Vec::new(), true, false);
        let mut model = Model { follow, log: start, head: 0, fed, away, now, page, taken };
        for happening in &happenings {
            model.happen(happening);
            model.read();
        }
        model.away = false;
        let quiet = model.now;
        while let Some(until) = model.read().filter(|_| model.follow.last().0 < model.log) {
            model.now = until;
        }
        prop_assert_eq!(model.taken, (start + 1..=model.log).collect::<Vec<_>>());
        prop_assert!(model.now <= quiet + BEHIND_MAX + SILENCE_MAX);
    }
}
