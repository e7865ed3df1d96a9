//! Routes, one or many, as the API shows them.

use chrono::{DateTime, Utc};
use hatch_domain::account_name::AccountName;
use hatch_domain::ids::{RouteId, TenantId};
use hatch_domain::route::{Route, Weighted};
use hatch_domain::{Channel, Priority};
use hatch_eventstore::Position;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use utoipa::ToSchema;

use crate::query::conditions::Conditions;
use crate::query::page::{List, ListKind, Page};
use crate::{Error, QueryError, ReadModel};

/// The columns that every query of routes reads.
const ROUTES: &str = "SELECT r.id, r.state, r.created_position FROM rm_configuration.routes r\n";

const ROUTE: &str = "SELECT r.id, r.state, r.created_position FROM rm_configuration.routes r
     WHERE r.tenant_id = $1 AND r.id = $2 AND r.removed_at IS NULL";

/// An account of a route, and how much of its messages it carries in relation to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RouteAccount {
    /// hatch's own name of it.
    pub name: AccountName,
    /// Its weight, 0 to 100. At 0 it carries none.
    pub weight: u16,
}

/// A route that is kept in the log. Serialises to exactly the API's object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Route)]
pub struct RouteInfo {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: RouteId,
    /// What its tenant calls it.
    pub name: Option<String>,
    /// Where it stands among the tenant's routes: the lowest is looked at first, and of two alike the older one.
    pub order: i32,
    /// How the messages travel that it is for; `null` for all.
    pub channel: Option<Channel>,
    /// Whom they are to: the beginning of a number, or a domain; `null` for all.
    pub to: Option<String>,
    /// Who sends them; `null` for all.
    pub from: Option<String>,
    /// Which priority they have; `null` for all.
    pub priority: Option<Priority>,
    /// The accounts that share them, by weight.
    pub accounts: Vec<RouteAccount>,
    /// Those that carry what none of these can, in this order.
    pub backup: Vec<AccountName>,
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

impl RouteInfo {
    /// What is shown of a route.
    #[must_use]
    pub fn of(id: RouteId, route: &Route) -> Self {
        let terms = route.terms();
        let weighted = |Weighted { account, weight }: &Weighted| RouteAccount {
            name: account.clone(),
            weight: *weight,
        };
        Self {
            id,
            name: route.name().map(str::to_owned),
            order: route.order(),
            channel: terms.channel,
            to: terms.to.as_ref().map(ToString::to_string),
            from: terms.from.as_ref().map(ToString::to_string),
            priority: terms.priority,
            accounts: terms.accounts.iter().map(weighted).collect(),
            backup: terms.backup.clone(),
            created_by: route.created_by().to_owned(),
            created_at: route.created_at().unwrap_or_default(),
            updated_at: route.changed_at(),
            removed_at: route.removed_at(),
        }
    }
}

impl ReadModel {
    /// The routes of `tenant` that the log keeps, the newest first.
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn routes(
        &self,
        tenant: TenantId,
        page: &Page,
    ) -> Result<List<RouteInfo>, QueryError> {
        let before = page.before(ListKind::Routes)?;
        let (sql, conditions) = routes_sql(tenant, before, page.limit());
        Ok(self.list(ListKind::Routes, page.limit(), &sql, &conditions, keyed_route).await?)
    }

    /// One route of `tenant`.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn route(
        &self,
        tenant: TenantId,
        id: RouteId,
    ) -> Result<Option<RouteInfo>, QueryError> {
        let rows = self.prepared(ROUTE, &[&tenant.0, &id.0]).await?;
        Ok(rows.first().map(route).transpose()?)
    }
}

/// The statement of the routes' list.
fn routes_sql(tenant: TenantId, before: Position, limit: u32) -> (String, Conditions) {
    let conditions = Conditions::of(tenant, "r.tenant_id").and(
        "r.removed_at IS NULL AND r.created_position < ",
        "",
        before.0,
        Type::INT8,
    );
    let order = format!("ORDER BY r.created_position DESC LIMIT {}", limit + 1);
    (format!("{ROUTES}{}{order}", conditions.sql()), conditions)
}

fn keyed_route(row: &Row) -> Result<(Position, RouteInfo), Error> {
    Ok((Position(row.try_get("created_position")?), route(row)?))
}

fn route(row: &Row) -> Result<RouteInfo, Error> {
    let Json(state): Json<Route> = row.try_get("state")?;
    Ok(RouteInfo::of(RouteId(row.try_get("id")?), &state))
}
