//! Tenants: the customers of an installation, each with a world of its own.
//!
//! The stream of a tenant has the tenant's own id, and belongs to it. [`TenantId::DEFAULT`](crate::ids::TenantId::DEFAULT)
//! is there without any event.

pub mod command;
mod decide;
pub mod event;
mod evolve;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::command::{TenantCommand, TenantRejection};
use self::event::TenantEvent;
use crate::address::Address;
use crate::decider::{Decider, Routing};

/// The aggregate's name in the log and in subjects.
pub const AGGREGATE: &str = "tenant";

/// Addresses on a tenant's team list at most. Each process has all of them in memory.
pub const TEAM_RECIPIENTS_MAX: usize = 1_000;

/// Somebody whom keys of the type team may write to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamRecipient {
    /// As it was written.
    pub address: Address,
    /// Since when.
    pub added_at: DateTime<Utc>,
}

/// What an address is compared by.
fn compared(address: &Address) -> String {
    address.identity().as_str().to_owned()
}

/// A tenant, folded from its stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    name: Option<String>,
    created_at: Option<DateTime<Utc>>,
    suspended_at: Option<DateTime<Utc>>,
    suspended_for: Option<String>,
    /// By what addresses are compared by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    team: BTreeMap<String, TeamRecipient>,
}

impl Tenant {
    /// What people call it; none where no event said so.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// When it was made.
    #[must_use]
    pub const fn created_at(&self) -> Option<DateTime<Utc>> {
        self.created_at
    }

    /// Whether nobody of it is let in.
    #[must_use]
    pub const fn is_suspended(&self) -> bool {
        self.suspended_at.is_some()
    }

    /// Since when nobody of it is let in.
    #[must_use]
    pub const fn suspended_at(&self) -> Option<DateTime<Utc>> {
        self.suspended_at
    }

    /// Why nobody of it is let in.
    #[must_use]
    pub fn suspended_for(&self) -> Option<&str> {
        self.suspended_for.as_deref()
    }

    /// Those whom keys of the type team may write to, in the order of what they are compared by.
    pub fn team(&self) -> impl ExactSizeIterator<Item = &TeamRecipient> {
        self.team.values()
    }

    /// The one of them with that address, however it is written.
    #[must_use]
    pub fn team_recipient(&self, address: &Address) -> Option<&TeamRecipient> {
        self.team.get(address.identity().as_str())
    }

    /// Whether keys of the type team may write to that address.
    #[must_use]
    pub fn is_of_team(&self, address: &Address) -> bool {
        self.team_recipient(address).is_some()
    }
}

impl Decider for Tenant {
    const KIND: &'static str = AGGREGATE;

    type Command = TenantCommand;
    type Event = TenantEvent;
    type Rejection = TenantRejection;

    fn decide(&self, command: &TenantCommand) -> Result<Vec<TenantEvent>, TenantRejection> {
        let event = self.decide_command(command)?;
        Ok(event.into_iter().collect())
    }

    fn evolve(self, event: &TenantEvent) -> Self {
        self.after(event)
    }

    fn routing(&self) -> Routing {
        Routing { aggregate: Self::KIND, conversation_id: None, channel: None, priority: None }
    }
}
