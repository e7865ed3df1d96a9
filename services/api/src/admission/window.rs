//! How much of one queue a process may keep waiting. Pure: it knows no clock and no database.
//!
//! A queue here is anything that works through the log in order: a dispatcher's queue, or the
//! projections. It is known how far it has come, and so how many of this process' messages wait in
//! it and how many of them it ends a second. What waits, divided by that rate, is how long a new
//! message would wait, and that time is what is bounded.

use std::collections::VecDeque;
use std::time::Duration;

use hatch_eventstore::Position;

use super::overload_detector::{OverloadDetector, Rate};

/// How far beyond the wait aimed for a queue may fill while it is not known to be overloaded, if
/// that is more than [`Rules::burst`].
const SURGE: f64 = 1.5;
/// Messages that may wait in any case: below it a share is too small to be measured.
const WAITING_MIN: f64 = 16.0;
/// Fewer that wait are no crowd, however slow the queue is.
const CROWD_MIN: f64 = 64.0;
/// Extra messages that every process may hold beside its share, as a fraction of the queue's throughput during
/// [`Rules::wait`]. They let the shares of unequal processes converge. One event in a hundred is about one message in
/// twenty.
const EQUAL_PART: f64 = 0.01;
/// The part of the projections' window, and of the way into the log, that only messages of high
/// priority may fill, beyond it.
pub(super) const RESERVE: u64 = 4;
/// As a limit: none.
pub(super) const UNLIMITED: u64 = u64::MAX;
/// Looks at the head that are kept, to tell when a position was new.
const MARKS_MAX: usize = 1_024;

/// What a window aims for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long a message may have to wait for its turn.
    pub wait: Duration,
    /// Messages of this process that may wait in a queue that was not full before.
    pub burst: u64,
}

/// How a window stands.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowState {
    /// `log`, `projections`, or channel and priority of a queue, such as `sms.normal`.
    pub name: String,
    /// Messages of this process that wait there.
    pub waiting: u64,
    /// How many may; none while nothing limits it.
    pub waiting_max: Option<u64>,
    /// How long a new message would wait.
    pub wait: Duration,
}

/// The numbers of one look.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueSample {
    /// Since the process began to look.
    pub(super) at: Duration,
    /// The log's head.
    pub(super) head: Position,
    /// Messages that this process has admitted since it began.
    pub(super) admitted: u64,
    /// Whether it has refused one since the last look.
    pub(super) refused: bool,
    /// How far the queue has come; none when it has nothing to do, or nobody can tell.
    pub(super) done: Option<Position>,
}

/// The limits until the next look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Room {
    /// How many messages this process may have admitted since it began; none when nothing limits
    /// it.
    pub(super) admitted_max: Option<u64>,
    /// Messages that wait.
    pub(super) waiting: u64,
    /// Messages that may wait; none when nothing limits it.
    pub(super) waiting_max: Option<u64>,
    /// How long a new message would wait, as far as is known.
    pub(super) wait: Duration,
    /// When there may be room again.
    pub(super) retry_after: Duration,
}

impl Room {
    /// Nothing is known that would limit anything.
    pub(super) const UNLIMITED: Self = Self {
        admitted_max: None,
        waiting: 0,
        waiting_max: None,
        wait: Duration::ZERO,
        retry_after: Duration::ZERO,
    };
}

/// The head at some look, and what had been admitted by then.
#[derive(Debug, Clone, Copy)]
struct Mark {
    head: Position,
    admitted: u64,
}

/// How far the queue had come at the last look.
#[derive(Debug, Clone, Copy)]
struct Done {
    at: Duration,
    position: Position,
    messages: f64,
}

/// The messages that the queue finished between the last two looks, and whether it moved before them, too.
#[derive(Debug, Clone, Copy)]
struct Ended {
    messages: f64,
    passed: Duration,
    moved_before: bool,
}

