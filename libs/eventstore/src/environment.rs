//! The machine's own clocks, and chance.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use hatch_domain::{Environment, Wait};
use uuid::Uuid;

/// Digits of a second that PostgreSQL keeps.
const SUBSECOND_DIGITS: u16 = 6;

static ORIGIN: LazyLock<Duration> = LazyLock::new(monotonic);

/// What goes on while the machine is suspended, too, where the system has such a clock.
#[cfg(target_os = "linux")]
fn monotonic() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME);
    now.expect("Linux has had this clock since 2.6.39").into()
}

#[cfg(not(target_os = "linux"))]
fn monotonic() -> Duration {
    static BEGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    BEGIN.elapsed()
}

/// This machine's wall clock and chance: the one lawful reader of both.
///
/// What is compared with the log, or with another process' times, goes by
/// [`ServerClock`](crate::ServerClock) instead.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEnvironment;

#[expect(clippy::disallowed_methods, reason = "time and chance have to come from somewhere")]
impl Environment for SystemEnvironment {
    fn now(&self) -> DateTime<Utc> {
        let now = Utc::now();
        #[cfg(debug_assertions)]
        let now = now + settable::shifts().wall;
        now.trunc_subsecs(SUBSECOND_DIGITS)
    }

    fn uptime(&self) -> Duration {
        let origin = *ORIGIN;
        let uptime = monotonic().saturating_sub(origin);
        #[cfg(debug_assertions)]
        let uptime = settable::shifts().shifted(uptime);
        uptime
    }

    fn sleep(&self, wait: Duration) -> Wait<'_> {
        Box::pin(tokio::time::sleep(wait))
    }

    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn chance(&self) -> f64 {
        rand::random_range(0.0..=1.0)
    }
}

impl SystemEnvironment {
    /// Bytes that nobody can guess, for secrets: the generator of the thread is made for that, and the system seeds it.
    #[expect(clippy::disallowed_methods, reason = "secrets have to come from somewhere")]
    #[must_use]
    pub fn entropy() -> [u8; 64] {
        rand::random()
    }
}

/// Clocks that tests set, in debug builds only. `HATCH_TEST_CLOCK` names a file with one or two numbers
/// of milliseconds: what is added to the wall clock, and what is added to the monotonic one, which a pause of the whole
/// machine takes from both. Each reading looks at the file, so that a step is a write to it.
#[cfg(debug_assertions)]
mod settable {
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::time::Duration;

    use chrono::TimeDelta;

    static FILE: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("HATCH_TEST_CLOCK").map(PathBuf::from));

    #[derive(Default)]
    pub(super) struct Shifts {
        pub(super) wall: TimeDelta,
        monotonic: i64,
    }

    impl Shifts {
        pub(super) fn shifted(&self, uptime: Duration) -> Duration {
            let by = Duration::from_millis(self.monotonic.unsigned_abs());
            match self.monotonic.is_negative() {
                true => uptime.saturating_sub(by),
                false => uptime + by,
            }
        }
    }

    pub(super) fn shifts() -> Shifts {
        let text = FILE.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let text = text.unwrap_or_default();
        let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or_default());
        let mut next = || numbers.next().unwrap_or(0_i64);
        Shifts { wall: TimeDelta::milliseconds(next()), monotonic: next() }
    }
}
