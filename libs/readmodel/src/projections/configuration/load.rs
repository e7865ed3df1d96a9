//! The tables as whoever keeps all of it in memory begins with them.

use hatch_domain::account::Account;
use hatch_domain::api_key::ApiKey;
use hatch_domain::carrier::Carrier;
use hatch_domain::ids::TenantId;
use hatch_domain::member::Member;
use hatch_domain::pool::Pool;
use hatch_domain::route::Route;
use hatch_domain::tenant::Tenant;
use hatch_eventstore::Position;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::DEFINITION;
use crate::{Error, ReadModel};

/// One statement, so that the checkpoint is that of the rows. There is one row at least. It reads every tenant_id,
/// because it is asked before it is known whose a request is.
const ALL: &str = "
    SELECT c.position, r.kind, r.id, r.tenant_id, r.state, r.position
      FROM (SELECT coalesce(max(position), 0) AS position FROM es.checkpoints
             WHERE name = $1 AND version = $2) AS c
      LEFT JOIN (SELECT 'tenant' AS kind, tenant_id AS id, tenant_id, state, position
                   FROM rm_configuration.tenants
                  UNION ALL
                 SELECT 'api_key', id, tenant_id, state, position FROM rm_configuration.api_keys
                  UNION ALL
                 SELECT 'route', id, tenant_id, state, position FROM rm_configuration.routes
                  UNION ALL
                 SELECT 'pool', id, tenant_id, state, position FROM rm_configuration.pools
                  UNION ALL
                 SELECT 'account', id, tenant_id, state, position FROM rm_configuration.accounts
                  UNION ALL
                 SELECT 'member', id, tenant_id, state, position FROM rm_configuration.members
                  UNION ALL
                 SELECT 'carrier', id, tenant_id, state, position FROM rm_configuration.carriers) AS r
        ON true";

/// A stream as the tables have it.
#[derive(Debug, Clone)]
pub struct Stored<S> {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What it is folded to; none where this build cannot read that.
    pub state: Option<S>,
    /// Its last event.
    pub position: Position,
}

/// All that the tables have.
#[derive(Debug, Clone, Default)]
pub struct StoredConfiguration {
    /// Every event up to here is in it.
    pub position: Position,
    /// The tenants of which there are events.
    pub tenants: Vec<Stored<Tenant>>,
    /// The keys, with those that are revoked.
    pub api_keys: Vec<Stored<ApiKey>>,
    /// The members, with those that were removed.
    pub members: Vec<Stored<Member>>,
    /// The accounts at providers, with those that are removed.
    pub accounts: Vec<Stored<Account>>,
    /// The routes, with those that are removed.
    pub routes: Vec<Stored<Route>>,
    /// The pools of senders, with those that are removed.
    pub pools: Vec<Stored<Pool>>,
    /// What the fleet told of accounts, each in a month.
    pub carriers: Vec<Stored<Carrier>>,
}

impl ReadModel {
    /// The configuration of all tenants.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn configuration(&self) -> Result<StoredConfiguration, Error> {
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
            [&DEFINITION.name, &DEFINITION.version];
        let mut all = StoredConfiguration::default();
        for row in self.prepared(ALL, &values).await? {
            all.position = Position(row.try_get(0)?);
            match row.try_get::<_, Option<&str>>(1)? {
                Some("tenant") => all.tenants.push(stored(&row)?),
                Some("member") => all.members.push(stored(&row)?),
                Some("route") => all.routes.push(stored(&row)?),
                Some("pool") => all.pools.push(stored(&row)?),
                Some("account") => all.accounts.push(stored(&row)?),
                Some("carrier") => all.carriers.push(stored(&row)?),
                Some(_) => all.api_keys.push(stored(&row)?),
                None => {}
            }
        }
        Ok(all)
    }
}

fn stored<S: DeserializeOwned>(row: &Row) -> Result<Stored<S>, Error> {
    let Json(state): Json<Box<RawValue>> = row.try_get(4)?;
    Ok(Stored {
        id: row.try_get(2)?,
        tenant_id: TenantId(row.try_get(3)?),
        state: serde_json::from_str(state.get()).ok(),
        position: Position(row.try_get(5)?),
    })
}
