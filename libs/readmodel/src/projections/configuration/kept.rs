//! The rows of what a tenant makes, changes and removes, and of which nothing but its state is asked: routes and pools.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use hatch_domain::Decider;
use hatch_domain::pool::Pool;
use hatch_domain::pool::event::PoolEvent;
use hatch_domain::route::Route;
use hatch_domain::route::event::RouteEvent;
use hatch_eventstore::Position;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::fold::StreamRow;
use crate::Error;
use crate::engine::{Fact, table};

/// The rows of some pools.
pub(super) const LOAD_POOLS: &str = "SELECT id, tenant_id, state, created_at, removed_at, created_position, position \
     FROM rm_configuration.pools WHERE id = ANY($1)";

/// The rows of some routes.
pub(super) const LOAD_ROUTES: &str = "SELECT id, tenant_id, state, created_at, removed_at, created_position, position \
     FROM rm_configuration.routes WHERE id = ANY($1)";

table! {
    /// One row a stream.
    pub(super) static POOLS: KeptRow<Pool> = "rm_configuration.pools", row => {
        key id: "uuid" = row.id,
        fixed tenant_id: "uuid" = row.tenant_id,
        moving state: "json" = Json(&row.state),
        fixed created_at: "timestamptz" = row.created_at,
        moving removed_at: "timestamptz" = row.removed_at,
        fixed created_position: "bigint" = row.created_position.0,
        moving position: "bigint" = row.position.0,
    }

    /// One row a stream.
    pub(super) static ROUTES: KeptRow<Route> = "rm_configuration.routes", row => {
        key id: "uuid" = row.id,
        fixed tenant_id: "uuid" = row.tenant_id,
        moving state: "json" = Json(&row.state),
        fixed created_at: "timestamptz" = row.created_at,
        moving removed_at: "timestamptz" = row.removed_at,
        fixed created_position: "bigint" = row.created_position.0,
        moving position: "bigint" = row.position.0,
    }
}

/// What is kept so.
pub(super) trait Kept:
    Decider + Clone + Debug + Default + PartialEq + DeserializeOwned
{
    /// When the event made it, if it is the one that did.
    fn made_at(event: &Self::Event) -> Option<DateTime<Utc>>;

    /// When it was removed.
    fn removed_at(&self) -> Option<DateTime<Utc>>;
}

impl Kept for Pool {
    fn made_at(event: &PoolEvent) -> Option<DateTime<Utc>> {
        match event {
            PoolEvent::PoolCreated(created) => Some(created.at),
            _ => None,
        }
    }

    fn removed_at(&self) -> Option<DateTime<Utc>> {
        self.removed_at()
    }
}

impl Kept for Route {
    fn made_at(event: &RouteEvent) -> Option<DateTime<Utc>> {
        match event {
            RouteEvent::RouteCreated(created) => Some(created.at),
            _ => None,
        }
    }

    fn removed_at(&self) -> Option<DateTime<Utc>> {
        self.removed_at()
    }
}

/// The row of one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeptRow<S> {
    id: Uuid,
    tenant_id: Uuid,
    state: S,
    created_at: DateTime<Utc>,
    removed_at: Option<DateTime<Utc>>,
    created_position: Position,
    position: Position,
}

impl<S: Kept> StreamRow for KeptRow<S> {
    type Event = S::Event;

    fn id(&self) -> Uuid {
        self.id
    }

    fn begins(event: &S::Event) -> bool {
        S::made_at(event).is_some()
    }

    fn begun_by(fact: &Fact<S::Event>) -> Self {
        Self {
            id: fact.id,
            tenant_id: fact.tenant_id,
            state: S::default(),
            created_at: fact.recorded_at,
            removed_at: None,
            created_position: fact.position,
            position: fact.position,
        }
    }

    fn apply(&mut self, fact: &Fact<S::Event>) {
        self.position = fact.position;
        self.state = std::mem::take(&mut self.state).evolve(&fact.event);
        self.removed_at = self.state.removed_at();
        self.created_at = S::made_at(&fact.event).unwrap_or(self.created_at);
    }
}

impl<S: Kept> KeptRow<S> {
    /// Reads what [`LOAD_POOLS`] or [`LOAD_ROUTES`] finds.
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let Json(state) = row.try_get(2)?;
        Ok(Self {
            id: row.try_get(0)?,
            tenant_id: row.try_get(1)?,
            state,
            created_at: row.try_get(3)?,
            removed_at: row.try_get(4)?,
            created_position: Position(row.try_get(5)?),
            position: Position(row.try_get(6)?),
        })
    }
}
