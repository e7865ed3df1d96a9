//! What may be asked of a tenant, and why it may be refused.

use chrono::{DateTime, Utc};

use super::TEAM_RECIPIENTS_MAX;
use crate::address::Address;

/// What may be asked of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantCommand {
    /// Make it.
    Create {
        /// What people call it.
        name: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// Call it otherwise.
    Rename {
        /// What people call it.
        name: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// Let nobody of it in.
    Suspend {
        /// Why.
        reason: Option<String>,
        /// When.
        at: DateTime<Utc>,
    },
    /// Let them in again.
    Resume {
        /// When.
        at: DateTime<Utc>,
    },
    /// Let keys of the type team write to an address.
    AddTeamRecipient {
        /// Whose.
        address: Address,
        /// When.
        at: DateTime<Utc>,
    },
    /// Let them write there no more.
    RemoveTeamRecipient {
        /// Whose.
        address: Address,
        /// When.
        at: DateTime<Utc>,
    },
}

/// Why a tenant does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TenantRejection {
    /// There is no such tenant.
    #[error("there is no such tenant")]
    Unknown,
    /// There is one already.
    #[error("the tenant exists already")]
    Exists,
    /// Its team list is full.
    #[error("the team list has {TEAM_RECIPIENTS_MAX} addresses, as many as it may")]
    TeamListFull,
}
