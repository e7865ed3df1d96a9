//! The role that answers what clients read.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::future::BoxFuture;
use hatch_api::live::{CatchingUp, Live, StreamSlots};
use hatch_api::queries::{AccountFigures, Carriers, DoubtRules, Queries, Reported};
use hatch_api::{Drain, Requests};
use hatch_dispatcher::BalanceMode;
use hatch_domain::carrier::Shift;
use hatch_eventstore::{Connection, Connections};
use hatch_readmodel::{ReadModel, ReadPosition};

use super::definition::{RoleDefinition, RoleInstance};
use super::process::{Follows, Process, Workers};

/// Clients that follow the live feed of one process at once, at most.
const LIVE_STREAMS_MAX: u64 = 256;

/// Reads that wait for a position in one process at once, at most.
pub(super) const WAITING_READS_MAX: u64 = 512;

pub(super) const DEFINITION: RoleDefinition = RoleDefinition {
    name: Requests::Reads.role(),
    about: "Answers what clients read",
    requests: Some(Requests::Reads),
    follows: Follows::Feed,
    make: |_| Ok(Box::new(Query)),
};

struct Query;

impl RoleInstance for Query {
    fn start(&self, _: &Process, _: &mut Workers) -> anyhow::Result<()> {
        Ok(())
    }

    fn routes(&self, process: &Process, drain: &Drain) -> anyhow::Result<Router> {
        let read_model = ReadModel::of(process.pool.clone(), process.projections);
        let queries = Queries {
            read_position: ReadPosition::new(read_model.clone()),
            read_model,
            log: process.log.clone(),
            head: process.head.clone(),
            doubts: Arc::new(doubt_rules(process)),
            waiting: process.limits.limit("waiting_reads", WAITING_READS_MAX),
            carriers: Carriers {
                accounts: process.accounts.clone(),
                routes: process.routes.clone(),
                directory: process.directory.clone(),
                figures: Arc::new(Dispatchers(process.pool.clone())),
                is_balanced: process.settings.balance.mode == BalanceMode::On,
            },
        };
        let streams_max = process.settings.limits.live_streams_max.unwrap_or(LIVE_STREAMS_MAX);
        let live = Live {
            log: process.log.clone(),
            head: process.head.clone(),
            feed: process.feed.clone(),
            slots: StreamSlots::new(&process.limits, streams_max),
            shutdown: drain.closed().clone(),
            turns: CatchingUp::default(),
        };
        Ok(hatch_api::compat::queries(queries.clone())
            .merge(hatch_api::queries::router(queries))
            .merge(hatch_api::live::router(live)))
    }
}

/// How long PostgreSQL may take to say what dispatchers report.
const FIGURES_MAX: Duration = Duration::from_secs(1);

/// What the dispatchers report, as they do.
struct Dispatchers(Connections);

impl AccountFigures for Dispatchers {
    fn reported(&self) -> BoxFuture<'_, Vec<Reported>> {
        Box::pin(async {
            let read = async |client: &mut Connection| {
                anyhow::Ok(hatch_dispatcher::reported_accounts(client).await?)
            };
            // What they last told each other is in the answer all the same.
            let reports = self.0.within(FIGURES_MAX, read).await.unwrap_or_default();
            let reported = reports.into_iter().map(|report| Reported {
                provider: report.provider,
                key: report.account,
                reason: report.reason,
                told: report.told.map(|told| (told.what, told.remedy, told.since)),
                breaker: report.breaker,
                until: report.until,
                under_way: report.under_way,
            });
            reported.collect()
        })
    }

    fn advised(&self) -> BoxFuture<'_, Vec<Shift>> {
        Box::pin(async {
            let read = async |client: &mut Connection| {
                anyhow::Ok(hatch_dispatcher::balance_advice(client).await?)
            };
            let advice = self.0.within(FIGURES_MAX, read).await.unwrap_or_default();
            advice.into_iter().map(Shift::from).collect()
        })
    }

    fn used_today(&self, accounts: Vec<String>) -> BoxFuture<'_, Vec<(String, i64)>> {
        Box::pin(async move {
            let read = async |client: &mut Connection| {
                anyhow::Ok(hatch_dispatcher::used_today(client, &accounts).await?)
            };
            self.0.within(FIGURES_MAX, read).await.unwrap_or_default()
        })
    }
}

/// What becomes of doubts, as the dispatchers have it.
fn doubt_rules(process: &Process) -> DoubtRules {
    let set = process.settings.dispatcher.in_doubt.iter();
    DoubtRules {
        accounts: process.accounts.clone(),
        set: set.map(|(name, policy)| (name.clone(), (*policy).into())).collect(),
    }
}
