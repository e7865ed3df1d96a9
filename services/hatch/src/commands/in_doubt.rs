//! `hatch in-doubt`: messages of which nobody knows whether they were sent, and what they were.

use std::process::ExitCode;

use hatch_api::commands::{Change, resolve};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_readmodel::{DoubtFilter, MessageInDoubt, Page, ReadModel, UsedAccount};

use super::writer::{Writer, actor};
use super::{accounts, pool, print_page};
use crate::cli::{InDoubt, Resolve};
use crate::output::{counted, field, line, moment};
use crate::settings::Settings;

/// Does what is asked for.
pub(crate) async fn run(settings: &Settings, what: InDoubt) -> anyhow::Result<ExitCode> {
    match what {
        InDoubt::List { channel, account, tenant, limit, json } => {
            let read_model = ReadModel::new(pool(settings)?);
            let tenant = tenant.unwrap_or(TenantId::DEFAULT);
            let account = used_account(settings, tenant, account).await;
            let filter = DoubtFilter { channel, account };
            let page = read_model.in_doubt(tenant, &filter, &Page::new(Some(limit), None)?).await?;
            print_page(&page, json, "no message is in doubt", row)?;
            Ok(ExitCode::SUCCESS)
        }
        InDoubt::Resolve(flags) => say(settings, flags).await,
    }
}

/// Says what the messages were; fails when one of them is not in doubt.
async fn say(settings: &Settings, flags: Resolve) -> anyhow::Result<ExitCode> {
    let Resolve { messages, resolution, reason, tenant } = flags;
    let tenant_id = tenant.unwrap_or(TenantId::DEFAULT);
    let writer = Writer::start(settings).await?;
    let (mut refused, count) = (0, messages.len());
    for id in messages {
        let change = Change { tenant_id, actor: actor(), key: None };
        let said = (resolution, reason.clone());
        match resolve(&writer.store, change, MessageId(id), said).await {
            Ok(_) => line(format!("{id}  {}", resolution.as_str()))?,
            Err(error) => {
                refused += 1;
                let why = std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), ToString::to_string);
                line(format!("{id}  NOT resolved: {why}"))?;
            }
        }
    }
    writer.end().await?;
    let messages = counted(i64::try_from(count)?, "message");
    line(format!("{} of {messages} resolved", count - refused))?;
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The account of the tenant that is called so, in the settings or in the log, or else by its provider.
pub(super) async fn used_account(
    settings: &Settings,
    tenant: TenantId,
    named: Option<String>,
) -> Option<UsedAccount> {
    let named = named?;
    let all = accounts::all(settings).await;
    let mut all = all.into_iter().filter_map(|one| one.account.ok());
    let found = all.find(|one| one.name.as_str() == named && one.tenants.has(tenant));
    Some(match found {
        Some(account) => {
            UsedAccount { provider: Some(account.provider.to_owned()), account: account.account }
        }
        None => UsedAccount { provider: None, account: named },
    })
}

fn row(one: &MessageInDoubt) -> String {
    let message = &one.message;
    let detail = message.error.as_ref().map_or("-", |error| error.detail.as_str());
    format!(
        "{}  {}  {:<5}  {:<24}  attempt {:<3}  {:<8}  {}",
        message.id,
        moment(one.since),
        message.channel,
        field(&message.to.join(",")),
        message.attempts,
        counted(i64::from(one.looks), "look"),
        field(detail),
    )
}
