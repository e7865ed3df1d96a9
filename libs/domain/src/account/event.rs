//! The facts about a provider account, as the log keeps them. How a shape may change, says
//! [`events!`](crate::events!).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::limits::AccountLimits;
use crate::OnDoubt;
use crate::account_name::AccountName;
use crate::address::Address;
use crate::channel::Channel;
use crate::sealed::Sealed;
use crate::traffic::Traffic;

/// An account was made, or one that had been removed was made again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AccountCreatedData)]
pub struct AccountCreated {
    /// What hatch calls it.
    pub name: AccountName,
    /// The provider that it is at, such as `twilio`.
    pub provider: String,
    /// What it carries; all that its provider can, if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// Who sends by it; anybody, if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<Address>,
    /// Which messages it takes.
    #[serde(default)]
    pub traffic: Traffic,
    /// How much it is given; as much as there is, if nothing is said.
    #[serde(default, skip_serializing_if = "AccountLimits::is_none")]
    pub limits: AccountLimits,
    /// What becomes of its attempts in doubt; what is set for the installation, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_doubt: Option<OnDoubt>,
    /// The provider's settings that are no secrets.
    #[schema(value_type = Object)]
    pub settings: BTreeMap<String, Value>,
    /// Those that are, sealed. They stay in the log.
    #[schema(ignore)]
    pub secrets: BTreeMap<String, Sealed>,
    /// Who made it, such as `key:0123456789AB`.
    pub created_by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// An account is another from now on. All that can change is here, as it is then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AccountChangedData)]
pub struct AccountChanged {
    /// What it carries; all that its provider can, if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// Who sends by it; anybody, if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<Address>,
    /// Which messages it takes.
    #[serde(default)]
    pub traffic: Traffic,
    /// How much it is given; as much as there is, if nothing is said.
    #[serde(default, skip_serializing_if = "AccountLimits::is_none")]
    pub limits: AccountLimits,
    /// What becomes of its attempts in doubt; what is set for the installation, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_doubt: Option<OnDoubt>,
    /// The provider's settings that are no secrets.
    #[schema(value_type = Object)]
    pub settings: BTreeMap<String, Value>,
    /// Those that are, sealed. They stay in the log.
    #[schema(ignore)]
    pub secrets: BTreeMap<String, Sealed>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The same secrets are kept under another master key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AccountSecretsRewrappedData)]
pub struct AccountSecretsRewrapped {
    /// The id of that key.
    pub master_key_id: String,
    /// The secrets under it. They stay in the log.
    #[schema(ignore)]
    pub secrets: BTreeMap<String, Sealed>,
    /// When.
    pub at: DateTime<Utc>,
}

/// An account was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AccountRemovedData)]
pub struct AccountRemoved {
    /// When.
    pub at: DateTime<Utc>,
}

crate::events! {
    /// Every event of an account's stream.
    pub enum AccountEvent {
        AccountCreated without [secrets] as Box<AccountCreated>,
        AccountChanged without [secrets] as Box<AccountChanged>,
        AccountSecretsRewrapped without [secrets],
        AccountRemoved,
    }
}
