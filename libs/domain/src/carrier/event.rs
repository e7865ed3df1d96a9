//! The facts about an account that the fleet has to know at once, as the log keeps them. How a shape may change, says
//! [`events!`](crate::events!).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::account_name::AccountName;

/// Calls by an account failed: nobody sends by it for a while, but for a probe now and then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BreakerOpenedData)]
pub struct BreakerOpened {
    /// What hatch calls the account.
    pub account: AccountName,
    /// The provider that it is at.
    pub provider: String,
    /// What the provider calls it.
    pub key: String,
    /// Why, in one word: `failures` in a row, the `ratio` of them, `throttled`, or what is wrong with the account, such
    /// as `account_credentials`.
    pub cause: String,
    /// What was seen, for people.
    pub detail: String,
    /// Calls that failed.
    pub failures: u32,
    /// Of so many.
    pub calls: u32,
    /// Within so many seconds.
    pub window_s: u32,
    /// When.
    pub at: DateTime<Utc>,
}

/// A call by an account succeeded that was not to be used: everybody sends by it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BreakerClosedData)]
pub struct BreakerClosed {
    /// What hatch calls the account.
    pub account: AccountName,
    /// The provider that it is at.
    pub provider: String,
    /// What the provider calls it.
    pub key: String,
    /// How long nobody was to send by it.
    pub open_for_ms: u64,
    /// When.
    pub at: DateTime<Utc>,
}

crate::events! {
    /// Every event of a stream about an account.
    pub enum CarrierEvent {
        BreakerOpened,
        BreakerClosed,
    }
}
