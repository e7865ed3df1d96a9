//! Time and chance, as parameters.

use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A wait by the clock of an [`Environment`].
pub type Wait<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Where time and new ids come from: the wall clock in production, a script in tests.
pub trait Environment: Send + Sync + 'static {
    /// The time, in whole microseconds, which is what PostgreSQL keeps.
    fn now(&self) -> DateTime<Utc>;

    /// Whether what cannot be taken back may be done because it is time: not while two clocks contradict each
    /// other by more than a minute, of which one is wrong.
    fn is_certain(&self) -> bool {
        true
    }

    /// How long the process has been running, by a clock that nobody sets.
    fn uptime(&self) -> Duration;

    /// Waits this long, by the clock of [`uptime`](Self::uptime). A script that sets that clock forward ends the wait.
    fn sleep(&self, wait: Duration) -> Wait<'_>;

    /// A new, unique, time-ordered id (UUIDv7, RFC 9562).
    fn new_id(&self) -> Uuid;

    /// A number from 0 to 1, for jitter.
    fn chance(&self) -> f64;
}
