//! The table, and how it is read for the fold.

use hatch_eventstore::Position;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::fold::ConsentRow;
use crate::Error;
use crate::engine::table;

/// The rows of some consents.
pub(super) const LOAD: &str = "SELECT id, tenant_id, address, programme, wish, wish_since, evidence, \
     blocks, updated_at, position FROM rm_consent.consents WHERE id = ANY($1)";

table! {
    /// One row a stream.
    pub(super) static CONSENTS: ConsentRow = "rm_consent.consents", row => {
        key id: "uuid" = row.id,
        fixed tenant_id: "uuid" = row.tenant_id,
        fixed address: "text" = row.address.as_str(),
        fixed programme: "text" = row.programme.as_str(),
        moving wish: "text" = row.wish.as_deref(),
        moving wish_since: "timestamptz" = row.wish_since,
        moving evidence: "json" = row.evidence.as_ref().map(Json),
        moving blocks: "json" = Json(&row.blocks),
        moving updated_at: "timestamptz" = row.updated_at,
        moving position: "bigint" = row.position.0,
    }
}

impl ConsentRow {
    /// Reads what [`LOAD`] finds.
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let evidence: Option<Json<serde_json::Value>> = row.try_get(6)?;
        let Json(blocks) = row.try_get(7)?;
        Ok(Self {
            id: row.try_get(0)?,
            tenant_id: row.try_get(1)?,
            address: row.try_get(2)?,
            programme: row.try_get(3)?,
            wish: row.try_get(4)?,
            wish_since: row.try_get(5)?,
            evidence: evidence.map(|Json(evidence)| evidence),
            blocks,
            updated_at: row.try_get(8)?,
            position: Position(row.try_get(9)?),
        })
    }
}
