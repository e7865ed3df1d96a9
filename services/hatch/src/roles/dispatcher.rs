//! The role that sends messages.

use std::sync::Arc;

use futures::future::BoxFuture;
use hatch_api::health::Dependency;
use hatch_dispatcher::{
    BalanceMode, BreakerState, Condition, ConsentPrecondition, Dependencies, Health, Standing,
    Stats,
};
use hatch_domain::Channel;
use hatch_eventstore::Connection;
use hatch_routing::balance::{Shifts, WHOLE, part};

use super::configured::{dispatcher_config, tenant_caps};
use super::definition::{RoleDefinition, RoleInstance};
use super::process::{Follows, Process, Workers};
use crate::readiness;
use crate::telemetry::exposition::{Metric, Samples, Values};
use crate::telemetry::metrics::{LAG_MAX, by_provider, flag, gauge, labelled, number};

pub(super) const DEFINITION: RoleDefinition = RoleDefinition {
    name: "dispatcher",
    about: "Sends messages",
    requests: None,
    follows: Follows::Head,
    make: |_| Ok(Box::new(Dispatcher::default())),
};

#[derive(Default)]
struct Dispatcher {
    stats: Arc<Stats>,
}

impl RoleInstance for Dispatcher {
    fn start(&self, process: &Process, workers: &mut Workers) -> anyhow::Result<()> {
        let config = dispatcher_config(&process.settings)?;
        if process.accounts.current().is_empty() {
            tracing::warn!("no provider account is set: messages are accepted, and none is sent");
        }
        let dependencies = Dependencies {
            store: process.store.clone(),
            pool: process.pool.clone(),
            head: process.head.clone(),
            bus: process.bus.clone(),
            accounts: process.accounts.clone(),
            routes: process.routes.clone(),
            directory: process.directory.clone(),
            in_doubt: process.settings.dispatcher.in_doubt.clone(),
            tenant_caps: tenant_caps(&process.settings)?,
            precondition: Some(Arc::new(ConsentPrecondition::new(process.store.clone()))),
            stats: Arc::clone(&self.stats),
        };
        workers.spawn(hatch_dispatcher::run(dependencies, config, process.workers.clone()));
        Ok(())
    }

    fn ready(&self, process: &Process) -> anyhow::Result<Vec<Dependency>> {
        Ok(vec![
            readiness::resources(&self.stats),
            readiness::timers(process.pool.clone(), &self.stats),
        ])
    }

    fn ready_each(&self, process: &Process) -> Vec<(String, Result<(), String>)> {
        readiness::accounts(&process.accounts, &self.stats)
    }

    fn metrics<'a>(&'a self, process: &'a Process) -> BoxFuture<'a, Vec<Metric>> {
        Box::pin(async move {
            let mut metrics: Vec<_> = calls(&self.stats).into();
            metrics.extend(accounts(&self.stats));
            metrics.push(shares(process));
            metrics.extend(rates(&self.stats, process).await);
            metrics.extend(timers(&self.stats, process).await);
            metrics
        })
    }
}

/// Whether each account is up, and how its breaker stands.
fn accounts(stats: &Stats) -> [Metric; 3] {
    let labels = |health: &Health| {
        vec![("provider", health.provider().to_owned()), ("account", health.account().to_owned())]
    };
    let known = stats.accounts.all().into_iter().map(|health| (health.standing(), health));
    let known: Vec<_> = known.collect();
    let up = known.iter().map(|(Standing { condition, .. }, health)| {
        let mut labels = labels(health);
        labels.push(("reason", condition.reason().to_owned()));
        (labels, flag(*condition == Condition::Up))
    });
    let breakers = known.iter().flat_map(|(Standing { breaker, .. }, health)| {
        BreakerState::ALL.map(|state| {
            let mut labels = labels(health);
            labels.push(("state", state.as_str().to_owned()));
            (labels, flag(*breaker == state))
        })
    });
    let failovers = stats.failovers.all().into_iter().map(|((from, to, class), count)| {
        let labels =
            vec![("from", from.to_string()), ("to", to.to_string()), ("class", class.to_owned())];
        (labels, count.get())
    });
    [
        gauge(
            "hatch_account_up",
            "Whether an account sends, by what is wrong: credentials, suspended, credit, permission, not_found, silent, \
             failing, throttled, and - where nothing is",
            up.collect(),
        ),
        gauge(
            "hatch_account_breaker_state",
            "Whether an account's breaker is in a state: closed, open or half_open",
            breakers.collect(),
        ),
        Metric {
            name: "hatch_dispatch_failovers",
            help: "Messages that went by another account at once, by the class of the error",
            values: Values::Counter(failovers.collect()),
        },
    ]
}

