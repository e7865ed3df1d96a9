//! What the dispatcher counts.

use std::sync::Arc;

use hatch_domain::account_name::AccountName;
use hatch_due::Halts;
use hatch_telemetry::measure::{Counter, Family, Gauge, Histogram};

use crate::health::KnownAccounts;
use crate::rates::RateStats;
use crate::shortage::Shortage;

/// What a dispatcher has done since it started.
#[derive(Debug, Default)]
pub struct Stats {
    /// Messages whose next attempt is being claimed, made or recorded.
    pub under_way: Gauge,
    /// Requests that this build does not know how to read.
    pub undecodable: Counter,
    /// Attempts that were claimed and have an outcome, by provider and outcome.
    pub attempts: Family<(&'static str, &'static str), Counter>,
    /// Messages that went by another account at once: from one, to another, by the class of the error.
    pub failovers: Family<(AccountName, AccountName, &'static str), Counter>,
    /// How each account is.
    pub accounts: KnownAccounts,
    /// What this process lacks for calls.
    pub shortage: Shortage,
    /// How long calls of a provider took, in seconds.
    pub call_seconds: Family<&'static str, Histogram>,
    /// Attempts of which it could not be kept what was said to the provider.
    pub attempts_unkept: Counter,
    /// How much room accounts had.
    pub rates: Arc<RateStats>,
    /// Whether the timers are stopped by damage of the log.
    pub timers: Arc<Halts>,
}

/// An attempt whose deadline had passed before the call.
pub(crate) const ABANDONED: &str = "abandoned";
