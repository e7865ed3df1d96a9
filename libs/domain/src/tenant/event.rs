//! The facts about a tenant, as the log keeps them. How a shape may change, says
//! [`events!`](crate::events!).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::address::Address;

/// A tenant was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TenantCreatedData)]
pub struct TenantCreated {
    /// What people call it.
    pub name: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A tenant is called otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TenantRenamedData)]
pub struct TenantRenamed {
    /// What people call it now.
    pub name: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Nobody of a tenant is let in any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TenantSuspendedData)]
pub struct TenantSuspended {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// They are let in again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TenantResumedData)]
pub struct TenantResumed {
    /// When.
    pub at: DateTime<Utc>,
}

/// Keys of the type team may write to an address from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TeamRecipientAddedData)]
pub struct TeamRecipientAdded {
    /// Whose.
    pub address: Address,
    /// When.
    pub at: DateTime<Utc>,
}

/// They may write there no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TeamRecipientRemovedData)]
pub struct TeamRecipientRemoved {
    /// Whose.
    pub address: Address,
    /// When.
    pub at: DateTime<Utc>,
}

crate::events! {
    /// Every event of a tenant's stream.
    pub enum TenantEvent {
        TenantCreated,
        TenantRenamed,
        TenantSuspended,
        TenantResumed,
        TeamRecipientAdded,
        TeamRecipientRemoved,
    }
}
