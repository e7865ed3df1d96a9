//! The facts about an API key, as the log keeps them. How a shape may change, says
//! [`events!`](crate::events!).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::KeyType;
use super::text::{KeyId, SecretHash};
use crate::address::Address;
use crate::channel::Channel;
use crate::ip_range::IpRange;
use crate::scope::Scopes;

/// A key was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ApiKeyCreatedData)]
pub struct ApiKeyCreated {
    /// The id that its text has.
    pub key_id: KeyId,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub key_type: KeyType,
    /// What it allows.
    pub scopes: Scopes,
    /// From whom it sends; from everybody, if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<Address>,
    /// By which channels it sends; by all, if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// From where it may be used; from everywhere, if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_ranges: Vec<IpRange>,
    /// The SHA-256 of its text. It stays in the log.
    #[schema(ignore)]
    pub secret_hash: SecretHash,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// Who made it, such as `cli` or `key:0123456789AB`.
    pub created_by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A key got another secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ApiKeyRotatedData)]
pub struct ApiKeyRotated {
    /// The SHA-256 of its new text. It stays in the log.
    #[schema(ignore)]
    pub secret_hash: SecretHash,
    /// Until when the text before counts.
    pub old_until: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A key was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ApiKeyRevokedData)]
pub struct ApiKeyRevoked {
    /// When.
    pub at: DateTime<Utc>,
}

crate::events! {
    /// Every event of an API key's stream.
    pub enum ApiKeyEvent {
        ApiKeyCreated without [secret_hash] as Box<ApiKeyCreated>,
        ApiKeyRotated without [secret_hash],
        ApiKeyRevoked,
    }
}
