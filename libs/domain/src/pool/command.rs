//! What may be asked of a pool, and why it may be refused.

use chrono::{DateTime, Utc};

use super::event::{PoolChanged, PoolCreated};

/// What may be asked of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolCommand {
    /// Make it.
    Create(Box<PoolCreated>),
    /// Let it be this from now on.
    Change {
        /// All that can change of it, as it is to be.
        to: Box<PoolChanged>,
        /// How often it had been changed when that was made up ([`Pool::revision`](super::Pool::revision)): what others
        /// have said since is not undone by it.
        revision: u32,
    },
    /// Remove it.
    Remove {
        /// When.
        at: DateTime<Utc>,
    },
}

/// Why a pool does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolRejection {
    /// There is no such pool.
    #[error("there is no such pool")]
    Unknown,
    /// There is one already.
    #[error("the pool exists already")]
    Exists,
    /// Somebody else has changed it meanwhile.
    #[error("the pool was changed meanwhile")]
    Moved,
    /// It was changed as often as may be.
    #[error("the pool was changed as often as may be")]
    TooOften,
}
