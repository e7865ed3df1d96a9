//! `hatch dead-letters`: what failed for good, and sending it again.

use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt;
use hatch_api::commands::{Change, retry};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::status::Status;
use hatch_eventstore::{Position, Store};
use hatch_readmodel::{Message, MessageFilter, Page, ReadModel};
use tokio::time::{Instant, sleep_until};

use super::in_doubt::used_account;
use super::writer::{Writer, actor};
use super::{pool, print_page};
use crate::cli::{DeadLetters, FailedFilter, Redrive};
use crate::output::{counted, field, line, moment};
use crate::progress;
use crate::settings::Settings;

/// Messages that are read at a time.
const READ_AT_ONCE: u32 = 1_000;
/// Retries under way at once: they share transactions.
const CONCURRENCY_MAX: usize = 64;

/// Does what is asked for.
pub(crate) async fn run(settings: &Settings, what: DeadLetters) -> anyhow::Result<ExitCode> {
    match what {
        DeadLetters::List { filter, limit, json } => {
            list(settings, filter, limit, json).await?;
            Ok(ExitCode::SUCCESS)
        }
        DeadLetters::Redrive(flags) => redrive(settings, flags).await,
    }
}

/// Prints the newest dead letters.
async fn list(
    settings: &Settings,
    filter: FailedFilter,
    limit: u32,
    json: bool,
) -> anyhow::Result<()> {
    let read_model = ReadModel::new(pool(settings)?);
    let (tenant, filter) = failed(settings, filter).await;
    let of = async |cursor| {
        let page = Page::new(Some(limit), cursor)?;
        anyhow::Ok(read_model.failed_messages(tenant, &filter, &page).await?)
    };
    let mut page = of(None).await?;
    // Of very many, the newest may all be others.
    while page.data.is_empty() && page.next_cursor.is_some() {
        page = of(page.next_cursor).await?;
    }
    print_page(&page, json, "no message has failed for good", row)
}

/// Sends dead letters again; fails when one of them cannot be.
async fn redrive(settings: &Settings, flags: Redrive) -> anyhow::Result<ExitCode> {
    let Redrive { messages, filter, rate, dry_run, .. } = flags;
    let (tenant, filter) = failed(settings, filter).await;
    let ids: Vec<MessageId> = match messages.is_empty() {
        true => all(&ReadModel::new(pool(settings)?), tenant, &filter).await?,
        false => messages.into_iter().map(MessageId).collect(),
    };
    if dry_run {
        for id in &ids {
            line(format!("{id}  would be sent again"))?;
        }
        let messages = counted(i64::try_from(ids.len())?, "message");
        line(format!("{messages}; nothing was sent: leave out --dry-run for that"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let writer = Writer::start(settings).await?;
    let store = &writer.store;
    let bar = progress::bar("sending again", i64::try_from(ids.len())?);
    let (count, begun) = (ids.len(), Instant::now());
    let apart = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate);
    let mut results = futures::stream::iter((0_u32..).zip(ids))
        .map(|(n, id)| async move {
            sleep_until(begun + apart * n).await;
            (id, send_again(store, tenant, id).await)
        })
        .buffered(CONCURRENCY_MAX);
    let mut refused = 0;
    while let Some((id, result)) = results.next().await {
        bar.inc(1);
        match result {
            Ok(()) => bar.suspend(|| line(format!("{id}  queued")))?,
            Err(why) => {
                refused += 1;
                bar.suspend(|| line(format!("{id}  NOT sent again: {why}")))?;
            }
        }
    }
    bar.finish_and_clear();
    drop(results);
    writer.end().await?;
    line(format!(
        "{} of {} will be sent again",
        count - refused,
        counted(i64::try_from(count)?, "message")
    ))?;
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Begins a new round, or says why not.
async fn send_again(store: &Store, tenant_id: TenantId, id: MessageId) -> Result<(), String> {
    let change = Change { tenant_id, actor: actor(), key: None };
    match retry(store, change, id).await {
        Ok(_) => Ok(()),
        Err(error) => Err(std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string)),
    }
}

/// Every dead letter that the filter lets through, the newest first.
async fn all(
    read_model: &ReadModel,
    tenant: TenantId,
    filter: &MessageFilter,
) -> anyhow::Result<Vec<MessageId>> {
    let (mut ids, mut before) = (Vec::new(), Position(i64::MAX));
    loop {
        let some =
            read_model.message_ids(tenant, filter, (Position::START, before), READ_AT_ONCE).await?;
        let Some((last, _)) = some.last() else { return Ok(ids) };
        before = *last;
        ids.extend(some.into_iter().map(|(_, id)| id));
    }
}

/// Whose dead letters are asked for, and which.
async fn failed(settings: &Settings, asked: FailedFilter) -> (TenantId, MessageFilter) {
    let FailedFilter { channel, class, code, account, from, to, participant, tenant } = asked;
    let tenant = tenant.unwrap_or(TenantId::DEFAULT);
    let account = used_account(settings, tenant, account).await;
    let filter = MessageFilter {
        status: Some(Status::Failed),
        channel,
        class,
        code,
        account,
        from,
        to,
        participant,
        ..MessageFilter::default()
    };
    (tenant, filter)
}

fn row(message: &Message) -> String {
    let (code, detail) = match &message.error {
        Some(error) => (error.code.as_str(), error.detail.as_str()),
        None => ("-", "-"),
    };
    format!(
        "{}  {}  {:<5}  {:<24}  {:<11}  {}",
        message.id,
        moment(message.updated_at),
        message.channel,
        field(&message.to.join(",")),
        counted(i64::from(message.attempts), "attempt"),
        field(&format!("{code}: {detail}")),
    )
}
