//! The only place that reads the wall clock and draws random numbers.

use chrono::{DateTime, SubsecRound, Utc};
use p256::SecretKey;
use p256::elliptic_curve::rand_core::OsRng;
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

/// A new key on the curve P-256.
pub(crate) fn new_key() -> SecretKey {
    SecretKey::random(&mut OsRng)
}
