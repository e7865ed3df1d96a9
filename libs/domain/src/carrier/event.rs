//! The facts about an account that the fleet has to know at once, as the log keeps them. How a shape may change, says
//! [`events!`](crate::events!).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Channel;
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
    /// Why, in one word: `failures` in a row, `silent` where none of those was answered, the `ratio` of them, `throttled`,
    /// or what is wrong with the account, such as `account_credentials`.
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

/// Of the messages that several accounts share, each carries another part from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WeightsShiftedData)]
pub struct WeightsShifted {
    /// What hatch calls the first of them by name, whose stream this is.
    pub account: AccountName,
    /// The provider that it is at.
    pub provider: String,
    /// What the provider calls it.
    pub key: String,
    /// How the messages travel.
    pub channel: Channel,
    /// The calling code of the country that they go to, such as 44; none where they go to no phone.
    #[serde(default)]
    pub country: Option<u16>,
    /// The parts.
    pub weights: Vec<ShiftedWeight>,
    /// Why, in one word: `slow` or `failing`, of those that carry less now, or `rest`, where all of them are well.
    pub reason: String,
    /// What was seen of each.
    pub figures: Vec<CarrierFigures>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The part of the messages that an account carries, of 10,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShiftedWeight {
    /// What hatch calls the account.
    pub account: AccountName,
    /// Its weight in the routes that have it so: others are not meant.
    pub rest: u16,
    /// Its part before.
    pub before: u16,
    /// Its part from now on.
    pub after: u16,
}

/// What was seen of an account in the last while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CarrierFigures {
    /// What hatch calls the account.
    pub account: AccountName,
    /// Attempts whose outcome is known.
    pub attempts: u64,
    /// Those that failed by the account, or because its provider was not reached.
    pub failed: u64,
    /// Attempts whose outcome is not known. Nothing follows from them.
    pub in_doubt: u64,
    /// Messages, of a sample, that it sent long enough ago to be delivered.
    pub messages: u64,
    /// Those that were not delivered in time.
    pub slow: u64,
    /// Those that it gave up, by the account or because nobody was reached.
    pub undelivered: u64,
}

crate::events! {
    /// Every event of a stream about an account.
    pub enum CarrierEvent {
        BreakerOpened,
        BreakerClosed,
        WeightsShifted,
    }
}
