//! Pools: several senders of a tenant, of which hatch takes one for each recipient, and stays with it.
//!
//! A pool's name is one of its tenant: its stream is computed from both. One that was removed may be made again. Which
//! of its senders a message has, is decided where it is taken (`hatch-routing`), and recorded with it.

pub mod command;
mod decide;
pub mod event;
mod evolve;
mod name;
mod terms;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::command::{PoolCommand, PoolRejection};
use self::event::PoolEvent;
pub use self::name::{BadPoolName, PoolName};
pub use self::terms::{BadPool, PoolSender, PoolTerms, SENDERS_MAX, WEIGHT_MAX};
use crate::decider::{Decider, Routing};
use crate::ids::{PoolId, TenantId};

/// The aggregate's name in the log and in subjects.
pub const AGGREGATE: &str = "pool";

/// How often a pool becomes another at most: a stream holds 10,000 events, and its removal is to find room.
pub const CHANGES_MAX: u32 = 9_000;

/// Namespace of [`pool_id`]: a UUIDv4 drawn once for hatch.
const NAMESPACE: Uuid = Uuid::from_u128(0x9d2c_41b7_5e80_4f36_a1c9_07f4_be62_d385);

/// The stream of a pool: a UUIDv5 of its tenant and its name.
#[must_use]
pub fn pool_id(tenant: TenantId, name: &PoolName) -> PoolId {
    let named = format!("{tenant}\n{name}");
    PoolId(Uuid::new_v5(&NAMESPACE, named.as_bytes()))
}

/// A pool, folded from its stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    name: Option<PoolName>,
    terms: PoolTerms,
    created_by: String,
    created_at: Option<DateTime<Utc>>,
    changed_at: Option<DateTime<Utc>>,
    removed_at: Option<DateTime<Utc>>,
    revision: u32,
}

impl Pool {
    /// What its tenant calls it; none where it was never made.
    #[must_use]
    pub const fn name(&self) -> Option<&PoolName> {
        self.name.as_ref()
    }

    /// Its senders, and for which messages they are.
    #[must_use]
    pub const fn terms(&self) -> &PoolTerms {
        &self.terms
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

impl Decider for Pool {
    const KIND: &'static str = AGGREGATE;

    type Command = PoolCommand;
    type Event = PoolEvent;
    type Rejection = PoolRejection;

    fn decide(&self, command: &PoolCommand) -> Result<Vec<PoolEvent>, PoolRejection> {
        self.decide_command(command)
    }

    fn evolve(self, event: &PoolEvent) -> Self {
        self.after(event)
    }

    fn routing(&self) -> Routing {
        Routing { aggregate: Self::KIND, conversation_id: None, channel: None, priority: None }
    }
}