/// The window of one process onto one queue.
#[derive(Debug)]
pub(super) struct Window {
    rules: Rules,
    marks: VecDeque<Mark>,
    done: Option<Done>,
    /// If it has moved since the look before.
    ended: Option<Ended>,
    /// Whether it has.
    moves: bool,
    /// Messages of this process that the queue ends a second.
    rate: Rate,
    /// Positions that it passes a second, whosever they are.
    pace: Rate,
    overload: OverloadDetector,
}

impl Window {
    pub(super) const fn new(rules: Rules) -> Self {
        Self {
            rules,
            marks: VecDeque::new(),
            done: None,
            ended: None,
            moves: false,
            rate: Rate::new(),
            pace: Rate::new(),
            overload: OverloadDetector::new(),
        }
    }

    /// Takes note of what is seen, and says what may be admitted until the next look.
    pub(super) fn look(&mut self, sample: QueueSample) -> Room {
        self.mark(sample);
        let Some(position) = sample.done else {
            (self.done, self.overload) = (None, OverloadDetector::new());
            (self.ended, self.moves) = (None, false);
            return Room::UNLIMITED;
        };
        let messages = self.admitted_by(position);
        self.measure(Done { at: sample.at, position, messages });
        let waiting = (sample.admitted as f64 - messages).max(0.0);
        let share = self.rate.a_second() * self.rules.wait.as_secs_f64();
        let aim = (share + self.equal_part()).max(WAITING_MIN);
        let too_many = waiting > aim.max(CROWD_MIN);
        let calm = !sample.refused && waiting <= aim / 2.0;
        let limit = if self.overload.judge(sample.at, too_many, calm) {
            aim
        } else {
            (share * SURGE).max(self.rules.burst as f64).max(aim)
        };
        Room {
            admitted_max: Some((messages + limit) as u64),
            waiting: waiting as u64,
            waiting_max: Some(limit as u64),
            wait: if waiting < 1.0 { Duration::ZERO } else { self.rate.time(waiting) },
            retry_after: self.rate.time((waiting - limit).max(0.0)),
        }
    }

    /// Messages that are admitted may be committed later, so of looks at one head the first counts.
    fn mark(&mut self, QueueSample { head, admitted, .. }: QueueSample) {
        // What was beyond a head that went back is of another history.
        while self.marks.back().is_some_and(|last| last.head > head) {
            self.marks.pop_back();
        }
        if self.marks.back().is_none_or(|last| last.head < head) {
            self.marks.push_back(Mark { head, admitted });
        }
        if self.marks.len() > MARKS_MAX {
            self.marks.pop_front();
        }
    }

    /// About how many messages had been admitted when the log came to `position`.
    fn admitted_by(&self, position: Position) -> f64 {
        let after = self.marks.partition_point(|mark| mark.head <= position);
        let before = after.checked_sub(1).and_then(|before| self.marks.get(before));
        match (before, self.marks.get(after)) {
            (Some(before), Some(after)) => {
                let part = (position.0 - before.head.0) as f64;
                let whole = (after.head.0 - before.head.0) as f64;
                let messages = (after.admitted - before.admitted) as f64;
                before.admitted as f64 + messages * part / whole
            }
            (Some(only), None) | (None, Some(only)) => only.admitted as f64,
            (None, None) => 0.0,
        }
    }

    /// What was ended between two looks says how fast the queue is only if it had something to do all the
    /// while: it moved before and after as well. Else it says that the queue is no slower.
    fn measure(&mut self, now: Done) {
        if let Some(last) = self.done
            && let Some(passed) = now.at.checked_sub(last.at).filter(|passed| !passed.is_zero())
        {
            let moves = now.position > last.position;
            if let Some(Ended { messages, passed, moved_before }) = self.ended.take() {
                self.rate.add_while(moved_before && moves, messages, passed);
            }
            if moves {
                let messages = (now.messages - last.messages).max(0.0);
                self.ended = Some(Ended { messages, passed, moved_before: self.moves });
            }
            self.moves = moves;
            self.pace.add((now.position.0 - last.position.0).max(0) as f64, passed);
        }
        self.done = Some(now);
    }

    fn equal_part(&self) -> f64 {
        self.pace.a_second() * self.rules.wait.as_secs_f64() * EQUAL_PART
    }
}
