//! PostgreSQL's time, which is the only one that hatch decides by.
//!
//! Machines' wall clocks differ, and somebody sets them. So a process measures how far PostgreSQL's
//! clock is from its own monotonic one, several times a second, and counts on from there. A step of
//! its wall clock changes nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::{Environment, Wait};
use uuid::Uuid;

use crate::rows::unavailable;
use crate::{Connection, Connections, LogError, SystemEnvironment};

const NOW: &str = "SELECT clock_timestamp()";

/// How long an answer may take.
const ASK_MAX: Duration = Duration::from_secs(2);

/// Readings of which the one with the shortest round trip is used, at most.
const READINGS_MAX: usize = 8;

/// How old a reading may be to be preferred to a newer one.
const READING_AGE_MAX: Duration = Duration::from_secs(10);

/// By how much two clocks may drift apart: this, and a thousandth of the time between two readings.
const DRIFT_MIN: Duration = Duration::from_millis(1);
const DRIFT_PARTS: u32 = 1_000;

/// How far PostgreSQL's clock and this machine's may be apart before one of them counts as wrong. Nothing is
/// decided by the machine's, so a smaller offset does no harm.
pub const OFFSET_MAX: TimeDelta = TimeDelta::seconds(60);

/// How long a step of PostgreSQL's clock by more than that has to last before it is believed.
const STEP_LASTS: Duration = Duration::from_secs(60);

/// A correction backwards up to this long lets the time stand still; a longer one takes it back.
const HELD_MAX: Duration = Duration::from_secs(1);

/// PostgreSQL's clock as a process knows it; cheap to clone. Its copies share what was measured.
///
/// Before the first reading it is the machine's wall clock. The time that it gives out never goes back
/// by a second or less: it stands still instead. It does go back by more when PostgreSQL's does.
#[derive(Clone)]
pub struct ServerClock(Arc<Shared>);

struct Shared {
    machine: Arc<dyn Environment>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    readings: Readings,
    /// The time given out last.
    given: i64,
}

impl Default for ServerClock {
    fn default() -> Self {
        Self::on(Arc::new(SystemEnvironment))
    }
}

impl ServerClock {
    /// The clock as a process on `machine` knows it.
    #[must_use]
    pub fn on(machine: Arc<dyn Environment>) -> Self {
        Self(Arc::new(Shared { machine, state: Mutex::default() }))
    }

    /// Asks PostgreSQL for its time, in one round trip.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when it does not answer, or not in time.
    pub async fn ask(&self, connections: &Connections) -> Result<DateTime<Utc>, LogError> {
        let ask = async |client: &mut Connection| {
            let statement = client.prepare_cached(NOW).await.map_err(unavailable)?;
            let asked = self.uptime();
            let row = client.query_one(&statement, &[]).await.map_err(unavailable)?;
            let now = row.try_get(0).map_err(LogError::Malformed)?;
            self.learn(asked, now);
            Ok(now)
        };
        connections.within(ASK_MAX, ask).await
    }

    /// Takes it that PostgreSQL said `server` in an answer that has just come, to what was asked at the
    /// [`uptime`](Environment::uptime) `asked`.
    pub(crate) fn learn(&self, asked: Duration, server: DateTime<Utc>) {
        let (asked, answered) = (micros(asked), micros(self.uptime()));
        let server = server.timestamp_micros();
        self.state().readings.take(Reading { asked, answered, server });
    }

