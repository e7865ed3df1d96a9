//! The wall clock and chance.

use chrono::{DateTime, SubsecRound, Utc};
use hatch_domain::Environment;
use uuid::Uuid;

/// Digits of a second that PostgreSQL keeps.
const SUBSECOND_DIGITS: u16 = 6;

/// The environment of production: the one lawful reader of the wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEnvironment;

#[expect(clippy::disallowed_methods, reason = "time and chance have to come from somewhere")]
impl Environment for SystemEnvironment {
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(SUBSECOND_DIGITS)
    }

    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn chance(&self) -> f64 {
        rand::random_range(0.0..=1.0)
    }
}
