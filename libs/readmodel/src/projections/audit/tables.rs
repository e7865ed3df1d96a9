//! The tables, and what is read for the fold.

use tokio_postgres::types::Json;

use super::fold::{Entry, KeyName};
use crate::engine::table;

/// For which requests events were recorded, those of every tenant. What an archive holds says it itself.
pub(super) const REQUEST_IDS: &str =
    "SELECT event_id, metadata->>'request_id' FROM es.events WHERE position = ANY($1)";

/// What people call some keys.
pub(super) const LOAD_KEY_NAMES: &str =
    "SELECT id, key_id FROM rm_audit.key_ids WHERE id = ANY($1)";

table! {
    /// One row an event.
    pub(super) static ENTRIES: Entry = "rm_audit.entries", row => {
        key id: "uuid" = row.id,
        fixed tenant_id: "uuid" = row.tenant_id,
        fixed at: "timestamptz" = row.at,
        fixed position: "bigint" = row.position.0,
        fixed actor: "text" = row.actor.as_str(),
        fixed key_id: "text" = row.key_id.as_deref(),
        fixed action: "text" = row.action.as_str(),
        fixed object_kind: "text" = row.object_kind.as_str(),
        fixed object_id: "text" = row.object_id.as_str(),
        fixed details: "json" = Json(&row.details),
        fixed request_id: "text" = row.request_id.as_deref(),
        fixed correlation_id: "uuid" = row.correlation_id,
    }

    /// One row a key.
    pub(super) static KEY_NAMES: KeyName = "rm_audit.key_ids", row => {
        key id: "uuid" = row.id,
        fixed tenant_id: "uuid" = row.tenant_id,
        fixed key_id: "text" = row.key_id.as_str(),
    }
}
