//! What may be asked of a key, and why it may be refused.

use chrono::{DateTime, Utc};

use super::event::ApiKeyCreated;
use super::text::SecretHash;

/// What may be asked of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiKeyCommand {
    /// Make it.
    Create(Box<ApiKeyCreated>),
    /// Give it another secret.
    Rotate {
        /// The hash of the new text.
        hash: SecretHash,
        /// Until when the text before counts.
        old_until: DateTime<Utc>,
        /// When.
        at: DateTime<Utc>,
    },
    /// End it at once and for good.
    Revoke {
        /// When.
        at: DateTime<Utc>,
    },
}

/// Why a key does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyRejection {
    /// There is no such key.
    #[error("there is no such key")]
    Unknown,
    /// There is one already.
    #[error("the key exists already")]
    Exists,
    /// It was ended.
    #[error("the key was revoked")]
    Revoked,
    /// Its time is over.
    #[error("the key has expired")]
    Expired,
}
