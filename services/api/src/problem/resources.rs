//! What a client is told that changes API keys, or whom they reach.

use axum::http::StatusCode;

use super::Problem;

impl Problem {
    /// The key could do more than the one that makes, rotates or ends it; `detail` says what.
    pub(crate) fn stronger_key(detail: impl Into<String>) -> Self {
        let title = "The key could do more than the one that makes it";
        Self::new(StatusCode::FORBIDDEN, "stronger-key", title, detail)
    }

    /// The tenant has as many keys as it may; `detail` says what helps.
    pub(crate) fn too_many_keys(detail: impl Into<String>) -> Self {
        let title = "The tenant has as many keys as it may";
        Self::new(StatusCode::CONFLICT, "too-many-keys", title, detail)
    }

    /// The tenant's team list is full; `detail` says how many it may have.
    pub(crate) fn team_list_full(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "team-list-full", "The team list is full", detail)
    }

    /// The key is revoked or has expired; `detail` says which.
    pub(crate) fn key_ended(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "key-ended", "The key has ended", detail)
    }
}
