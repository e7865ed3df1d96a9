//! The only place that reads the wall clock and draws random numbers.

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

/// The time, in whole microseconds.
#[expect(clippy::disallowed_methods, reason = "the one place of the simulator that reads them")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// A new id, later ones greater.
#[expect(clippy::disallowed_methods, reason = "the one place of the simulator that reads them")]
pub(crate) fn new_id() -> Uuid {
    Uuid::now_v7()
}
