//! What a tenant calls a pool.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::account_name::is_plain;

/// A tenant's name of a pool, such as `support`: 1 to 32 lower-case letters and digits, with single dashes between them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[a-z0-9](-?[a-z0-9])*$", max_length = 32, example = "support")]
pub struct PoolName(String);

/// A text that cannot be the name of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected 1 to 32 lower-case letters and digits with single dashes between them, such as support"
)]
pub struct BadPoolName;

impl PoolName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PoolName {
    type Err = BadPoolName;

    fn from_str(text: &str) -> Result<Self, BadPoolName> {
        if is_plain(text) { Ok(Self(text.to_owned())) } else { Err(BadPoolName) }
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PoolName {
    type Error = BadPoolName;

    fn try_from(text: String) -> Result<Self, BadPoolName> {
        text.parse()
    }
}

impl From<PoolName> for String {
    fn from(name: PoolName) -> Self {
        name.0
    }
}
