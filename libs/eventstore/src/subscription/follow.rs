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
    /// Whether it was the feed that brought the last event.
    fed: bool,
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
        Self {
            last,
            paging: true,
            heard_at: now,
            behind: None,
            exhausted: Position::START,
            fed: false,
        }
    }

    /// The last position taken.
    pub(super) const fn last(&self) -> Position {
        self.last
    }

    /// Whether the feed brings what is new, so that nobody else need tell of it.
    pub(super) const fn is_fed(&self) -> bool {
        self.fed
    }

    /// The next step, given the log's `head` and whether there is a feed.
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

    /// The feed has the event of `position`. It carries only what is the log's own: the fence sees to
    /// that.
    pub(super) fn offered(&mut self, position: Position, now: Instant) -> Offer {
        if position <= self.last {
            Offer::Skip
        } else if position == self.last.next() {
            self.last = position;
            self.heard_at = now;
            self.paging = false;
            self.fed = true;
            Offer::Take
        } else {
            self.paging = true;
            Offer::Gap
        }
    }

    /// The log had a page that ends at `last`, or nothing, when its head was thought to be `head`; a
    /// `full` page may have another after it.
    pub(super) fn paged(
        &mut self,
        last: Option<Position>,
        full: bool,
        head: Position,
        now: Instant,
    ) {
        self.heard_at = now;
        self.behind = None;
        match last {
            Some(last) => {
                self.last = last;
                self.fed = false;
                self.paging = full;
            }
            None => {
                self.exhausted = head;
                self.paging = false;
            }
        }
    }
}

#[cfg(test)]
mod tests;
