//! The tables, and how they are read for the fold.

use hatch_eventstore::Position;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::fold::{ApiKeyRow, MemberRow, TenantRow};
use crate::Error;
use crate::engine::table;

/// Events as they were written. What comes by the bus lacks the fields that stay in the log.
pub(super) const WRITTEN: &str = "SELECT event_id, payload FROM es.events WHERE position = ANY($1)";

/// The rows of some keys.
pub(super) const LOAD_KEYS: &str = "SELECT id, tenant_id, key_id, name, key_type, state, created_at, \
     revoked_at, created_position, position FROM rm_configuration.api_keys WHERE id = ANY($1)";

/// The rows of some members.
pub(super) const LOAD_MEMBERS: &str = "SELECT id, tenant_id, email, status, state, created_position, position \
     FROM rm_configuration.members WHERE id = ANY($1)";

/// The rows of some tenants.
pub(super) const LOAD_TENANTS: &str = "SELECT tenant_id, name, suspended_at, suspended_for, state, \
     created_at, updated_at, created_position, position FROM rm_configuration.tenants \
     WHERE tenant_id = ANY($1)";

table! {
    /// One row a stream.
    pub(super) static API_KEYS: ApiKeyRow = "rm_configuration.api_keys", row => {
        key id: "uuid" = row.id,
        fixed tenant_id: "uuid" = row.tenant_id,
        fixed key_id: "text" = row.key_id.as_str(),
        fixed name: "text" = row.name.as_str(),
        fixed key_type: "text" = row.key_type.as_str(),
        moving state: "json" = Json(&row.state),
        fixed created_at: "timestamptz" = row.created_at,
        moving revoked_at: "timestamptz" = row.revoked_at,
        fixed created_position: "bigint" = row.created_position.0,
        moving position: "bigint" = row.position.0,
    }

    /// One row a stream.
    pub(super) static MEMBERS: MemberRow = "rm_configuration.members", row => {
        key id: "uuid" = row.id,
        fixed tenant_id: "uuid" = row.tenant_id,
        fixed email: "text" = row.email.as_str(),
        moving status: "text" = row.status.as_str(),
        moving state: "json" = Json(&row.state),
        fixed created_position: "bigint" = row.created_position.0,
        moving position: "bigint" = row.position.0,
    }

    /// One row a stream.
    pub(super) static TENANTS: TenantRow = "rm_configuration.tenants", row => {
        key tenant_id: "uuid" = row.tenant_id,
        moving name: "text" = row.name.as_str(),
        moving suspended_at: "timestamptz" = row.suspended_at,
        moving suspended_for: "text" = row.suspended_for.as_deref(),
        moving state: "json" = Json(&row.state),
        fixed created_at: "timestamptz" = row.created_at,
        moving updated_at: "timestamptz" = row.updated_at,
        fixed created_position: "bigint" = row.created_position.0,
        moving position: "bigint" = row.position.0,
    }
}

impl ApiKeyRow {
    /// Reads what [`LOAD_KEYS`] finds.
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let Json(state) = row.try_get(5)?;
        Ok(Self {
            id: row.try_get(0)?,
            tenant_id: row.try_get(1)?,
            key_id: row.try_get(2)?,
            name: row.try_get(3)?,
            key_type: row.try_get(4)?,
            state,
            created_at: row.try_get(6)?,
            revoked_at: row.try_get(7)?,
            created_position: Position(row.try_get(8)?),
            position: Position(row.try_get(9)?),
        })
    }
}

impl MemberRow {
    /// Reads what [`LOAD_MEMBERS`] finds.
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let Json(state) = row.try_get(4)?;
        Ok(Self {
            id: row.try_get(0)?,
            tenant_id: row.try_get(1)?,
            email: row.try_get(2)?,
            status: row.try_get(3)?,
            state,
            created_position: Position(row.try_get(5)?),
            position: Position(row.try_get(6)?),
        })
    }
}

impl TenantRow {
    /// Reads what [`LOAD_TENANTS`] finds.
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let Json(state) = row.try_get(4)?;
        Ok(Self {
            tenant_id: row.try_get(0)?,
            name: row.try_get(1)?,
            suspended_at: row.try_get(2)?,
            suspended_for: row.try_get(3)?,
            state,
            created_at: row.try_get(5)?,
            updated_at: row.try_get(6)?,
            created_position: Position(row.try_get(7)?),
            position: Position(row.try_get(8)?),
        })
    }
}
