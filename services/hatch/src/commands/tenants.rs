//! `hatch tenants`: whose data it is.

use anyhow::anyhow;
use hatch_api::tenants::{
    Change, TeamChange, TeamChanged, Written, change, change_team, create, find,
};
use hatch_directory::Directory;
use hatch_domain::ids::TenantId;
use hatch_domain::tenant::{AGGREGATE, TEAM_RECIPIENTS_MAX, TeamRecipient, Tenant};
use hatch_domain::{Decider as _, time};
use hatch_eventstore::Log;
use hatch_readmodel::{ReadModel, TenantInfo};
use serde_json::json;

use super::writer::{Writer, actor};
use super::{pool, print_first};
use crate::cli::{Team, Tenants};
use crate::output::{field, line, moment};
use crate::settings::Settings;

/// Runs one of its subcommands.
pub(crate) async fn run(settings: &Settings, what: Tenants) -> anyhow::Result<()> {
    match what {
        Tenants::Create { name, json } => make(settings, name, json).await,
        Tenants::List { limit, json } => list(settings, limit, json).await,
        Tenants::Suspend { id, reason } => turn(settings, id, Change::Suspend(reason)).await,
        Tenants::Resume { id } => turn(settings, id, Change::Resume).await,
        Tenants::Team(Team::Add { address, tenant }) => {
            set(settings, tenant, TeamChange::Add(address)).await
        }
        Tenants::Team(Team::Remove { address, tenant }) => {
            set(settings, tenant, TeamChange::Remove(address)).await
        }
        Tenants::Team(Team::List { tenant, json }) => team(settings, tenant, json).await,
    }
}

async fn make(settings: &Settings, name: String, json: bool) -> anyhow::Result<()> {
    let writer = Writer::start(settings).await?;
    let made = create(&writer.store, &actor(), name, None).await;
    writer.end().await?;
    let Written { tenant, .. } = made.map_err(|problem| anyhow!("{problem}"))?;
    line(if json {
        serde_json::to_string(&tenant)?
    } else {
        format!("{}  {}", tenant.id, field(&tenant.name))
    })?;
    Ok(())
}

async fn turn(settings: &Settings, id: TenantId, to: Change) -> anyhow::Result<()> {
    let writer = Writer::start(settings).await?;
    let changed = change(&writer.store, &actor(), id, vec![to]).await;
    writer.end().await?;
    let Written { tenant, .. } = changed.map_err(|problem| anyhow!("{problem}"))?;
    line(row(&tenant))?;
    Ok(())
}

/// Says what is on the list then, or is not.
async fn set(
    settings: &Settings,
    tenant: Option<TenantId>,
    change: TeamChange,
) -> anyhow::Result<()> {
    let tenant = tenant.unwrap_or(TenantId::DEFAULT);
    let writer = Writer::start(settings).await?;
    let changed = change_team(&writer.store, &actor(), tenant, &change).await;
    writer.end().await?;
    let TeamChanged { tenant, .. } = changed.map_err(|problem| anyhow!("{problem}"))?;
    let address = field(change.address().as_str());
    let on = if tenant.is_of_team(change.address()) { "on" } else { "not on" };
    line(format!(
        "{address} is {on} the list, which has {} of {TEAM_RECIPIENTS_MAX}",
        tenant.team().len()
    ))?;
    Ok(())
}

async fn team(settings: &Settings, tenant: Option<TenantId>, json: bool) -> anyhow::Result<()> {
    let id = tenant.unwrap_or(TenantId::DEFAULT).0;
    let events = Log::new(pool(settings)?).read_stream_of(AGGREGATE, id, id).await?;
    let mut tenant = Tenant::default();
    for event in &events {
        tenant = tenant.evolve(&event.decode()?);
    }
    for TeamRecipient { address, added_at } in tenant.team() {
        let added_at = time::text(*added_at);
        line(if json {
            json!({"address": address, "added_at": added_at}).to_string()
        } else {
            format!("{}  since {added_at}", field(address.as_str()))
        })?;
    }
    if !json && tenant.team().len() == 0 {
        line("the list is empty: `hatch tenants team add ADDRESS` puts somebody on it")?;
    }
    Ok(())
}

async fn list(settings: &Settings, limit: u32, json: bool) -> anyhow::Result<()> {
    let pool = pool(settings)?;
    let log = Log::new(pool.clone());
    // The tables alone would lack the first tenants, which no projector has read.
    let ids = Directory::read(&ReadModel::new(pool), &log).await?.tenants().unwrap_or_default();
    let (mut tenants, one_more) = (Vec::new(), usize::try_from(limit)?.saturating_add(1));
    for id in ids.into_iter().rev().take(one_more) {
        let tenant = find(&log, id).await.map_err(|problem| anyhow!("{problem}"))?;
        tenants.extend(tenant);
    }
    print_first(&tenants, (limit, json), "there is no tenant", row)
}

fn row(tenant: &TenantInfo) -> String {
    let state = match (tenant.suspended_at, &tenant.suspended_for) {
        (None, _) => "active".to_owned(),
        (Some(at), reason) => {
            let reason = reason.as_ref().map(|reason| format!(": {}", field(reason)));
            let since = moment(at);
            format!("suspended since {since}{}", reason.unwrap_or_default())
        }
    };
    format!("{}  {:<24}  {state}", tenant.id, field(&tenant.name))
}
