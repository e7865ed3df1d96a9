//! The rows of carriers: one for each account at a provider and month in which the fleet appended an event about it.

use hatch_domain::Decider;
use hatch_domain::carrier::Carrier;
use hatch_domain::carrier::event::CarrierEvent;
use hatch_eventstore::Position;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::fold::StreamRow;
use crate::Error;
use crate::engine::{Fact, table};

/// The rows of some streams.
pub(super) const LOAD_CARRIERS: &str = "SELECT id, tenant_id, provider, account, state, created_position, position \
     FROM rm_configuration.carriers WHERE id = ANY($1)";

table! {
    /// One row a stream.
    pub(super) static CARRIERS: CarrierRow = "rm_configuration.carriers", row => {
        key id: "uuid" = row.id,
        fixed tenant_id: "uuid" = row.tenant_id,
        fixed provider: "text" = row.provider.as_str(),
        fixed account: "text" = row.account.as_str(),
        moving state: "json" = Json(&row.state),
        fixed created_position: "bigint" = row.created_position.0,
        moving position: "bigint" = row.position.0,
    }
}

/// The row of a month of an account.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CarrierRow {
    pub(super) id: Uuid,
    pub(super) tenant_id: Uuid,
    pub(super) provider: String,
    pub(super) account: String,
    pub(super) state: Carrier,
    pub(super) created_position: Position,
    pub(super) position: Position,
}

impl StreamRow for CarrierRow {
    type Event = CarrierEvent;

    fn id(&self) -> Uuid {
        self.id
    }

    /// Any may be the first of a month.
    fn begins(_: &CarrierEvent) -> bool {
        true
    }

    fn begun_by(fact: &Fact<CarrierEvent>) -> Self {
        Self {
            id: fact.id,
            tenant_id: fact.tenant_id,
            provider: String::new(),
            account: String::new(),
            state: Carrier::default(),
            created_position: fact.position,
            position: fact.position,
        }
    }

    fn apply(&mut self, fact: &Fact<CarrierEvent>) {
        self.position = fact.position;
        self.state = std::mem::take(&mut self.state).evolve(&fact.event);
        let (provider, account) = self.state.key();
        (self.provider, self.account) = (provider.to_owned(), account.to_owned());
    }
}

impl CarrierRow {
    /// Reads what [`LOAD_CARRIERS`] finds.
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let Json(state) = row.try_get(4)?;
        Ok(Self {
            id: row.try_get(0)?,
            tenant_id: row.try_get(1)?,
            provider: row.try_get(2)?,
            account: row.try_get(3)?,
            state,
            created_position: Position(row.try_get(5)?),
            position: Position(row.try_get(6)?),
        })
    }
}
