//! The rows of pools.

use chrono::{DateTime, Utc};
use hatch_domain::Decider;
use hatch_domain::pool::Pool;
use hatch_domain::pool::event::PoolEvent;
use hatch_eventstore::Position;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::fold::StreamRow;
use crate::Error;
use crate::engine::{Fact, table};

/// The rows of some pools.
pub(super) const LOAD_POOLS: &str = "SELECT id, tenant_id, state, created_at, removed_at, created_position, position \
     FROM rm_configuration.pools WHERE id = ANY($1)";

table! {
    /// One row a stream.
    pub(super) static POOLS: PoolRow = "rm_configuration.pools", row => {
        key id: "uuid" = row.id,
        fixed tenant_id: "uuid" = row.tenant_id,
        moving state: "json" = Json(&row.state),
        fixed created_at: "timestamptz" = row.created_at,
        moving removed_at: "timestamptz" = row.removed_at,
        fixed created_position: "bigint" = row.created_position.0,
        moving position: "bigint" = row.position.0,
    }
}

/// The row of a pool.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PoolRow {
    pub(super) id: Uuid,
    pub(super) tenant_id: Uuid,
    pub(super) state: Pool,
    pub(super) created_at: DateTime<Utc>,
    pub(super) removed_at: Option<DateTime<Utc>>,
    pub(super) created_position: Position,
    pub(super) position: Position,
}

impl StreamRow for PoolRow {
    type Event = PoolEvent;

    fn id(&self) -> Uuid {
        self.id
    }

    fn begins(event: &PoolEvent) -> bool {
        matches!(event, PoolEvent::PoolCreated(_))
    }

    fn begun_by(fact: &Fact<PoolEvent>) -> Self {
        Self {
            id: fact.id,
            tenant_id: fact.tenant_id,
            state: Pool::default(),
            created_at: fact.recorded_at,
            removed_at: None,
            created_position: fact.position,
            position: fact.position,
        }
    }

    fn apply(&mut self, fact: &Fact<PoolEvent>) {
        self.position = fact.position;
        self.state = std::mem::take(&mut self.state).evolve(&fact.event);
        self.removed_at = self.state.removed_at();
        if let PoolEvent::PoolCreated(created) = &fact.event {
            self.created_at = created.at;
        }
    }
}

impl PoolRow {
    /// Reads what [`LOAD_POOLS`] finds.
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
