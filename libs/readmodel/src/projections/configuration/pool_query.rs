//! Pools of senders, one or many, as the API shows them.

use chrono::{DateTime, Utc};
use hatch_domain::Channel;
use hatch_domain::address::SenderKind;
use hatch_domain::ids::TenantId;
use hatch_domain::pool::{Pool, PoolName, PoolSender, pool_id};
use hatch_eventstore::Position;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use utoipa::ToSchema;

use crate::query::conditions::Conditions;
use crate::query::page::{List, ListKind, Page};
use crate::{Error, QueryError, ReadModel};

/// The columns that every query of pools reads.
const POOLS: &str = "SELECT p.state, p.created_position FROM rm_configuration.pools p\n";

const POOL: &str = "SELECT p.state, p.created_position FROM rm_configuration.pools p
     WHERE p.tenant_id = $1 AND p.id = $2 AND p.removed_at IS NULL";

/// A sender of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PoolSenderInfo {
    /// A phone number, a short code, a name, or a messaging service of a provider.
    pub address: String,
    /// What of these it is.
    #[schema(value_type = Option<SenderKind>)]
    pub kind: Option<SenderKind>,
    /// Its weight, 0 to 100. At 0 it gets no new recipients.
    pub weight: u16,
    /// The area code in North America that it stands for; `null` for none.
    pub area: Option<String>,
}

/// A pool of senders that is kept in the log. Serialises to exactly the API's object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Pool)]
pub struct PoolInfo {
    /// What its tenant calls it.
    pub name: String,
    /// How the messages travel that it is for; `null` for `sms` and `mms`.
    pub channel: Option<Channel>,
    /// Whether a message that names neither a sender nor a pool has one of these.
    pub default: bool,
    /// Its senders.
    pub senders: Vec<PoolSenderInfo>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub created_at: DateTime<Utc>,
    /// When it was changed last; `null` where it never was.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub updated_at: Option<DateTime<Utc>>,
    /// When it was removed; `null` while it is there.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub removed_at: Option<DateTime<Utc>>,
}

impl PoolInfo {
    /// What is shown of a pool.
    #[must_use]
    pub fn of(pool: &Pool) -> Self {
        let terms = pool.terms();
        let sender = |one: &PoolSender| PoolSenderInfo {
            address: one.address.to_string(),
            kind: SenderKind::of(&one.address),
            weight: one.weight,
            area: one.area().map(str::to_owned),
        };
        Self {
            name: pool.name().map(ToString::to_string).unwrap_or_default(),
            channel: terms.channel,
            default: terms.is_default,
            senders: terms.senders.iter().map(sender).collect(),
            created_by: pool.created_by().to_owned(),
            created_at: pool.created_at().unwrap_or_default(),
            updated_at: pool.changed_at(),
            removed_at: pool.removed_at(),
        }
    }
}

impl ReadModel {
    /// The pools of `tenant` that the log keeps, the newest first.
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn pools(&self, tenant: TenantId, page: &Page) -> Result<List<PoolInfo>, QueryError> {
        let before = page.before(ListKind::Pools)?;
        let (sql, conditions) = pools_sql(tenant, before, page.limit());
        Ok(self.list(ListKind::Pools, page.limit(), &sql, &conditions, keyed_pool).await?)
    }

    /// One pool of `tenant`.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn pool(
        &self,
        tenant: TenantId,
        name: &PoolName,
    ) -> Result<Option<PoolInfo>, QueryError> {
        let rows = self.prepared(POOL, &[&tenant.0, &pool_id(tenant, name).0]).await?;
        Ok(rows.first().map(pool).transpose()?)
    }
}

/// The statement of the pools' list.
fn pools_sql(tenant: TenantId, before: Position, limit: u32) -> (String, Conditions) {
    let conditions = Conditions::of(tenant, "p.tenant_id").and(
        "p.removed_at IS NULL AND p.created_position < ",
        "",
        before.0,
        Type::INT8,
    );
    let order = format!("ORDER BY p.created_position DESC LIMIT {}", limit + 1);
    (format!("{POOLS}{}{order}", conditions.sql()), conditions)
}

fn keyed_pool(row: &Row) -> Result<(Position, PoolInfo), Error> {
    Ok((Position(row.try_get("created_position")?), pool(row)?))
}

fn pool(row: &Row) -> Result<PoolInfo, Error> {
    let Json(state): Json<Pool> = row.try_get("state")?;
    Ok(PoolInfo::of(&state))
}
