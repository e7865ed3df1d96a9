//! `hatch webhooks`: the webhook log, one of the quarantine again, and mails read again.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use chrono::DateTime;
use hatch_api::admission::Intake;
use hatch_api::webhooks::{Readers, Rederived, Webhooks};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_eventstore::{Appender, AppenderConfig, Log, ServerClock, Store};
use hatch_providers::Accounts;
use hatch_readmodel::{
    LoggedWebhook, Page, RawMailFilter, ReadModel, WebhookFilter, WebhookOutcome,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{pool, print_page};
use crate::admission;
use crate::cli::Rederive;
use crate::output::{counted, field, line, moment};
use crate::progress;
use crate::roles::{accounts, generic_webhook, own_mailboxes, postgres, word_rules};
use crate::settings::Settings;

const TENANT: TenantId = TenantId::DEFAULT;

/// Prints the newest webhooks of the log.
pub(crate) async fn list(
    settings: &Settings,
    outcome: Option<WebhookOutcome>,
    limit: u32,
    json: bool,
) -> anyhow::Result<()> {
    let read_model = ReadModel::new(pool(settings)?);
    let filter = WebhookFilter { outcome, message: None };
    let page = read_model.webhooks(TENANT, &filter, &Page::new(Some(limit), None)?).await?;
    print_page(&page, json, "there is no such webhook in the log", row)
}

/// Reads webhooks of the quarantine again; fails when one of them is still not understood.
pub(crate) async fn replay(settings: &Settings, ids: &[Uuid]) -> anyhow::Result<ExitCode> {
    let reader = Reader::start(settings).await?;
    let mut refused = 0;
    for id in ids {
        match reader.webhooks.replay_by_id(TENANT, *id).await {
            Ok((new, outcome)) => line(format!("{id}  {} (now {new})", outcome.as_str()))?,
            Err(problem) => {
                refused += 1;
                line(format!("{id}  NOT replayed: {problem}"))?;
            }
        }
    }
    reader.end().await?;
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads mails again, from the requests that brought them; fails when the database does.
pub(crate) async fn rederive(settings: &Settings, flags: &Rederive) -> anyhow::Result<ExitCode> {
    let reader = Reader::start(settings).await?;
    let read_model = &reader.webhooks.read_model;
    let filter = RawMailFilter {
        since: flags.since.unwrap_or(DateTime::UNIX_EPOCH),
        until: flags.until.unwrap_or_else(|| reader.webhooks.store.environment().now()),
        message: flags.message.map(MessageId),
    };
    let tenants = (reader.webhooks.tenants)().unwrap_or_default();
    let mut count = 0;
    for tenant in &tenants {
        count += read_model.count_raw_mails(*tenant, &filter).await?;
    }
    let bar = progress::bar("reading again", count);
    let mut summary = Summary::default();
    for tenant in tenants {
        let mut last = None;
        loop {
            let page = read_model.raw_mails(tenant, &filter, last.as_ref()).await?;
            for kept in &page {
                let read = reader.webhooks.rederive(tenant, kept, flags.dry_run).await;
                let read = read
                    .map_err(|problem| anyhow::anyhow!("message {}: {problem}", kept.message_id))?;
                bar.inc(1);
                bar.suspend(|| summary.add(kept.message_id, read))?;
            }
            last = page.into_iter().next_back();
            if last.is_none() {
                break;
            }
        }
    }
    bar.finish_and_clear();
    reader.end().await?;
    summary.print(flags.dry_run)?;
    Ok(ExitCode::SUCCESS)
}

/// What was read.
#[derive(Debug, Default)]
struct Summary {
    read: i64,
    changed: i64,
    left: i64,
    fields: BTreeMap<&'static str, i64>,
}

impl Summary {
    /// Counts it, and prints it unless it reads as it did.
    fn add(&mut self, id: MessageId, read: Rederived) -> anyhow::Result<()> {
        self.read += 1;
        match read {
            Rederived::Same => {}
            Rederived::Changed(fields) => {
                self.changed += 1;
                let names = fields.iter().copied().collect::<Vec<_>>().join(", ");
                for name in fields {
                    *self.fields.entry(name).or_default() += 1;
                }
                line(format!("{id}  reads otherwise: {names}"))?;
            }
            Rederived::Left(why) => {
                self.left += 1;
                line(format!("{id}  left alone: {}", field(&why)))?;
            }
        }
        Ok(())
    }

    fn print(&self, tried: bool) -> anyhow::Result<()> {
        let Self { read, changed, left, fields } = self;
        let fields: Vec<String> = fields.iter().map(|(name, n)| format!("{name} {n}")).collect();
        let fields =
            if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) };
        let read = counted(*read, "mail");
        line(format!("{read} read again: {changed} otherwise{fields}, {left} left alone"))?;
        if tried && *changed > 0 {
            line("nothing was recorded: leave out --dry-run for that")?;
        }
        Ok(())
    }
}

/// Reads as the webhook role does, and takes no requests.
struct Reader {
    webhooks: Webhooks,
    ending: CancellationToken,
    appending: JoinHandle<()>,
}

impl Reader {
    async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let ending = CancellationToken::new();
        let (appender, appending) =
            Appender::start(AppenderConfig::default(), postgres(settings)?, ending.clone());
        let (pool, clock) = (pool(settings)?, ServerClock::default());
        clock.ask(&pool).await?;
        let read_model = ReadModel::new(pool.clone());
        let others = read_model.configuration().await?.tenants.into_iter().map(|one| one.tenant_id);
        let others = others.filter(|tenant| *tenant != TENANT);
        let tenants: Vec<TenantId> = std::iter::once(TENANT).chain(others).collect();
        let webhooks = Webhooks {
            store: Store::new(appender, Log::new(pool), Arc::new(clock)),
            read_model,
            accounts: Accounts::new(accounts(settings)?),
            generic: generic_webhook(settings)?,
            tenants: Arc::new(move || Some(tenants.clone())),
            stats: Arc::default(),
            recent: Arc::default(),
            intake: Intake::new(admission::rules(&settings.admission)?),
            readers: Readers::new(Arc::default()),
            keeping: Arc::default(),
            words: Arc::new(word_rules(settings)?),
            own: Arc::new(own_mailboxes(settings)?),
        };
        Ok(Self { webhooks, ending, appending })
    }

    async fn end(self) -> anyhow::Result<()> {
        drop(self.webhooks);
        self.ending.cancel();
        self.appending.await?;
        Ok(())
    }
}

fn row(webhook: &LoggedWebhook) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    format!(
        "{}  {}  {:<10}  {:<18}  {:<7}  {}",
        webhook.id,
        moment(webhook.received_at),
        field(&webhook.provider),
        webhook.outcome,
        text(&webhook.kind),
        field(&text(&webhook.detail)),
    )
}
