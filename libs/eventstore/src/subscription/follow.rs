//! Whether a subscription reads the log or waits for the feed. Pure: no I/O, time is a parameter.

use std::time::{Duration, Instant};

use crate::Position;

/// How long a subscription may be behind the log's head before it stops waiting for the feed.
const BEHIND_MAX: Duration = Duration::from_millis(250);

/// How long nothing at all may be heard before the log is asked: the head, which normally tells
/// whether there is something to wait for, may itself not be known.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Where a subscription is, and how it goes on.
#[derive(Debug)]
pub(super) struct Follow {
    /// The last position taken.
    last: Position,
    /// Whether the log has more, or may have.
    paging: bool,
    /// When the feed or the log last said something of use.
    heard_at: Instant,
    /// A head that was not reached when it was seen, and when that was.
    behind: Option<(Position, Instant)>,
    /// The head for which the log had nothing more.
    exhausted: Position,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Read the next page of the log.
    Page,
    /// Wait for the feed or a new head, until then at most.
    Wait(Instant),
}

/// What to do with an event of the feed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It is the next one.
    Take,
    /// It was taken before.
    Skip,
    /// Some are missing before it: the log has them, and it.
    Gap,
}

impl Follow {
    /// Begins after `last`, by reading the log.
    pub(super) const fn new(last: Position, now: Instant) -> Self {
        Self { last, paging: true, heard_at: now, behind: None, exhausted: Position::START }
    }

    /// The last position taken.
    pub(super) const fn last(&self) -> Position {
        self.last
    }

    /// What to do, knowing the log's `head` and whether there is a feed.
    pub(super) fn step(&mut self, head: Position, fed: bool, now: Instant) -> Step {
        let wait_until = if self.paging {
            now
        } else if fed {
            self.patience(head, now)
        } else if head > self.last && head > self.exhausted {
            now
        } else {
            self.heard_at + SILENCE_MAX
        };
        if wait_until <= now { Step::Page } else { Step::Wait(wait_until) }
    }

    /// Until when the feed may take to bring what the log has.
    fn patience(&mut self, head: Position, now: Instant) -> Instant {
        let silence = self.heard_at + SILENCE_MAX;
        if head <= self.last {
            self.behind = None;
            return silence;
        }
        let unreached = self.behind.filter(|(target, _)| *target > self.last);
        let (target, since) = unreached.unwrap_or((head, now));
        self.behind = Some((target, since));
        silence.min(since + BEHIND_MAX)
    }

    /// The feed has the event of `position`, and the log's head is `head` as far as is known. What is
    /// beyond that is not believed: the bus may carry a past that the log lost.
    pub(super) fn offered(&mut self, position: Position, head: Position, now: Instant) -> Offer {
        if position <= self.last {
            Offer::Skip
        } else if position == self.last.next() && position <= head {
            self.last = position;
            self.heard_at = now;
            Offer::Take
        } else {
            self.paging = true;
            Offer::Gap
        }
    }

    /// The log had a page that ends at `last`, or nothing, when its head was thought to be `head`.
    pub(super) fn paged(&mut self, last: Option<Position>, head: Position, now: Instant) {
        self.heard_at = now;
        self.behind = None;
        match last {
            Some(last) => {
                self.last = last;
                // A head that was passed is an old one: only the log can say where it ends.
                self.paging = last != head;
            }
            None => {
                self.exhausted = head;
                self.paging = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A subscription that has caught up to position 10.
    fn live() -> (Follow, Instant) {
        let now = Instant::now();
        let mut follow = Follow::new(Position(7), now);
        assert_eq!(follow.step(Position(10), true, now), Step::Page);
        follow.paged(Some(Position(10)), Position(10), now);
        (follow, now)
    }

    #[test]
    fn it_pages_until_the_head_and_then_waits_for_the_feed() {
        let (mut follow, now) = live();
        assert_eq!(follow.step(Position(10), true, now), Step::Wait(now + SILENCE_MAX));
        assert_eq!(follow.offered(Position(11), Position(100), now), Offer::Take);
        assert_eq!(follow.last(), Position(11));
    }

    #[test]
    fn what_the_bus_has_beyond_the_head_is_asked_of_the_log() {
        let (mut follow, now) = live();
        assert_eq!(follow.offered(Position(11), Position(10), now), Offer::Gap);
        assert_eq!(follow.step(Position(10), true, now), Step::Page);
        assert_eq!(follow.last(), Position(10));
    }

    #[test]
    fn a_page_that_does_not_end_at_the_head_is_followed_by_another() {
        let (mut follow, now) = live();
        follow.paged(Some(Position(20)), Position(30), now);
        assert_eq!(follow.step(Position(30), true, now), Step::Page);
        // The head is not known, or an old one: only an empty page says that this is all.
        follow.paged(Some(Position(40)), Position(30), now);
        assert_eq!(follow.step(Position(30), true, now), Step::Page);
        follow.paged(None, Position(30), now);
        assert!(matches!(follow.step(Position(30), true, now), Step::Wait(_)));
    }

    #[test]
    fn a_repeat_is_skipped_and_a_gap_sends_it_to_the_log() {
        let (mut follow, now) = live();
        assert_eq!(follow.offered(Position(9), Position(100), now), Offer::Skip);
        assert_eq!(follow.offered(Position(10), Position(100), now), Offer::Skip);
        assert!(matches!(follow.step(Position(10), true, now), Step::Wait(_)));
        assert_eq!(follow.offered(Position(12), Position(100), now), Offer::Gap);
        assert_eq!(follow.last(), Position(10));
        assert_eq!(follow.step(Position(10), true, now), Step::Page);
    }

    #[test]
    fn a_feed_that_does_not_bring_what_the_log_has_is_given_250_ms() {
        let (mut follow, now) = live();
        assert_eq!(follow.step(Position(12), true, now), Step::Wait(now + BEHIND_MAX));
        // A head that moves on does not extend the time, nor does half of what is missing.
        assert_eq!(follow.step(Position(15), true, now + 100 * MS), Step::Wait(now + BEHIND_MAX));
        assert_eq!(follow.offered(Position(11), Position(100), now + 200 * MS), Offer::Take);
        assert_eq!(follow.step(Position(15), true, now + 250 * MS), Step::Page);
    }

    #[test]
    fn a_feed_that_keeps_up_with_some_delay_is_not_paged_past() {
        let (mut follow, now) = live();
        for n in 1..100 {
            let now = now + 100 * u32::try_from(n).expect("small") * MS;
            let position = Position(10 + n);
            assert!(matches!(follow.step(position.next(), true, now), Step::Wait(_)));
            assert_eq!(follow.offered(position, position.next(), now), Offer::Take);
        }
    }

    #[test]
    fn without_a_feed_every_new_head_is_paged_at_once_and_an_empty_page_is_not_repeated() {
        let (mut follow, now) = live();
        assert_eq!(follow.step(Position(10), false, now), Step::Wait(now + SILENCE_MAX));
        assert_eq!(follow.step(Position(11), false, now), Step::Page);
        follow.paged(None, Position(11), now);
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
}
