//! How an account is, as far as the choice depends on it.

use chrono::{DateTime, Utc};
use hatch_domain::account_name::AccountName;

/// An account that may carry the message, and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState<'a> {
    /// hatch's own name of it.
    pub name: &'a AccountName,
    /// Whether a message can be given to it now.
    pub availability: Availability,
    /// Its weight as the balance has it now, in place of the route's.
    pub weight: Option<u16>,
}

/// Whether a message can be given to an account now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Ready,
    /// The account works, and has no room just now.
    Busy {
        /// What is full.
        why: Busy,
        /// Until when at least, where that is known.
        until: Option<DateTime<Utc>>,
    },
    /// Nothing is given to it: its breaker is open, or its provider refuses it.
    Open {
        /// Why, for people.
        why: String,
        /// When it is tried again, where that is known.
        until: Option<DateTime<Utc>>,
    },
}

/// Which limit of an account is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Busy {
    /// As many calls are under way as it is given.
    Concurrency,
    /// Its messages of a second are used up.
    Rate,
    /// Those of the sender are.
    SenderRate,
    /// Its messages of the day are.
    DailyCap,
    /// Other tenants are served first.
    Fairness,
}

impl Busy {
    /// The reason as a deferral has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::Rate => "rate",
            Self::SenderRate => "sender_rate",
            Self::DailyCap => "daily_cap",
            Self::Fairness => "fairness",
        }
    }
}

impl Availability {
    /// Until when it is so, where that is known.
    #[must_use]
    pub const fn until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Ready => None,
            Self::Busy { until, .. } | Self::Open { until, .. } => *until,
        }
    }
}
