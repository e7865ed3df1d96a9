//! The role that takes what clients ask for.

use std::sync::Arc;

use axum::Router;
use futures::future::BoxFuture;
use hatch_api::admission::Admission;
use hatch_api::commands::{Commands, Conversations, PoolSenders};
use hatch_api::planning::Planning;
use hatch_api::{Drain, People, Requests};
use hatch_directory::Attempts;
use hatch_dispatcher::BalanceMode;
use hatch_providers::Accounts;
use hatch_readmodel::{ReadModel, ReadPosition};

use super::configured::{default_email_sender, default_sender};
use super::definition::{RoleDefinition, RoleInstance};
use super::joining::vault;
use super::process::{Follows, Process, Workers};
use super::query::WAITING_READS_MAX;
use crate::telemetry::exposition::{Metric, Samples, Values};
use crate::telemetry::metrics::{amount, gauge, labelled};
use crate::{admission, tokens};

pub(super) const DEFINITION: RoleDefinition = RoleDefinition {
    name: Requests::Writes.role(),
    about: "Takes what clients ask for",
    requests: Some(Requests::Writes),
    follows: Follows::Nothing,
    make: |process| {
        Ok(Box::new(Command { admission: admission::of(&process.settings.admission)? }))
    },
};

struct Command {
    admission: Admission,
}

impl RoleInstance for Command {
    fn start(&self, process: &Process, workers: &mut Workers) -> anyhow::Result<()> {
        if process.settings.admission.enabled {
            workers.spawn(admission::run(
                self.admission.clone(),
                process.settings.admission.waiting_max,
                process.projections,
                process.pool.clone(),
                process.head.clone(),
                process.workers.clone(),
            ));
            workers.spawn(admission::watch_lines(
                self.admission.clone(),
                process.settings.admission.waiting_per_tenant_max,
                process.pool.clone(),
                process.workers.clone(),
            ));
        }
        let read_model = ReadModel::of(process.pool.clone(), process.projections);
        let (store, workers_end) = (process.store.clone(), process.workers.clone());
        workers.spawn(hatch_api::tasks::run(store, read_model, workers_end));
        Ok(())
    }

    fn routes(&self, process: &Process, _: &Drain) -> anyhow::Result<Router> {
        let settings = &process.settings;
        let read_model = ReadModel::of(process.pool.clone(), process.projections);
        let commands = Commands {
            store: process.store.clone(),
            admission: self.admission.clone(),
            accounts: process.accounts.clone(),
            planning: planning(process),
            vault: vault(settings, process.keyring.clone(), process.accounts.clone())?,
            conversations: Conversations {
                read_position: ReadPosition::new(read_model.clone()),
                read_model,
                waiting: process.limits.limit("waiting_reads", WAITING_READS_MAX),
            },
            senders: PoolSenders::new(process.pools.clone(), process.directory.clone()),
            default_sms_sender: default_sender(settings)?,
            default_email_sender: default_email_sender(settings)?,
            default_subject: default_subject(&process.accounts),
            mail_host: hatch_api::commands::mail_host(&settings.public_url()),
        };
        Ok(hatch_api::compat::commands(commands.clone())
            .merge(hatch_api::commands::router(commands))
            .merge(hatch_api::people_router(people(process)?)))
    }

    fn metrics<'a>(&'a self, process: &'a Process) -> BoxFuture<'a, Vec<Metric>> {
        let admission = process.runs(DEFINITION.name).then_some(&self.admission);
        Box::pin(std::future::ready(measured(admission).into()))
    }
}

/// By which account a message would go.
fn planning(process: &Process) -> Planning {
    Planning {
        accounts: process.accounts.clone(),
        routes: process.routes.clone(),
        directory: process.directory.clone(),
        log: process.log.clone(),
        is_balanced: process.settings.balance.mode == BalanceMode::On,
    }
}

/// What people sign in by.
fn people(process: &Process) -> anyhow::Result<People> {
    let clock = Arc::new(process.head.clock().clone());
    let oidc = tokens::oidc(&process.settings, clock)?;
    Ok(People::new(
        (process.store.clone(), process.directory.clone()),
        (process.sessions.clone(), Attempts::new(process.pool.clone())),
        (process.keyring.clone(), oidc),
        process.settings.public_url(),
    ))
}

/// What a mail without a subject has: that of the first account of the files that says one. No tenant's account speaks for
/// the others.
fn default_subject(accounts: &Accounts) -> String {
    let all = accounts.current();
    let mut of_files = all.iter().filter(|account| !account.of_log);
    let first = of_files.find_map(|account| account.default_subject.clone());
    first.unwrap_or_else(|| hatch_providers::default_subject().to_owned())
}

fn measured(admission: Option<&Admission>) -> [Metric; 5] {
    let stats = admission.and_then(Admission::stats);
    let admitted = stats.map(|stats| (vec![], stats.admitted.get())).into_iter().collect();
    let mut samples = [const { Samples::new() }; 3];
    for window in admission.into_iter().flat_map(Admission::windows) {
        let values = [
            amount(window.waiting),
            window.waiting_max.map_or(f64::INFINITY, amount),
            window.wait.as_secs_f64(),
        ];
        for (samples, value) in samples.iter_mut().zip(values) {
            samples.push((vec![("window", window.name.clone())], value));
        }
    }
    let [waiting, waiting_max, wait] = samples;
    [
        Metric {
            name: "hatch_admission_admitted",
            help: "Messages that admission let in",
            values: Values::Counter(admitted),
        },
        Metric {
            name: "hatch_admission_refused",
            help: "Messages that it refused: dispatch, projections, log or backlog says for what",
            values: stats.map_or_else(
                || Values::Counter(Samples::new()),
                |stats| labelled("reason", &stats.refused),
            ),
        },
        gauge(
            "hatch_admission_waiting_messages",
            "Messages of this process that wait for their turn, by what they wait for",
            waiting,
        ),
        gauge("hatch_admission_limit_messages", "How many of them may wait", waiting_max),
        gauge("hatch_admission_wait_seconds", "How long a new one would wait", wait),
    ]
}