    /// By how much the machine's wall clock is ahead of what PostgreSQL said last; none before it said anything.
    #[must_use]
    pub fn offset(&self) -> Option<TimeDelta> {
        let server = self.state().readings.said(micros(self.uptime()))?;
        let wall = self.0.machine.now().timestamp_micros();
        Some(TimeDelta::microseconds(wall.saturating_sub(server)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Environment for ServerClock {
    fn now(&self) -> DateTime<Utc> {
        let mut state = self.state();
        let now = state.readings.at(micros(self.uptime())).map(|now| state.give(now));
        now.and_then(DateTime::from_timestamp_micros).unwrap_or_else(|| self.0.machine.now())
    }

    fn is_certain(&self) -> bool {
        let is_doubted = self.state().readings.doubted.is_some();
        !is_doubted && self.offset().is_none_or(|offset| offset.abs() <= OFFSET_MAX)
    }

    fn uptime(&self) -> Duration {
        self.0.machine.uptime()
    }

    fn sleep(&self, wait: Duration) -> Wait<'_> {
        self.0.machine.sleep(wait)
    }

    fn new_id(&self) -> Uuid {
        self.0.machine.new_id()
    }

    fn chance(&self) -> f64 {
        self.0.machine.chance()
    }
}

impl State {
    fn give(&mut self, now: i64) -> i64 {
        let back = self.given.saturating_sub(now);
        if !(0..=micros(HELD_MAX)).contains(&back) {
            self.given = now;
        }
        self.given
    }
}

/// What PostgreSQL said, in microseconds: its own of Unix time, ours of the process' uptime.
#[derive(Debug, Clone, Copy)]
struct Reading {
    asked: i64,
    answered: i64,
    server: i64,
}

impl Reading {
    const fn round_trip(&self) -> i64 {
        self.answered.saturating_sub(self.asked)
    }

    /// PostgreSQL's time when our clock was at zero, at the earliest and at the latest.
    const fn bounds(&self) -> (i64, i64) {
        (self.server.saturating_sub(self.answered), self.server.saturating_sub(self.asked))
    }

    /// PostgreSQL's time when our clock was at zero, most likely.
    const fn at_zero(&self) -> i64 {
        let (low, high) = self.bounds();
        low.midpoint(high)
    }

    /// Whether both can be of one clock that nobody has set between them.
    fn agrees(&self, other: &Self) -> bool {
        let between = self.answered.abs_diff(other.answered) / u64::from(DRIFT_PARTS);
        let drift = micros(DRIFT_MIN).saturating_add_unsigned(between);
        let ((low, high), (other_low, other_high)) = (self.bounds(), other.bounds());
        low <= other_high.saturating_add(drift) && other_low <= high.saturating_add(drift)
    }
}

/// The latest readings of one clock.
#[derive(Default)]
struct Readings {
    latest: VecDeque<Reading>,
    /// The one with the shortest round trip.
    best: Option<Reading>,
    /// The last of those that are not believed yet, and since when they agree with each other.
    doubted: Option<(i64, Reading)>,
}

impl Readings {
    /// A reading that contradicts what is known is of a clock that was set, or of another server, or
    /// our own clock stood still: it is right, and what came before it is not any more. By more than a minute it has
    /// to be so for a minute: who sets a clock by mistake sets it back.
    fn take(&mut self, reading: Reading) {
        if let Some(best) = self.best.filter(|best| !best.agrees(&reading)) {
            if self.is_doubtful(&best, reading) {
                return;
            }
            self.latest.clear();
        }
        self.doubted = None;
        let oldest = reading.answered.saturating_sub(micros(READING_AGE_MAX));
        self.latest.retain(|known| known.answered >= oldest);
        self.latest.truncate(READINGS_MAX - 1);
        self.latest.push_front(reading);
        self.best = self.latest.iter().min_by_key(|known| known.round_trip()).copied();
    }

    fn is_doubtful(&mut self, best: &Reading, reading: Reading) -> bool {
        let step = TimeDelta::microseconds(reading.at_zero().saturating_sub(best.at_zero()));
        if step.abs() <= OFFSET_MAX {
            return false;
        }
        let same = self.doubted.filter(|(_, other)| other.agrees(&reading));
        let since = same.map_or(reading.answered, |(since, _)| since);
        self.doubted = Some((since, reading));
        reading.answered.saturating_sub(since) < micros(STEP_LASTS)
    }

    /// PostgreSQL's time at this uptime, as it is believed.
    fn at(&self, uptime: i64) -> Option<i64> {
        Some(self.best?.at_zero().saturating_add(uptime))
    }

    /// The same, as PostgreSQL said last.
    fn said(&self, uptime: i64) -> Option<i64> {
        let last = self.doubted.map(|(_, reading)| reading).or(self.best)?;
        Some(last.at_zero().saturating_add(uptime))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A reading of a clock that is `ahead` of our uptime, asked at `asked`, whose answer took
    /// `round_trip`, all of it on the way back.
    fn reading(asked: i64, round_trip: i64, ahead: i64) -> Reading {
        Reading { asked, answered: asked + round_trip, server: asked + ahead }
    }

    fn after(readings: impl IntoIterator<Item = Reading>) -> Readings {
        let mut known = Readings::default();
        readings.into_iter().for_each(|reading| known.take(reading));
        known
    }

    #[test]
    fn before_the_first_reading_it_is_the_wall_clock() {
        let clock = ServerClock::default();
        let (before, now) = (SystemEnvironment.now(), clock.now());
        assert!(before <= now && now <= SystemEnvironment.now());
        assert_eq!(clock.offset(), None);
    }

    #[test]
    fn the_time_is_postgresqls_however_far_that_is_from_ours() {
        for hours in [-1_i64, 0, 1, 24 * 365] {
            let (clock, ahead) = (ServerClock::default(), TimeDelta::hours(hours));
            clock.learn(clock.uptime(), SystemEnvironment.now() + ahead);
            let off = clock.now() - SystemEnvironment.now() - ahead;
            assert!(off.abs() < TimeDelta::seconds(1), "{hours} h: {off}");
            let offset = clock.offset().unwrap() + ahead;
            assert!(offset.abs() < TimeDelta::seconds(1), "{hours} h: {offset}");
        }
    }

    #[test]
    fn the_shortest_round_trip_of_the_latest_is_used() {
        let slow = |asked| reading(asked, SECOND, 100 * SECOND);
        let mut known = after([slow(0), reading(SECOND, 1_000, 100 * SECOND), slow(2 * SECOND)]);
        assert_eq!(known.at(0), Some(100 * SECOND - 500));
        for asked in 3..=10 {
            known.take(slow(asked * SECOND));
        }
        assert_eq!(known.at(0), Some(100 * SECOND - SECOND / 2), "not for ever");
        assert_eq!(known.latest.len(), READINGS_MAX);
    }

    #[test]
    fn a_reading_of_long_ago_is_used_no_longer() {
        let later = reading(60 * SECOND, SECOND, 100 * SECOND);
        let known = after([reading(0, 1_000, 100 * SECOND), later]);
        assert_eq!(known.at(0), Some(100 * SECOND - SECOND / 2));
    }

    #[test]
    fn a_clock_that_was_set_by_less_than_a_minute_is_believed_at_once() {
        for ahead in [103 * SECOND, 97 * SECOND, 159 * SECOND, 41 * SECOND] {
            // The round trip is longer than those of the readings that it contradicts.
            let stepped = reading(2 * SECOND, SECOND, ahead);
            let known = after([reading(0, 1_000, 100 * SECOND), stepped]);
            assert_eq!(known.at(0), Some(ahead - SECOND / 2), "{ahead}");
        }
    }

    #[test]
    fn a_greater_step_is_believed_once_it_has_lasted() {
        let (right, wrong) = (100 * SECOND, 3_700 * SECOND);
        let said = |second: i64, ahead: i64| reading(second * SECOND, 1_000, ahead);
        let mut known = after([said(0, right), said(1, wrong)]);
        assert_eq!((known.at(0), known.said(0)), (Some(right - 500), Some(wrong - 500)));
        known.take(said(2, right));
        assert_eq!((known.at(0), known.said(0)), (Some(right - 500), Some(right - 500)));
        (3..63).for_each(|second| known.take(said(second, wrong)));
        assert_eq!(known.at(0), Some(right - 500), "it was right in between");
        known.take(said(63, wrong));
        assert_eq!((known.at(0), known.doubted.is_some()), (Some(wrong - 500), false));
    }

    #[test]
    fn small_corrections_let_the_time_stand_still_and_great_ones_take_it_back() {
        let mut state = State::default();
        let given = [10, 9, 11, 9].map(|tenths| state.give(tenths * SECOND / 10));
        assert_eq!(given.map(|given| given * 10 / SECOND), [10, 10, 11, 11]);
        assert_eq!(state.give(-SECOND), -SECOND);
    }
}
