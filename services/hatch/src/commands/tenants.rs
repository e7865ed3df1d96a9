//! `hatch tenants`: whose data it is.

use anyhow::anyhow;
use hatch_api::tenants::{Change, Written, change, create};
use hatch_domain::ids::TenantId;
use hatch_readmodel::{Page, ReadModel, TenantInfo};

use super::pool;
use super::writer::{Writer, actor};
use crate::cli::Tenants;
use crate::output::{field, line};
use crate::settings::Settings;

/// Runs one of its subcommands.
pub(crate) async fn run(settings: &Settings, what: Tenants) -> anyhow::Result<()> {
    match what {
        Tenants::Create { name, json } => make(settings, name, json).await,
        Tenants::List { limit, json } => list(settings, limit, json).await,
        Tenants::Suspend { id, reason } => turn(settings, id, Change::Suspend(reason)).await,
        Tenants::Resume { id } => turn(settings, id, Change::Resume).await,
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

async fn list(settings: &Settings, limit: u32, json: bool) -> anyhow::Result<()> {
    let read_model = ReadModel::new(pool(settings)?);
    let page = read_model.tenants(&Page::new(Some(limit), None)?).await?;
    for tenant in &page.data {
        line(if json { serde_json::to_string(tenant)? } else { row(tenant) })?;
    }
    if !json && page.next_cursor.is_some() {
        let shown = page.data.len();
        line(format!("there are more than these {shown}: --limit shows up to 200"))?;
    }
    Ok(())
}

fn row(tenant: &TenantInfo) -> String {
    let state = match (tenant.suspended_at, &tenant.suspended_for) {
        (None, _) => "active".to_owned(),
        (Some(at), reason) => {
            let reason = reason.as_ref().map(|reason| format!(": {}", field(reason)));
            let since = at.format("%Y-%m-%d %H:%M:%S");
            format!("suspended since {since}{}", reason.unwrap_or_default())
        }
    };
    format!("{}  {:<24}  {state}", tenant.id, field(&tenant.name))
}
