//! What the dispatcher counts.

use hatch_providers::Outcome;
use hatch_telemetry::measure::{Counter, Family, Gauge, Histogram};

/// What a dispatcher has done since it started.
#[derive(Debug, Default)]
pub struct Stats {
    /// Messages whose next attempt is being claimed, made or recorded.
    pub under_way: Gauge,
    /// Attempts that were claimed and have an outcome, by provider and outcome.
    pub attempts: Family<(&'static str, &'static str), Counter>,
    /// How long calls of a provider took, in seconds.
    pub call_seconds: Family<&'static str, Histogram>,
}

/// An attempt whose deadline had passed before the call.
pub(crate) const ABANDONED: &str = "abandoned";

/// The name of an adapter's outcome, as metrics and spans have it.
pub(crate) const fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Refused { .. } => "refused",
        Outcome::Throttled { .. } => "throttled",
        Outcome::Unavailable { .. } => "unavailable",
        Outcome::Unknown { .. } => "unknown",
    }
}
