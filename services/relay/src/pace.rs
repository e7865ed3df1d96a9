//! How soon a generation may follow another.
//!
//! A stranger who can write to NATS can end a generation at any time. Each new one costs its readers
//! something, so they follow each other ever more slowly while that goes on. Meanwhile messages are sent
//! by their due times, and readers page the log.

use std::time::Duration;

/// Between two generations, at least.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Between two generations of very many.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// So many may begin within [`RECENT_SECONDS`] before the pauses grow.
const BURST: i64 = 8;

/// Generations begun within this time count.
pub(crate) const RECENT_SECONDS: i32 = 600;

/// How long the next generation has to wait, of which `recent` have begun lately and the last `age`
/// seconds ago. None if the clock that says so was set back meanwhile.
pub(crate) fn wait(recent: i64, age: f64) -> Duration {
    let Ok(age) = Duration::try_from_secs_f64(age) else { return Duration::ZERO };
    let doublings = u32::try_from((recent - BURST).clamp(0, 6)).unwrap_or_default();
    let pause = (PAUSE_MIN * 2_u32.pow(doublings)).min(PAUSE_MAX);
    pause.saturating_sub(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_that_is_old_enough_is_followed_at_once() {
        for age in [1.0, 5.0, 1e9] {
            assert_eq!(wait(1, age), Duration::ZERO);
        }
        assert_eq!(wait(1, 0.25), Duration::from_millis(750));
    }

    #[test]
    fn the_more_there_were_the_longer_the_next_waits_up_to_a_minute() {
        let waits = [1, 8, 9, 10, 11, 12, 13, 14, 1_000].map(|recent| wait(recent, 0.0).as_secs());
        assert_eq!(waits, [1, 1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nobody_up() {
        assert_eq!(wait(1_000, -5.0), Duration::ZERO);
        assert_eq!(wait(1_000, f64::NAN), Duration::ZERO);
    }
}
