//! What may be asked of a route, and why it may be refused.

use chrono::{DateTime, Utc};

use super::event::{RouteChanged, RouteCreated};

/// What may be asked of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteCommand {
    /// Make it.
    Create(Box<RouteCreated>),
    /// Let it be this from now on.
    Change {
        /// All that can change of it, as it is to be.
        to: Box<RouteChanged>,
        /// How often it had been changed when that was made up ([`Route::revision`](super::Route::revision)): what
        /// others have said since is not undone by it.
        revision: u32,
    },
    /// Remove it.
    Remove {
        /// When.
        at: DateTime<Utc>,
    },
}

/// Why a route does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteRejection {
    /// There is no such route.
    #[error("there is no such route")]
    Unknown,
    /// There is one already.
    #[error("the route exists already")]
    Exists,
    /// Somebody else has changed it meanwhile.
    #[error("the route was changed meanwhile")]
    Moved,
    /// It was changed as often as may be.
    #[error("the route was changed as often as may be")]
    TooOften,
}
