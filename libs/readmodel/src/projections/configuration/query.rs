//! Keys and tenants, one or many, as the API shows them.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use hatch_domain::Channel;
use hatch_domain::api_key::{ApiKey, KeyId};
use hatch_domain::ids::TenantId;
use hatch_domain::scope::{Scope, Scopes};
use hatch_eventstore::Position;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use utoipa::ToSchema;

use super::fold::DEFAULT_TENANT;
use crate::query::conditions::Conditions;
use crate::query::page::{List, ListKind, Page};
use crate::{Error, QueryError, ReadModel};

/// The columns that every query of keys reads. Last uses are no projection's.
macro_rules! keys {
    ($rest:literal) => {
        concat!(
            "SELECT k.state, k.created_position, u.at AS used_at, u.ip, u.user_agent
               FROM rm_configuration.api_keys k
               LEFT JOIN access.key_uses u ON u.key_id = k.key_id AND u.tenant_id = k.tenant_id\n",
            $rest
        )
    };
}

const KEYS: &str = keys!("");
const KEY: &str = keys!("WHERE k.tenant_id = $1 AND k.key_id = $2");

/// The tenants, with the default one also where no event tells of it. That one is the oldest.
macro_rules! tenants {
    () => {
        "(SELECT tenant_id, name, suspended_at, suspended_for, created_at, updated_at, created_position
            FROM rm_configuration.tenants
           UNION ALL
          SELECT d.tenant_id, d.name, NULL, NULL, NULL, NULL, 0
            FROM (VALUES ('00000000-0000-0000-0000-000000000001'::uuid, 'default')) AS d(tenant_id, name)
           WHERE NOT EXISTS (SELECT FROM rm_configuration.tenants t WHERE t.tenant_id = d.tenant_id)) AS t\n"
    };
}

const TENANTS: &str = concat!("SELECT t.* FROM ", tenants!());
const TENANT: &str = concat!("SELECT t.* FROM ", tenants!(), "WHERE t.tenant_id = $1");

/// A key of the API, without its secret. Serialises to exactly the API's object.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct KeyInfo {
    /// The part of its text that is in clear.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// `live`, `test` or `team`.
    #[serde(rename = "type")]
    pub key_type: String,
    /// What it may do.
    #[schema(value_type = Vec<Scope>)]
    pub scopes: Scopes,
    /// The addresses that it may send from; all where there is none.
    pub senders: Vec<String>,
    /// The channels that it may send by; all where there is none.
    pub channels: Vec<Channel>,
    /// The networks that it may be used from; all where there is none.
    pub ip_ranges: Vec<String>,
    /// From when on it is refused.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub expires_at: Option<DateTime<Utc>>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub created_at: DateTime<Utc>,
    /// When it got its secret, where that is not its first.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub rotated_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was used last, known some seconds late; none where it never was.
    pub last_used: Option<LastUse>,
}

/// The last use of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ApiKeyUse)]
pub struct LastUse {
    /// When.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub at: DateTime<Utc>,
    /// From where.
    #[schema(value_type = String)]
    pub ip: IpAddr,
    /// By which program, as that calls itself.
    pub user_agent: Option<String>,
}

/// A tenant. Serialises to exactly the API's object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantInfo {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// Since when it is suspended; none where it is not.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub suspended_at: Option<DateTime<Utc>>,
    /// Why it is suspended, where somebody said so.
    pub suspended_for: Option<String>,
    /// When it was made; none for the default tenant, which has always been there.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it was changed last.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub updated_at: Option<DateTime<Utc>>,
}

impl TenantInfo {
    /// The default tenant, of which no event tells.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self {
            id: TenantId::DEFAULT,
            name: DEFAULT_TENANT.to_owned(),
            suspended_at: None,
            suspended_for: None,
            created_at: None,
            updated_at: None,
        }
    }
}

