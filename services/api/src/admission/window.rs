//! How much of one queue a process may keep waiting. Pure: it knows no clock and no database.
//!
//! A queue here is anything that works through the log in order: a dispatcher's queue, or the
//! projections. It is known how far it has come, and so how many of this process' messages wait in
//! it and how many of them it ends a second. What waits, divided by that rate, is how long a new
//! message would wait, and that time is what is bounded.

use std::collections::VecDeque;
use std::time::Duration;

use hatch_eventstore::Position;

/// The rate is a mean over about so long: a slow commit is no change of pace.
const MEMORY: Duration = Duration::from_secs(1);
/// More than the wait aimed for is admitted for so long, up to [`Rules::burst`] or [`SURGE`].
const PATIENCE: Duration = Duration::from_secs(2);
/// A queue that refused nobody for so long and is half empty may have bursts again.
const CALM: Duration = Duration::from_secs(2);
/// How far beyond the wait aimed for a queue may fill while it is not known to be overloaded.
const SURGE: f64 = 1.5;
/// Messages that may wait in any case: below it a share is too small to be measured.
const WAITING_MIN: f64 = 16.0;
/// Fewer that wait are no crowd, however slow the queue is.
const CROWD_MIN: f64 = 64.0;
/// The part of what the whole queue works off in the wait aimed for that every process may have
/// beside its share. By it processes whose shares differ come to be equal. An event in a hundred
/// is about a message in twenty.
const EQUAL_PART: f64 = 0.01;
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

/// What is seen at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
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

/// What may be admitted until the next look.
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

/// The window of one process onto one queue.
#[derive(Debug)]
pub(super) struct Window {
    rules: Rules,
    marks: VecDeque<Mark>,
    done: Option<Done>,
    /// Messages of this process that the queue ends a second.
    rate: f64,
    /// Positions that it passes a second, whosever they are.
    pace: f64,
    /// Since when more waits than is aimed for.
    crowded: Option<Duration>,
    /// Since when there is room to spare, once the queue was found overloaded.
    calm: Option<Duration>,
    overloaded: bool,
}

impl Window {
    pub(super) const fn new(rules: Rules) -> Self {
        Self {
            rules,
            marks: VecDeque::new(),
            done: None,
            rate: 0.0,
            pace: 0.0,
            crowded: None,
            calm: None,
            overloaded: false,
        }
    }

    /// Takes note of what is seen, and says what may be admitted until the next look.
    pub(super) fn look(&mut self, sight: Sight) -> Room {
        self.mark(sight);
        let Some(position) = sight.done else {
            (self.done, self.crowded, self.calm, self.overloaded) = (None, None, None, false);
            return Room::UNLIMITED;
        };
        let messages = self.admitted_by(position);
        self.measure(Done { at: sight.at, position, messages });
        let waiting = (sight.admitted as f64 - messages).max(0.0);
        let share = self.rate * self.rules.wait.as_secs_f64();
        let aim = (share + self.equal_part()).max(WAITING_MIN);
        self.judge(sight, waiting, aim);
        let limit = if self.overloaded {
            aim
        } else {
            (share * SURGE).max(self.rules.burst as f64).max(aim)
        };
        let seconds = |messages: f64| {
            Duration::try_from_secs_f64(messages / self.rate.max(f64::MIN_POSITIVE))
                .unwrap_or(Duration::MAX)
        };
        Room {
            admitted_max: Some((messages + limit) as u64),
            waiting: waiting as u64,
            waiting_max: Some(limit as u64),
            wait: if waiting < 1.0 { Duration::ZERO } else { seconds(waiting) },
            retry_after: seconds((waiting - limit).max(0.0)),
        }
    }

    /// Messages that are admitted may be committed later, so of looks at one head the first counts.
    fn mark(&mut self, Sight { head, admitted, .. }: Sight) {
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

    fn measure(&mut self, now: Done) {
        if let Some(last) = self.done
            && let Some(passed) = now.at.checked_sub(last.at).filter(|passed| !passed.is_zero())
        {
            let seconds = passed.as_secs_f64();
            let weight = 1.0 - (-seconds / MEMORY.as_secs_f64()).exp();
            let messages = (now.messages - last.messages).max(0.0) / seconds;
            let positions = (now.position.0 - last.position.0).max(0) as f64 / seconds;
            self.rate += (messages - self.rate) * weight;
            self.pace += (positions - self.pace) * weight;
        }
        self.done = Some(now);
    }

    fn equal_part(&self) -> f64 {
        self.pace * self.rules.wait.as_secs_f64() * EQUAL_PART
    }

    /// Whether the queue is overloaded: too much has been waiting for a while, and it has not been
    /// calm since.
    fn judge(&mut self, Sight { at, refused, .. }: Sight, waiting: f64, aim: f64) {
        let lasts = |since: Option<Duration>, long| since.is_some_and(|since| at >= since + long);
        if self.overloaded {
            let calm = !refused && waiting <= aim / 2.0;
            self.calm = calm.then(|| self.calm.unwrap_or(at));
            if lasts(self.calm, CALM) {
                (self.overloaded, self.crowded, self.calm) = (false, None, None);
            }
        } else {
            self.crowded = (waiting > aim.max(CROWD_MIN)).then(|| self.crowded.unwrap_or(at));
            if lasts(self.crowded, PATIENCE) {
                (self.overloaded, self.crowded) = (true, None);
            }
        }
    }
}
