//! Accounts at providers that are kept in the log: by whom a tenant's messages go out, and whose webhooks are believed.
//!
//! Their secrets are sealed before they come here ([`Sealed`]), and stay in the log: whoever reads it, or what is published
//! of it, has no credentials. An account's name is one of the installation: its stream is computed from the name alone, so
//! that no two tenants have an account of one name. One that was removed may be made again by its tenant.

pub mod command;
mod decide;
pub mod event;
mod evolve;
mod limits;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use self::command::{AccountCommand, AccountRejection};
use self::event::AccountEvent;
pub use self::limits::AccountLimits;
use crate::OnDoubt;
use crate::account_name::AccountName;
use crate::address::Address;
use crate::channel::Channel;
use crate::decider::{Decider, Routing};
use crate::ids::AccountId;
use crate::sealed::Sealed;
use crate::traffic::Traffic;

/// The aggregate's name in the log and in subjects.
pub const AGGREGATE: &str = "account";

/// Namespace of [`account_id`]: a UUIDv4 drawn once for hatch.
const NAMESPACE: Uuid = Uuid::from_u128(0xc41d_7f0a_36e2_4b59_9f83_5a0e_8d7b_12c6);

/// The stream of an account: a UUIDv5 of its name.
#[must_use]
pub fn account_id(name: &AccountName) -> AccountId {
    AccountId(Uuid::new_v5(&NAMESPACE, name.as_str().as_bytes()))
}

/// An account, folded from its stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    name: Option<AccountName>,
    provider: String,
    channels: Vec<Channel>,
    senders: Vec<Address>,
    traffic: Traffic,
    #[serde(default)]
    limits: AccountLimits,
    #[serde(default)]
    on_doubt: Option<OnDoubt>,
    settings: BTreeMap<String, Value>,
    secrets: BTreeMap<String, Sealed>,
    created_by: String,
    created_at: Option<DateTime<Utc>>,
    changed_at: Option<DateTime<Utc>>,
    removed_at: Option<DateTime<Utc>>,
    revision: u32,
}

impl Account {
    /// What hatch calls it; none where it was never made.
    #[must_use]
    pub const fn name(&self) -> Option<&AccountName> {
        self.name.as_ref()
    }

    /// The provider that it is at.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// What it carries; all that its provider can, if none.
    #[must_use]
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// Who sends by it; anybody, if none.
    #[must_use]
    pub fn senders(&self) -> &[Address] {
        &self.senders
    }

    /// Which messages it takes.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How much it is given.
    #[must_use]
    pub const fn limits(&self) -> AccountLimits {
        self.limits
    }

    /// What becomes of its attempts in doubt, where that is said.
    #[must_use]
    pub const fn on_doubt(&self) -> Option<OnDoubt> {
        self.on_doubt
    }

    /// The provider's settings that are no secrets.
    #[must_use]
    pub const fn settings(&self) -> &BTreeMap<String, Value> {
        &self.settings
    }

    /// Those that are, sealed.
    #[must_use]
    pub const fn secrets(&self) -> &BTreeMap<String, Sealed> {
        &self.secrets
    }

    /// Who made it, such as `key:0123456789AB`.
    #[must_use]
    pub fn created_by(&self) -> &str {
        &self.created_by
    }

    /// When it was made.
    #[must_use]
    pub const fn created_at(&self) -> Option<DateTime<Utc>> {
        self.created_at
    }

    /// When somebody changed it last.
    #[must_use]
    pub const fn changed_at(&self) -> Option<DateTime<Utc>> {
        self.changed_at
    }

    /// When it was removed.
    #[must_use]
    pub const fn removed_at(&self) -> Option<DateTime<Utc>> {
        self.removed_at
    }

    /// How often it has become another.
    #[must_use]
    pub const fn revision(&self) -> u32 {
        self.revision
    }

    /// Whether it was made, and not removed since.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        self.created_at.is_some() && self.removed_at.is_none()
    }
}

impl Decider for Account {
    const KIND: &'static str = AGGREGATE;

    type Command = AccountCommand;
    type Event = AccountEvent;
    type Rejection = AccountRejection;

    fn decide(&self, command: &AccountCommand) -> Result<Vec<AccountEvent>, AccountRejection> {
        self.decide_command(command)
    }

    fn evolve(self, event: &AccountEvent) -> Self {
        self.after(event)
    }

    fn routing(&self) -> Routing {
        Routing { aggregate: Self::KIND, conversation_id: None, channel: None, priority: None }
    }
}
