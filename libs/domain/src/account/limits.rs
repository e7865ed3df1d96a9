//! How much an account is given.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How much an account is given, by all processes together. None of a limit is as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct AccountLimits {
    /// Messages a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<f64>,
    /// Messages a second of each of its senders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_sender_per_s: Option<f64>,
    /// Messages of a day, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u64>,
    /// Calls under way at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_max: Option<u32>,
}

impl AccountLimits {
    /// Whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
