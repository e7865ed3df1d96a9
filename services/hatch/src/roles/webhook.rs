//! The role that takes what providers post.

use std::sync::Arc;

use axum::Router;
use futures::future::BoxFuture;
use hatch_api::admission::Intake;
use hatch_api::webhooks::{Keeping, Readers, WebhookStats, Webhooks};
use hatch_api::{Drain, Requests};
use hatch_readmodel::ReadModel;
use hatch_telemetry::limit::Limit;
use hatch_telemetry::measure::Counter;

use super::accounts::generic_webhook;
use super::configured::{keep_rules, own_mailboxes, word_rules};
use super::definition::{RoleDefinition, RoleInstance};
use super::process::{Follows, Process, Workers};
use crate::admission;
use crate::telemetry::exposition::{Metric, Values};
use crate::telemetry::kept;
use crate::telemetry::metrics::{by_provider, number};

pub(super) const DEFINITION: RoleDefinition = RoleDefinition {
    name: Requests::Webhooks.role(),
    about: "Takes what providers post",
    requests: Some(Requests::Webhooks),
    follows: Follows::Nothing,
    make: |process| Ok(Box::new(Webhook::new(process)?)),
};

struct Webhook {
    stats: Arc<WebhookStats>,
    intake: Intake,
    keeping: Arc<Keeping>,
}

impl Webhook {
    fn new(process: &Process) -> anyhow::Result<Self> {
        Ok(Self {
            stats: Arc::default(),
            intake: Intake::new(admission::rules(&process.settings.admission)?),
            keeping: keeping(process)?,
        })
    }

    fn webhooks(&self, process: &Process) -> anyhow::Result<Webhooks> {
        let directory = process.directory.clone();
        Ok(Webhooks {
            store: process.store.clone(),
            read_model: ReadModel::of(process.pool.clone(), process.projections),
            accounts: process.accounts.clone(),
            generic: generic_webhook(&process.settings)?,
            tenants: Arc::new(move || directory.tenants()),
            stats: Arc::clone(&self.stats),
            recent: Arc::default(),
            intake: self.intake.clone(),
            readers: Readers::new(Arc::clone(&self.stats.reading)),
            keeping: Arc::clone(&self.keeping),
            words: Arc::new(word_rules(&process.settings)?),
            own: Arc::new(own_mailboxes(&process.settings)?),
        })
    }
}

/// What is kept of webhooks. The limit on receipts that wait is shown where webhooks are taken.
fn keeping(process: &Process) -> anyhow::Result<Arc<Keeping>> {
    let rules = keep_rules(&process.settings)?;
    let (name, max) = ("waiting_receipts", rules.waiting_receipts_max);
    let waiting = match process.runs(DEFINITION.name) {
        true => process.limits.limit(name, max),
        false => Arc::new(Limit::new(name, max)),
    };
    Ok(Arc::new(Keeping::new(rules, waiting)))
}

impl RoleInstance for Webhook {
    fn start(&self, process: &Process, workers: &mut Workers) -> anyhow::Result<()> {
        let shutdown = || process.workers.clone();
        let webhooks = self.webhooks(process)?;
        workers.spawn(hatch_api::webhooks::match_receipts(webhooks, shutdown()));
        let webhooks = self.webhooks(process)?;
        workers.spawn(hatch_api::webhooks::keep_webhooks(webhooks, shutdown()));
        if process.settings.admission.enabled {
            let (intake, pool) = (self.intake.clone(), process.pool.clone());
            workers.spawn(admission::report(intake, pool, shutdown()));
        }
        Ok(())
    }

    fn routes(&self, process: &Process, _: &Drain) -> anyhow::Result<Router> {
        Ok(hatch_api::webhooks::router(self.webhooks(process)?))
    }

    fn metrics<'a>(&'a self, process: &'a Process) -> BoxFuture<'a, Vec<Metric>> {
        let mut metrics: Vec<_> = measured(&self.stats).into();
        metrics.extend(kept::refused(&self.stats));
        metrics.extend(kept::kept(process.runs(DEFINITION.name).then_some(&*self.keeping)));
        Box::pin(std::future::ready(metrics))
    }
}

fn measured(stats: &WebhookStats) -> [Metric; 6] {
    let reading = &stats.reading;
    let single = |counter: &Counter| Values::Counter(vec![(vec![], counter.get())]);
    let cut = stats.cut.all().into_iter();
    let cut = cut.map(|(of, counter)| (vec![("of", of)], counter.get()));
    let unanswered = stats.unanswered.all().into_iter();
    let unanswered =
        unanswered.map(|(word, counter)| (vec![("word", word.to_owned())], counter.get()));
    [
        Metric {
            name: "hatch_webhook_observations",
            help: "What webhooks said: applied, duplicate, ignored, rejected_signature or \
                   quarantined",
            values: by_provider(&stats.observations),
        },
        Metric {
            name: "hatch_webhook_cut",
            help: "Mails of which something beyond a limit was left out, by what it is",
            values: Values::Counter(cut.collect()),
        },
        Metric {
            name: "hatch_webhook_unanswered",
            help: "Words such as HELP that got no answer, because they had theirs lately",
            values: Values::Counter(unanswered.collect()),
        },
        Metric {
            name: "hatch_webhook_reading",
            help: "Large webhooks that are being read or wait for it",
            values: Values::gauge(number(reading.under_way.get())),
        },
        Metric {
            name: "hatch_webhook_sent_away",
            help: "Large webhooks that were answered 503, because too many waited to be read",
            values: single(&reading.sent_away),
        },
        Metric {
            name: "hatch_webhook_reader_panics",
            help: "Webhooks that a reader failed over; they are in the quarantine",
            values: single(&reading.panics),
        },
    ]
}
