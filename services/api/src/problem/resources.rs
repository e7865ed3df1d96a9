//! What a client is told that changes API keys, or whom they reach.

use super::{Problem, catalogue};

impl Problem {
    /// The key could do more than the one that makes, rotates or ends it; `detail` says what.
    pub(crate) fn stronger_key(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::STRONGER_KEY, detail)
    }

    /// The tenant has as many keys as it may; `detail` says what helps.
    pub(crate) fn too_many_keys(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::TOO_MANY_KEYS, detail)
    }

    /// The tenant's team list is full; `detail` says how many it may have.
    pub(crate) fn team_list_full(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::TEAM_LIST_FULL, detail)
    }

    /// The key is revoked or has expired; `detail` says which.
    pub(crate) fn key_ended(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::KEY_ENDED, detail)
    }
}
