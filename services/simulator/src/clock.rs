//! The only place that reads the wall clock and draws random numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use p256::SecretKey;
use p256::elliptic_curve::rand_core::OsRng;
use uuid::Uuid;

/// A provider's clock: the machine's, and as far ahead of it as somebody has set it. Its copies are one clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_micros: Arc<AtomicI64>,
}

impl Clock {
    /// Sets it forward.
    pub fn set_forward(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.ahead_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The time, in whole microseconds.
    #[expect(clippy::disallowed_methods, reason = "the one place of the simulator that reads them")]
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let now = Utc::now() + TimeDelta::microseconds(self.ahead_micros.load(Ordering::Relaxed));
        #[cfg(debug_assertions)]
        let now = now + settable::shift();
        now.trunc_subsecs(6)
    }
}

/// A new id, later ones greater.
#[expect(clippy::disallowed_methods, reason = "the one place of the simulator that reads them")]
pub(crate) fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// A new key on the curve P-256.
pub(crate) fn new_key() -> SecretKey {
    SecretKey::random(&mut OsRng)
}

/// A clock that tests set, in debug builds only: `HATCH_TEST_SIMULATOR_CLOCK` names a file with the
/// milliseconds that are added to the wall clock. Each reading looks at it, so that a step is a write.
#[cfg(debug_assertions)]
mod settable {
    use std::path::PathBuf;
    use std::sync::LazyLock;

    use chrono::TimeDelta;

    static FILE: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("HATCH_TEST_SIMULATOR_CLOCK").map(PathBuf::from));

    pub(super) fn shift() -> TimeDelta {
        let text = FILE.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let milliseconds = text.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
        TimeDelta::milliseconds(milliseconds)
    }
}
