//! How an account is, for people.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_providers::Trouble;

use crate::breaker::BreakerState;

/// How a provider refused an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub trouble: Trouble,
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub detail: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// How the calls by an account fail, whose breaker is open for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Why it opened, in one word: `failures`, `silent`, `ratio` or `throttled`.
    pub cause: String,
    /// What was seen.
    pub detail: String,
    /// Calls that failed.
    pub failures: u32,
    /// Of so many.
    pub calls: u32,
}

/// How an account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is wrong that is known.
    Up,
    /// Its provider refuses it.
    Refused(Refusal),
    /// Its breaker is open: its calls fail.
    Failing {
        /// How.
        failing: Failing,
        /// Since when.
        since: DateTime<Utc>,
    },
    /// Its provider does not answer at all, and its breaker is not open yet.
    Silent {
        /// Calls in a row.
        calls: u32,
        /// Since when.
        since: DateTime<Utc>,
    },
    /// Its last calls failed, of which some were answered, and its breaker is not open yet.
    Erring {
        /// Calls in a row.
        calls: u32,
        /// Since when.
        since: DateTime<Utc>,
    },
}

/// How an account is and how its breaker stands, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How it is.
    pub condition: Condition,
    /// How its breaker stands.
    pub breaker: BreakerState,
    /// How long until it is tried; none where its breaker is closed.
    pub tried_in: Option<Duration>,
}

impl Condition {
    /// The same without the provider's words about its last call: those may be about anybody's message.
    #[must_use]
    pub fn in_public(self) -> Self {
        match self {
            Self::Failing { failing, since } => {
                let Failing { failures, calls, .. } = failing;
                let detail = format!("{failures} of {calls} calls failed");
                Self::Failing { failing: Failing { detail, ..failing }, since }
            }
            other => other,
        }
    }

    /// Its name in metrics: what is wrong, and `-` where nothing is.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Up => "-",
            Self::Refused(refusal) => refusal.trouble.as_str(),
            Self::Failing { failing, .. } if failing.cause == "throttled" => "throttled",
            Self::Failing { failing, .. } if failing.cause == "silent" => "silent",
            Self::Failing { .. } | Self::Erring { .. } => "failing",
            Self::Silent { .. } => "silent",
        }
    }
}
