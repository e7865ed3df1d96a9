//! What may be asked of an account, and why it may be refused.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::event::{AccountChanged, AccountCreated};
use crate::sealed::Sealed;

/// What may be asked of an account.
#[derive(Debug, Clone, PartialEq)]
pub enum AccountCommand {
    /// Make it.
    Create(Box<AccountCreated>),
    /// Let it be this from now on.
    Change {
        /// All that can change of it, as it is to be.
        to: Box<AccountChanged>,
        /// How often it had been changed when that was made up ([`Account::revision`](super::Account::revision)): what
        /// others have said since is not undone by it.
        revision: u32,
    },
    /// Keep its secrets under another master key, where they are those still.
    Rewrap {
        /// The id of that key.
        master_key_id: String,
        /// The secrets as they are kept.
        from: BTreeMap<String, Sealed>,
        /// The same ones under that key.
        to: BTreeMap<String, Sealed>,
        /// When.
        at: DateTime<Utc>,
    },
    /// Send and take nothing by it any more.
    Remove {
        /// When.
        at: DateTime<Utc>,
    },
}

/// Why an account does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountRejection {
    /// There is no such account.
    #[error("there is no such account")]
    Unknown,
    /// There is one already.
    #[error("the account exists already")]
    Exists,
    /// Somebody else has changed it meanwhile.
    #[error("the account was changed meanwhile")]
    Moved,
}