/// What part of messages each account carries that it shares with others.
fn shares(process: &Process) -> Metric {
    let mut shares = Samples::new();
    if process.runs(DEFINITION.name) {
        let is_balanced = process.settings.balance.mode == BalanceMode::On;
        let told = if is_balanced { process.directory.carriers() } else { Vec::new() };
        let shifts = Shifts::of(told.iter().map(|carrier| &**carrier));
        let (table, accounts) = (process.routes.current(), process.accounts.current());
        for account in &*accounts {
            let (provider, key) = account.key();
            for channel in &account.channels {
                let Some(part) = part(&table, &account.name, *channel, &shifts) else { continue };
                let labels = vec![
                    ("provider", provider.to_owned()),
                    ("account", key.to_owned()),
                    ("name", account.name.to_string()),
                    ("channel", channel.as_str().to_owned()),
                ];
                shares.push((labels, f64::from(part) / f64::from(WHOLE)));
            }
        }
    }
    gauge(
        "hatch_account_share",
        "What part of the messages of a channel an account carries, of those that it shares with others by weight: by \
         its route and the balance, in the country where that is least",
        shares,
    )
}

/// How much room accounts had, and what stands in their lines.
async fn rates(stats: &Stats, process: &Process) -> [Metric; 3] {
    let deferred = stats.rates.deferred.all().into_iter().map(|((account, reason), counter)| {
        (vec![("account", account), ("reason", reason.to_owned())], counter.get())
    });
    let mut standing = Samples::new();
    if process.runs(DEFINITION.name) {
        let count =
            async |client: &mut Connection| anyhow::Ok(hatch_dispatcher::in_lines(client).await?);
        let counts = process.pool.within(LAG_MAX, count).await.unwrap_or_default();
        standing.extend(counts.into_iter().map(|(of, count)| {
            let (provider, account) = of.split_once('/').unwrap_or((of.as_str(), ""));
            let labels = vec![("provider", provider.to_owned()), ("account", account.to_owned())];
            (labels, number(count))
        }));
    }
    [
        Metric {
            name: "hatch_rate_deferred",
            help: "Messages that were put into a line, by account and reason: rate, sender_rate, daily_cap, \
                   concurrency",
            values: Values::Counter(deferred.collect()),
        },
        Metric {
            name: "hatch_rate_leases",
            help: "Leases of the fleet's buckets that brought something, by bucket: second, sender, day, tenant, calls",
            values: labelled("bucket", &stats.rates.leases),
        },
        gauge(
            "hatch_messages_in_line",
            "Messages that stand in the line of an account, 100,000 of all at most",
            standing,
        ),
    ]
}

async fn timers(stats: &Stats, process: &Process) -> [Metric; 3] {
    let [mut halted, mut undecodable, mut waiting] = [const { Samples::new() }; 3];
    if process.runs(DEFINITION.name) {
        halted.push((vec![], flag(stats.timers.why().is_some())));
        let count = async |client: &mut Connection| {
            anyhow::Ok(hatch_due::undecodable::<hatch_dispatcher::Messages>(client).await?)
        };
        if let Ok(count) = process.pool.within(LAG_MAX, count).await {
            undecodable.push((vec![], number(count)));
        }
        let count = async |client: &mut Connection| {
            anyhow::Ok(hatch_dispatcher::waiting_for_account(client).await?)
        };
        if let Ok(counts) = process.pool.within(LAG_MAX, count).await {
            waiting.extend(Channel::ALL.into_iter().filter(|c| c.has_provider()).map(|channel| {
                let found = counts.iter().find(|waiting| waiting.channel == channel);
                let labels = vec![("channel", channel.as_str().to_owned())];
                (labels, number(found.map_or(0, |waiting| waiting.count)))
            }));
        }
    }
    [
        gauge(
            "hatch_timers_halted",
            "Whether damage of the log keeps this dispatcher from folding the timers",
            halted,
        ),
        gauge(
            "hatch_timers_undecodable",
            "Due messages with an event that no dispatcher which looked could read",
            undecodable,
        ),
        gauge(
            "hatch_messages_waiting_for_account",
            "Messages that wait for an account that carries their channel and works, 10,000 at most",
            waiting,
        ),
    ]
}

fn calls(stats: &Stats) -> [Metric; 6] {
    let calls = stats.call_seconds.all().into_iter();
    let calls = calls
        .map(|(provider, histogram)| (vec![("provider", provider.to_owned())], histogram.get()));
    [
        Metric {
            name: "hatch_dispatch_attempts",
            help: "Attempts by outcome: accepted, refused, account (refused itself), throttled, \
                   unavailable, unknown, shortage (of our own), or abandoned before the call",
            values: by_provider(&stats.attempts),
        },
        Metric {
            name: "hatch_dispatch_shortages",
            help: "Calls that were not made because this process lacked files, memory, ports or \
                   threads",
            values: labelled("lack", &stats.shortage.unmade),
        },
        Metric {
            name: "hatch_dispatch_undecodable",
            help: "Requests of the bus that this build cannot read; it leaves them to the log",
            values: Values::Counter(vec![(vec![], stats.undecodable.get())]),
        },
        Metric {
            name: "hatch_dispatch_attempts_unkept",
            help: "Attempts of which it could not be kept what was said to the provider",
            values: Values::Counter(vec![(vec![], stats.attempts_unkept.get())]),
        },
        Metric {
            name: "hatch_dispatch_under_way",
            help: "Attempts that are being claimed, made or recorded",
            values: Values::gauge(number(stats.under_way.get())),
        },
        Metric {
            name: "hatch_provider_call_duration_seconds",
            help: "What a provider took to answer, or not to",
            values: Values::Histogram(calls.collect()),
        },
    ]
}
