//! Time and chance, as parameters.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Where time and new ids come from: the wall clock in production, a script in tests.
pub trait Environment: Send + Sync + 'static {
    /// The time, in whole microseconds, which is what PostgreSQL keeps.
    fn now(&self) -> DateTime<Utc>;

    /// Whether what cannot be taken back may be done because it is time: not while two clocks contradict each
    /// other by more than a minute, of which one is wrong.
    fn is_certain(&self) -> bool {
        true
    }

    /// A new, unique, time-ordered id (UUIDv7, RFC 9562).
    fn new_id(&self) -> Uuid;

    /// A number from 0 to 1, for jitter.
    fn chance(&self) -> f64;
}