impl KeyInfo {
    /// What is shown of a key.
    #[must_use]
    pub fn of(key: &ApiKey, last_used: Option<LastUse>) -> Self {
        Self {
            id: key.id().to_string(),
            name: key.name().to_owned(),
            key_type: key.key_type().as_str().to_owned(),
            scopes: *key.scopes(),
            senders: key.senders().iter().map(ToString::to_string).collect(),
            channels: key.channels().to_vec(),
            ip_ranges: key.ip_ranges().iter().map(ToString::to_string).collect(),
            expires_at: key.expires_at(),
            created_by: key.created_by().to_string(),
            created_at: key.created_at().unwrap_or_default(),
            rotated_at: key.rotated_at(),
            revoked_at: key.revoked_at(),
            last_used,
        }
    }
}

impl ReadModel {
    /// The keys of `tenant`, the newest first, with those that are revoked.
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn api_keys(
        &self,
        tenant: TenantId,
        page: &Page,
    ) -> Result<List<KeyInfo>, QueryError> {
        let before = page.before(ListKind::ApiKeys)?;
        let (sql, conditions) = keys_sql(tenant, before, page.limit());
        let kind = ListKind::ApiKeys;
        Ok(self.list(kind, page.limit(), &sql, &conditions, keyed_key).await?)
    }

    /// One key of `tenant`.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn api_key(
        &self,
        tenant: TenantId,
        id: &KeyId,
    ) -> Result<Option<KeyInfo>, QueryError> {
        let rows = self.prepared(KEY, &[&tenant.0, &id.to_string()]).await?;
        Ok(rows.first().map(key).transpose()?)
    }

    /// Every tenant, the newest first. The default one comes last, unless it has been changed.
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn tenants(&self, page: &Page) -> Result<List<TenantInfo>, QueryError> {
        let before = page.before(ListKind::Tenants)?;
        let (sql, conditions) = tenants_sql(before, page.limit());
        let kind = ListKind::Tenants;
        Ok(self.list(kind, page.limit(), &sql, &conditions, keyed_tenant).await?)
    }

    /// One tenant. The default one is always there.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn tenant(&self, id: TenantId) -> Result<Option<TenantInfo>, QueryError> {
        let rows = self.prepared(TENANT, &[&id.0]).await?;
        Ok(rows.first().map(tenant).transpose()?)
    }
}

/// The statement of the keys' list.
pub(super) fn keys_sql(tenant: TenantId, before: Position, limit: u32) -> (String, Conditions) {
    let conditions = Conditions::of(tenant, "k.tenant_id").and(
        "k.created_position < ",
        "",
        before.0,
        Type::INT8,
    );
    let order = format!("ORDER BY k.created_position DESC LIMIT {}", limit + 1);
    (format!("{KEYS}{}{order}", conditions.sql()), conditions)
}

/// The statement of the tenants' list.
fn tenants_sql(before: Position, limit: u32) -> (String, Conditions) {
    let conditions = Conditions::of_all("t.created_position < ", before.0, Type::INT8);
    let order = format!("ORDER BY t.created_position DESC LIMIT {}", limit + 1);
    (format!("{TENANTS}{}{order}", conditions.sql()), conditions)
}

fn keyed_key(row: &Row) -> Result<(Position, KeyInfo), Error> {
    Ok((Position(row.try_get("created_position")?), key(row)?))
}

fn keyed_tenant(row: &Row) -> Result<(Position, TenantInfo), Error> {
    Ok((Position(row.try_get("created_position")?), tenant(row)?))
}

fn key(row: &Row) -> Result<KeyInfo, Error> {
    let Json(state): Json<ApiKey> = row.try_get("state")?;
    let used_at: Option<DateTime<Utc>> = row.try_get("used_at")?;
    let last_used = match (used_at, row.try_get::<_, Option<IpAddr>>("ip")?) {
        (Some(at), Some(ip)) => Some(LastUse { at, ip, user_agent: row.try_get("user_agent")? }),
        _ => None,
    };
    Ok(KeyInfo::of(&state, last_used))
}

fn tenant(row: &Row) -> Result<TenantInfo, Error> {
    Ok(TenantInfo {
        id: TenantId(row.try_get("tenant_id")?),
        name: row.try_get("name")?,
        suspended_at: row.try_get("suspended_at")?,
        suspended_for: row.try_get("suspended_for")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
