//! The facts about a pool, as the log keeps them. How a shape may change, says [`events!`](crate::events!).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PoolName, PoolTerms};

/// A pool was made, or one that had been removed was made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PoolCreatedData)]
pub struct PoolCreated {
    /// What its tenant calls it.
    pub name: PoolName,
    /// Its senders, and for which messages they are.
    pub terms: PoolTerms,
    /// Who made it, such as `key:0123456789AB`.
    pub created_by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A pool is another from now on. All that can change is here, as it is then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PoolChangedData)]
pub struct PoolChanged {
    /// Its senders, and for which messages they are.
    pub terms: PoolTerms,
    /// When.
    pub at: DateTime<Utc>,
}

/// A pool was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PoolRemovedData)]
pub struct PoolRemoved {
    /// When.
    pub at: DateTime<Utc>,
}

crate::events! {
    /// Every event of a pool's stream.
    pub enum PoolEvent {
        PoolCreated as Box<PoolCreated>,
        PoolChanged as Box<PoolChanged>,
        PoolRemoved,
    }
}
