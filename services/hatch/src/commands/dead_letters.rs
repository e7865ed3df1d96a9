//! `hatch dead-letters`: what failed for good, and sending it again.

use std::process::ExitCode;

use futures::StreamExt;
use hatch_api::commands::{Change, retry};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::status::Status;
use hatch_eventstore::Store;
use hatch_readmodel::{Message, MessageFilter, Page, ReadModel};

use super::writer::{Writer, actor};
use super::{pool, print_page};
use crate::cli::Redrive;
use crate::output::{counted, field, line, moment};
use crate::progress;
use crate::settings::Settings;

const TENANT: TenantId = TenantId::DEFAULT;

/// Messages of a page.
const PAGE_MESSAGES: u32 = 200;
/// Retries under way at once: they share transactions.
const CONCURRENCY_MAX: usize = 64;

/// Prints the newest dead letters.
pub(crate) async fn list(settings: &Settings, limit: u32, json: bool) -> anyhow::Result<()> {
    let read_model = ReadModel::new(pool(settings)?);
    let page = read_model.messages(TENANT, &failed(), &Page::new(Some(limit), None)?).await?;
    print_page(&page, json, "no message has failed for good", row)
}

/// Sends dead letters again; fails when one of them cannot be.
pub(crate) async fn redrive(settings: &Settings, flags: Redrive) -> anyhow::Result<ExitCode> {
    let ids = if flags.messages.is_empty() {
        all(&ReadModel::new(pool(settings)?), flags.code.as_deref()).await?
    } else {
        flags.messages.iter().copied().map(MessageId).collect()
    };
    if flags.dry_run {
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
    let count = ids.len();
    let mut results = futures::stream::iter(ids)
        .map(|id| async move { (id, send_again(store, id).await) })
        .buffered(CONCURRENCY_MAX);
    let mut refused = 0;
    while let Some((id, result)) = results.next().await {
        bar.inc(1);
        match result {
            Ok(()) => line(format!("{id}  queued"))?,
            Err(why) => {
                refused += 1;
                line(format!("{id}  NOT sent again: {why}"))?;
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
async fn send_again(store: &Store, id: MessageId) -> Result<(), String> {
    let change = Change { tenant_id: TENANT, actor: actor(), key: None };
    match retry(store, change, id).await {
        Ok(_) => Ok(()),
        Err(error) => Err(std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string)),
    }
}

/// Every dead letter, or those with the code, the newest first.
async fn all(read_model: &ReadModel, code: Option<&str>) -> anyhow::Result<Vec<MessageId>> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = Page::new(Some(PAGE_MESSAGES), cursor)?;
        let page = read_model.messages(TENANT, &failed(), &page).await?;
        let wanted = |message: &&Message| {
            let error = message.error.as_ref();
            code.is_none_or(|code| error.is_some_and(|error| error.code == code))
        };
        ids.extend(page.data.iter().filter(wanted).map(|message| message.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(ids);
        }
    }
}

fn failed() -> MessageFilter {
    MessageFilter { status: Some(Status::Failed), ..MessageFilter::default() }
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
