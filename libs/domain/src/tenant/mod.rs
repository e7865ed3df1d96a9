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

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::command::{TenantCommand, TenantRejection};
use self::event::TenantEvent;
use crate::decider::{Decider, Routing};

/// The aggregate's name in the log and in subjects.
pub const AGGREGATE: &str = "tenant";

/// A tenant, folded from its stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    name: Option<String>,
    created_at: Option<DateTime<Utc>>,
    suspended_at: Option<DateTime<Utc>>,
    suspended_for: Option<String>,
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
