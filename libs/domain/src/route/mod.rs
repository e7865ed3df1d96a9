//! Routes: which messages are for which accounts.
//!
//! Those of the log are a tenant's own, each a stream. A route tells messages apart by its [`RouteTerms`] and names the
//! accounts that carry them; which of these carries one message is decided where it is sent (`hatch-routing`).

pub mod command;
mod decide;
pub mod event;
mod evolve;
mod reach;
mod terms;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::command::{RouteCommand, RouteRejection};
use self::event::RouteEvent;
pub use self::reach::{BadReach, Reach};
pub use self::terms::{
    ACCOUNTS_MAX, BadTerms, NAME_CHARACTERS_MAX, RouteTerms, WEIGHT_MAX, Weighted, is_name,
};
use crate::decider::{Decider, Routing};

/// The aggregate's name in the log and in subjects.
pub const AGGREGATE: &str = "route";

/// How often a route becomes another at most: a stream holds 10,000 events, and its removal is to find room.
pub const CHANGES_MAX: u32 = 9_000;

/// A route, folded from its stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    name: Option<String>,
    order: i32,
    terms: RouteTerms,
    created_by: String,
    created_at: Option<DateTime<Utc>>,
    changed_at: Option<DateTime<Utc>>,
    removed_at: Option<DateTime<Utc>>,
    revision: u32,
}

impl Route {
    /// What its tenant calls it, if it has a name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where it stands among the tenant's routes: the lowest is looked at first.
    #[must_use]
    pub const fn order(&self) -> i32 {
        self.order
    }

    /// Which messages are its, and who carries them.
    #[must_use]
    pub const fn terms(&self) -> &RouteTerms {
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

impl Decider for Route {
    const KIND: &'static str = AGGREGATE;

    type Command = RouteCommand;
    type Event = RouteEvent;
    type Rejection = RouteRejection;

    fn decide(&self, command: &RouteCommand) -> Result<Vec<RouteEvent>, RouteRejection> {
        self.decide_command(command)
    }

    fn evolve(self, event: &RouteEvent) -> Self {
        self.after(event)
    }

    fn routing(&self) -> Routing {
        Routing { aggregate: Self::KIND, conversation_id: None, channel: None, priority: None }
    }
}
