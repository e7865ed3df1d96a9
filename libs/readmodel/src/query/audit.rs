//! The audit: what the log says, and what is no event, as one list.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use utoipa::ToSchema;
use uuid::Uuid;

use super::conditions::Conditions;
use super::page::{List, ListKind, Page};
use super::{QueryError, ReadModel, TimeKey};
use crate::Error;

const OF_EVENTS: &str = "SELECT id, tenant_id, at, position, actor, key_id, action, object_kind, object_id, details, \
     request_id, correlation_id, NULL::inet AS ip FROM rm_audit.entries\n";

const OF_NO_EVENTS: &str = "SELECT id, tenant_id, at, NULL::bigint AS position, actor, key_id, action, object_kind, \
     object_id, details, request_id, NULL::uuid AS correlation_id, ip FROM access.audit\n";

/// Something that somebody did, or was refused.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its id: that of the event, where it is one.
    pub id: Uuid,
    /// When it happened.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub at: DateTime<Utc>,
    /// The position of the event, where it is one.
    pub position: Option<i64>,
    /// Who did it, such as `key:0123456789AB`; none where nobody knows who asked.
    pub actor: Option<String>,
    /// The key that was presented, also where it was refused.
    pub key: Option<String>,
    /// What was done, such as `api_key.revoked`, `request.refused` or `webhook_body.read`.
    pub action: String,
    /// What it was done to.
    pub object: Option<AuditObject>,
    /// What there is to say of it: the data of the event, or of what was refused or read.
    #[schema(value_type = Object)]
    pub details: Value,
    /// The request that did it, where one did.
    pub request_id: Option<String>,
    /// The same for all that one first cause set off.
    pub correlation_id: Option<Uuid>,
    /// Where the request came from, where it left no event.
    #[schema(value_type = Option<String>)]
    pub ip: Option<IpAddr>,
}

/// What something was done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditObject {
    /// Such as `api_key`, `tenant`, `message` or `webhook`.
    pub kind: String,
    /// Its id.
    pub id: String,
}

/// Which entries are wanted: those that every given field holds for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this actor.
    pub actor: Option<String>,
    /// By this key.
    pub key: Option<String>,
    /// This was done.
    pub action: Option<String>,
    /// To things of this kind.
    pub object_kind: Option<String>,
    /// To the thing of this id.
    pub object_id: Option<String>,
    /// Then or later.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
}

impl ReadModel {
    /// What is audited of `tenant` and `filter` lets through, the newest first.
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn audit(
        &self,
        tenant: TenantId,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<List<AuditEntry>, QueryError> {
        let before = page.key(ListKind::Audit)?;
        let (sql, conditions) = list_sql(tenant, filter, before, page.limit);
        let keyed = |row: &Row| entry(row).map(|entry| (TimeKey(entry.at, entry.id), entry));
        Ok(self.list(ListKind::Audit, page.limit, &sql, &conditions, keyed).await?)
    }
}

/// The statement of the list: as much of either source as the page may have, in one order.
fn list_sql(
    tenant: TenantId,
    filter: &AuditFilter,
    before: Option<TimeKey>,
    limit: u32,
) -> (String, Conditions) {
    let mut conditions = Conditions::of(tenant, "tenant_id");
    let object_id = filter.object_id.as_deref().map(object_id);
    for (column, value) in [
        ("actor = ", filter.actor.clone()),
        ("key_id = ", filter.key.clone()),
        ("action = ", filter.action.clone()),
        ("object_kind = ", filter.object_kind.clone()),
        ("object_id = ", object_id),
    ] {
        if let Some(value) = value {
            conditions = conditions.and(column, "", value, Type::TEXT);
        }
    }
    for (place, at) in [("at >= ", filter.from), ("at < ", filter.to)] {
        if let Some(at) = at {
            conditions = conditions.and(place, "", at, Type::TIMESTAMPTZ);
        }
    }
    if let Some(TimeKey(at, id)) = before {
        conditions = conditions.and("at <= ", "", at, Type::TIMESTAMPTZ);
        let place = format!("(at, id) < (${}, ", conditions.values().len());
        conditions = conditions.and(&place, ")", id, Type::UUID);
    }
    let order = format!("ORDER BY at DESC, id DESC LIMIT {}", limit + 1);
    let part = |source: &str| format!("({source}{}{order})", conditions.sql());
    let sql = format!(
        "SELECT * FROM ({}\nUNION ALL\n{}) AS both_sources {order}",
        part(OF_EVENTS),
        part(OF_NO_EVENTS)
    );
    (sql, conditions)
}

/// An id as it is stored: one that is a UUID in lower case, another as it is.
fn object_id(id: &str) -> String {
    Uuid::parse_str(id).map_or_else(|_| id.to_owned(), |id| id.to_string())
}

fn entry(row: &Row) -> Result<AuditEntry, Error> {
    let Json(details) = row.try_get("details")?;
    let object = match (row.try_get("object_kind")?, row.try_get("object_id")?) {
        (Some(kind), Some(id)) => Some(AuditObject { kind, id }),
        _ => None,
    };
    Ok(AuditEntry {
        id: row.try_get("id")?,
        at: row.try_get("at")?,
        position: row.try_get("position")?,
        actor: row.try_get("actor")?,
        key: row.try_get("key_id")?,
        action: row.try_get("action")?,
        object,
        details,
        request_id: row.try_get("request_id")?,
        correlation_id: row.try_get("correlation_id")?,
        ip: row.try_get("ip")?,
    })
}
