//! Who may use this installation, and what it uses: its tenants, the keys of its API, its members, its accounts at
//! providers with how those are, its routes, and its pools of senders.

mod account_query;
mod accounts;
mod carriers;
mod fold;
mod kept;
mod load;
mod members;
mod pool_query;
mod query;
mod route_query;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hatch_domain::Decider;
use hatch_domain::account::Account;
use hatch_domain::api_key::ApiKey;
use hatch_domain::carrier::Carrier;
use hatch_domain::member::Member;
use hatch_domain::pool::Pool;
use hatch_domain::route::Route;
use hatch_domain::tenant::Tenant;
use hatch_eventstore::RecordedEvent;
use hatch_eventstore::schema::Schema;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

pub use self::account_query::AccountInfo;
use self::accounts::AccountRow;
use self::carriers::CarrierRow;
use self::fold::{ApiKeyRow, MemberRow, StreamRow, TenantRow, fold, fold_tenants};
use self::kept::KeptRow;
pub use self::load::{Stored, StoredConfiguration};
pub use self::members::MemberInfo;
pub use self::pool_query::{PoolInfo, PoolSenderInfo};
pub use self::query::{KeyInfo, LastUse, TenantInfo};
pub use self::route_query::{RouteAccount, RouteInfo};
use crate::engine::{Table, WriteContext, Writer, begun_before, facts};
use crate::{Definition, Error, SCHEMA};

mod embedded {
    refinery::embed_migrations!("../../schema/rm_configuration");
}

/// Tenants, keys, members, accounts and routes. No message waits for it: whoever lets requests in follows the log
/// itself.
pub static DEFINITION: Definition = Definition {
    name: "configuration",
    version: 3,
    schema: Schema::new("rm_configuration", embedded::migrations::runner)
        .with_history_in(SCHEMA.name()),
    tables: "rm_configuration",
    aggregates: &[
        <Tenant as Decider>::KIND,
        <ApiKey as Decider>::KIND,
        <Account as Decider>::KIND,
        <Member as Decider>::KIND,
        <Route as Decider>::KIND,
        <Carrier as Decider>::KIND,
        <Pool as Decider>::KIND,
    ],
    read_models: &["tenants", "api_keys", "accounts", "members", "routes", "carriers", "pools"],
    gates_admission: false,
    reads: &[
        tables::WRITTEN,
        tables::LOAD_TENANTS,
        tables::LOAD_KEYS,
        accounts::LOAD_ACCOUNTS,
        tables::LOAD_MEMBERS,
        kept::LOAD_ROUTES,
        carriers::LOAD_CARRIERS,
        kept::LOAD_POOLS,
    ],
    writer: || Box::new(ConfigurationWriter),
    parallel: None,
};

/// It remembers nothing: configuration seldom changes.
struct ConfigurationWriter;

impl Writer for ConfigurationWriter {
    fn apply<'a>(
        &'a mut self,
        into: WriteContext<'a>,
        page: &'a [Arc<RecordedEvent>],
    ) -> BoxFuture<'a, Result<(), Error>> {
        apply(into, page).boxed()
    }
}

async fn apply(into: WriteContext<'_>, page: &[Arc<RecordedEvent>]) -> Result<(), Error> {
    let page = as_written(into, page).await?;
    apply_tenants(into, &page).await?;
    apply_to::<ApiKey, _>(into, &page, tables::LOAD_KEYS, ApiKeyRow::read, &tables::API_KEYS)
        .await?;
    apply_to::<Member, _>(into, &page, tables::LOAD_MEMBERS, MemberRow::read, &tables::MEMBERS)
        .await?;
    let (load, accounts) = (accounts::LOAD_ACCOUNTS, &accounts::ACCOUNTS);
    apply_to::<Account, _>(into, &page, load, AccountRow::read, accounts).await?;
    apply_to::<Route, _>(into, &page, kept::LOAD_ROUTES, KeptRow::read, &kept::ROUTES).await?;
    let (load, carriers) = (carriers::LOAD_CARRIERS, &carriers::CARRIERS);
    apply_to::<Carrier, _>(into, &page, load, CarrierRow::read, carriers).await?;
    apply_to::<Pool, _>(into, &page, kept::LOAD_POOLS, KeptRow::read, &kept::POOLS).await
}

async fn apply_tenants(into: WriteContext<'_>, page: &[Arc<RecordedEvent>]) -> Result<(), Error> {
    let of_tenants = facts::<Tenant>(page)?;
    let mut rows = BTreeMap::new();
    for row in into.query(tables::LOAD_TENANTS, &begun_before(&of_tenants)).await? {
        let row = TenantRow::read(&row)?;
        rows.insert(row.tenant_id, row);
    }
    let rows = fold_tenants(rows, &of_tenants);
    tables::TENANTS.upsert(into, &rows.values().collect::<Vec<_>>()).await
}

/// Folds the events of `page` that streams of the kind `D` have into their rows: `load` finds those that there are,
/// `read` reads one, and `table` has them.
async fn apply_to<D: Decider, R: StreamRow<Event = D::Event> + Sync + 'static>(
    into: WriteContext<'_>,
    page: &[Arc<RecordedEvent>],
    load: &'static str,
    read: fn(&Row) -> Result<R, Error>,
    table: &'static Table<R>,
) -> Result<(), Error> {
    let facts = facts::<D>(page)?;
    let mut rows = BTreeMap::new();
    for row in into.query(load, &begun_before(&facts)).await? {
        let row = read(&row)?;
        rows.insert(row.id(), row);
    }
    let rows = fold(rows, &facts)?;
    table.upsert(into, &rows.values().collect::<Vec<_>>()).await
}

/// The events of `page` that it reads, with all their fields. Those of a page that came by the bus are without the
/// hashes of secrets. The log's tables have every event that can have come that way; what they lack, an archive gave.
async fn as_written(
    into: WriteContext<'_>,
    page: &[Arc<RecordedEvent>],
) -> Result<Vec<Arc<RecordedEvent>>, Error> {
    let ours = || page.iter().filter(|event| DEFINITION.reads_event(event));
    let positions: Vec<i64> = ours().map(|event| event.position.0).collect();
    let mut written = BTreeMap::new();
    for row in into.query(tables::WRITTEN, &positions).await? {
        let Json(payload): Json<Box<RawValue>> = row.try_get(1)?;
        written.insert(row.try_get::<_, Uuid>(0)?, payload);
    }
    let whole = ours().map(|event| match written.remove(&event.event_id) {
        Some(payload) => Arc::new(RecordedEvent { payload, ..RecordedEvent::clone(event) }),
        None => Arc::clone(event),
    });
    Ok(whole.collect())
}
