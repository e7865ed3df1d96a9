//! How a message is to be sent, as far as whoever asked for it said more than most do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::account_name::AccountName;

/// How a message is to be sent, as far as whoever asked for it said more than most do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct SendOptions {
    /// The only account that may carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
    /// What becomes of an attempt in doubt; none where its account's policy decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_doubt: Option<OnDoubt>,
    /// From which pool its sender was taken, and why that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolChoice>,
}

impl SendOptions {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a message has its sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolChoice {
    /// The pool.
    pub name: String,
    /// Why this one of its senders, such as `sticky`.
    pub reason: String,
}

/// What becomes of an attempt in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDoubt {
    /// The provider is asked what became of it.
    LookUp,
    /// Only a receipt settles it, or a person.
    Wait,
    /// It is sent again, at the risk of a second copy.
    Resend,
    /// It fails, at the risk that it was sent.
    Fail,
}

/// By which account an attempt is made, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountChoice {
    /// hatch's own name of the account.
    pub name: AccountName,
    /// The route that chose it; none where no route fits the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Why it was chosen, for people.
    pub reason: String,
}
