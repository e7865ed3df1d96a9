//! Whether clients have to say who they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether clients have to say who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Authentication {
    /// Nobody is let in without a key or a token.
    #[default]
    Required,
    /// Who sends no key may do everything in the default tenant.
    Off,
}
