//! What `/ready` asks.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use hatch_api::health::Dependency;
use hatch_api::tokens::{KeysReport, Tokens};
use hatch_api::{Drain, Tls};
use hatch_bus::{Bus, BusState};
use hatch_dispatcher::{Health, Told};
use hatch_eventstore::{
    Appender, Connection, Connections, Fence, FenceState, ServerClock, Standstill,
};
use hatch_providers::{Account, Accounts, Tenants};

use crate::exposure;
use crate::output::counted;
use crate::roles::Process;
use crate::schemas::schemas;
use crate::settings::Settings;

/// How long a dependency may take to answer.
const CHECK_MAX: Duration = Duration::from_secs(2);

/// From here on a machine's clock is too far from PostgreSQL's.
pub(crate) const OFFSET_MAX: TimeDelta = TimeDelta::seconds(1);

/// What every process asks. PostgreSQL and its schema are required. An open fence and NATS are not: without them sends are
/// accepted and wait.
pub(crate) fn dependencies(process: &Process, drain: Drain) -> Vec<Dependency> {
    let (pool, bus) = (process.pool.clone(), process.bus.clone());
    let fence = process.head.fence().clone();
    let (schema_pool, stream_pool, readers) = (pool.clone(), pool.clone(), fence.clone());
    vec![
        Dependency {
            name: "postgresql",
            required: true,
            check: Box::new(move || Box::pin(bounded(reach(pool.clone())))),
        },
        Dependency {
            name: "schema",
            required: true,
            check: Box::new(move || Box::pin(bounded(check_schema(schema_pool.clone())))),
        },
        Dependency {
            name: "fence",
            required: false,
            check: Box::new(move || {
                let fence = fence.clone();
                Box::pin(bounded(async move { open(&fence).await }))
            }),
        },
        Dependency {
            name: "nats",
            required: false,
            check: Box::new(move || {
                let (state, foreign) = (bus.state(), readers.foreign());
                let trouble = bus.trouble().map(|trouble| trouble.to_string());
                let (bus, pool) = (bus.clone(), stream_pool.clone());
                Box::pin(async move {
                    match (state, foreign) {
                        (BusState::Connected(_), None) => bounded(stream_there(bus, pool)).await,
                        (BusState::Connected(_), Some((generation, what))) => Err(format!(
                            "generation {generation} of the event stream is not believed, \
                             because somebody else can write to NATS: {what}"
                        )),
                        (BusState::Disconnected, _) => {
                            Err(trouble.unwrap_or_else(|| "not connected".to_owned()))
                        }
                        (BusState::Refused(why), _) => Err(why),
                    }
                })
            }),
        },
        directory(process),
        left_out(process),
        issuers(process.tokens.clone()),
        ending(drain),
        clock(process.head.clock().clone()),
        appends(process.store.appender().clone()),
    ]
}

/// Tenants and keys as far as the log goes. Without the newest of them clients are let in as they were before.
fn directory(process: &Process) -> Dependency {
    let (directory, head) = (process.directory.clone(), process.head.clone());
    let check = move || {
        let (directory, head) = (directory.clone(), head.current());
        Box::pin(async move {
            if directory.wait_for(head, CHECK_MAX).await {
                return Ok(());
            }
            let position = directory.position();
            Err(format!(
                "tenants and keys are known up to position {position}, and the log is at {head}"
            ))
        }) as _
    };
    Dependency { name: "directory", required: false, check: Box::new(check) }
}

/// The accounts that the log keeps. Without one its tenant's messages wait, and its webhooks are refused. Anybody may ask
/// here: what tenants call them is for `hatch doctor`.
fn left_out(process: &Process) -> Dependency {
    let all = process.left_out.clone();
    let check = move || {
        let left_out = all.current();
        let sealed = left_out.iter().filter(|one| one.is_sealed).count();
        let answer = if left_out.is_empty() {
            Ok(())
        } else {
            let all = left_out.len();
            let why =
                format!("{all} of the log not used, {sealed} of them for want of their master key");
            Err(format!("{why}: hatch doctor says which and why"))
        };
        Box::pin(std::future::ready(answer)) as _
    };
    Dependency { name: "kept_accounts", required: false, check: Box::new(check) }
}

/// The keys of those who give tokens. Without the newest of them some tokens are refused that are good.
fn issuers(tokens: Tokens) -> Dependency {
    let check = move || {
        let wrong = |report: KeysReport| {
            let KeysReport { issuer, keys, error, .. } = report;
            let why =
                error.or_else(|| (keys == 0).then(|| "they are not asked for yet".to_owned()));
            why.map(|why| match keys {
                0 => format!("{issuer} has no keys: {why}"),
                _ => format!("{issuer} is known by its keys of before: {why}"),
            })
        };
        let wrong: Vec<String> = tokens.reports().into_iter().filter_map(wrong).collect();
        let answer = if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) };
        Box::pin(std::future::ready(answer)) as _
    };
    Dependency { name: "jwt", required: false, check: Box::new(check) }
}

/// The certificate of the listener, where it has one, and whose word on clients counts. Nothing waits for either.
pub(crate) fn listener(settings: &Settings, tls: Option<&Tls>) -> Vec<Dependency> {
    let proxies = exposure::of_proxies(settings).map(|(why, _)| why.to_owned());
    let of_proxies = proxies.map(|why| Dependency {
        name: "proxies",
        required: false,
        check: Box::new(move || Box::pin(std::future::ready(Err::<(), String>(why.clone())))),
    });
    let certificate = tls.cloned().map(|tls| Dependency {
        name: "certificate",
        required: false,
        check: Box::new(move || Box::pin(std::future::ready(tls.standing()))),
    });
    certificate.into_iter().chain(of_proxies).collect()
}

/// The accounts of a process that sends, as its calls found them: it asks no provider just to know. Those of some tenants
/// alone have one line together: they are not everybody's to know.
pub(crate) fn accounts(
    accounts: &Accounts,
    stats: &hatch_dispatcher::Stats,
) -> Vec<(String, Result<(), String>)> {
    let known = stats.accounts.all();
    let answer = |account: &Arc<Account>| {
        let (provider, name) = account.key();
        let is_it = |one: &&Arc<Health>| one.provider() == provider && one.account() == name;
        let health = known.iter().find(is_it);
        let told = health.and_then(|health| health.condition().in_public().told(health.account()));
        match told {
            Some(Told { what, remedy, .. }) => Err(format!("{what}. {remedy}")),
            None => Ok(()),
        }
    };
    let current = accounts.current();
    let (of_all, of_some): (Vec<_>, Vec<_>) =
        current.iter().partition(|account| account.tenants == Tenants::All);
    let refused = of_some.iter().filter(|account| answer(account).is_err()).count();
    let of_some = (!of_some.is_empty()).then(|| {
        let said = || format!("{refused} do not send: `hatch doctor` says which, and why");
        let answer = if refused == 0 { Ok(()) } else { Err(said()) };
        ("accounts_of_tenants".to_owned(), answer)
    });
    let of_all = of_all.into_iter().map(|account| (account.name.to_string(), answer(account)));
    of_all.chain(of_some).collect()
}

/// The resources of a process that sends: while it lacks one, messages wait.
pub(crate) fn resources(stats: &Arc<hatch_dispatcher::Stats>) -> Dependency {
    let stats = Arc::clone(stats);
    let check = move || {
        let lack = stats.shortage.lasting();
        let answer = lack.map_or(Ok(()), |lack| Err(format!("this process lacks {lack}")));
        Box::pin(std::future::ready(answer)) as _
    };
    Dependency { name: "resources", required: false, check: Box::new(check) }
}

/// Whether what this process has to append is committed. Nobody is asked for it.
pub(crate) fn appends(appender: Appender) -> Dependency {
    let check = move || {
        let standstill = appender.standstill();
        let answer = standstill.map_or(Ok(()), |standstill| Err(standstill_text(&standstill)));
        Box::pin(std::future::ready(answer)) as _
    };
    Dependency { name: "appends", required: false, check: Box::new(check) }
}

fn standstill_text(Standstill { lasted, reason }: &Standstill) -> String {
    let reason = reason.as_deref().unwrap_or("PostgreSQL has not answered");
    let seconds = lasted.as_secs();
    format!(
        "nothing was committed for {seconds} s: {reason}. `hatch doctor` says who holds the log's lock"
    )
}

/// The clock of the machine, by which nothing is decided. Where it is wrong, others are too.
fn clock(clock: ServerClock) -> Dependency {
    let check = move || {
        let astray = clock.offset().filter(|offset| offset.abs() >= OFFSET_MAX);
        let answer = astray.map_or(Ok(()), |offset| Err(astray_text(offset)));
        Box::pin(std::future::ready(answer)) as _
    };
    Dependency { name: "clock", required: false, check: Box::new(check) }
}

fn astray_text(offset: TimeDelta) -> String {
    let bound = hatch_eventstore::CLOCK_OFFSET_MAX;
    let text = format!("{}, which decides: set both by NTP", offset_text(offset));
    match offset.abs() > bound {
        true => format!(
            "{text}. Beyond {} s a dispatcher leaves what is due to others",
            bound.num_seconds()
        ),
        false => text,
    }
}

/// How far this machine's clock is from PostgreSQL's.
pub(crate) fn offset_text(offset: TimeDelta) -> String {
    let seconds = offset.as_seconds_f64();
    format!("this machine's clock is {seconds:+.1} s from PostgreSQL's")
}

/// Whether this process folds the timers as far as it has to, and whether all that is due can be read.
pub(crate) fn timers(pool: Connections, stats: &Arc<hatch_dispatcher::Stats>) -> Dependency {
    let stats = Arc::clone(stats);
    let check = move || {
        let (pool, halted) = (pool.clone(), stats.timers.why());
        Box::pin(async move {
            match halted {
                Some(why) => Err(format!("halted: {why}")),
                None => all_can_be_read(&pool).await,
            }
        }) as _
    };
    Dependency { name: "timers", required: false, check: Box::new(check) }
}

async fn all_can_be_read(pool: &Connections) -> Result<(), String> {
    let count = async |client: &mut Connection| {
        Ok(hatch_due::undecodable::<hatch_dispatcher::Messages>(client).await?)
    };
    match pool.within(CHECK_MAX, count).await.map_err(said)? {
        0 => Ok(()),
        count => {
            let messages = counted(count, "due message");
            Err(format!("{messages} with an event that no dispatcher can read"))
        }
    }
}

/// A process that was told to end sends new clients elsewhere before it does.
fn ending(drain: Drain) -> Dependency {
    Dependency {
        name: "process",
        required: true,
        check: Box::new(move || {
            let ends = drain.has_begun();
            Box::pin(async move { if ends { Err("shutting down".to_owned()) } else { Ok(()) } })
        }),
    }
}

async fn bounded(check: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let answer = tokio::time::timeout(CHECK_MAX, check).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {CHECK_MAX:?}")))
}

async fn reach(pool: Connections) -> Result<(), String> {
    let ask = async |client: &mut Connection| Ok(client.batch_execute("").await?);
    pool.within(CHECK_MAX, ask).await.map_err(said)
}

/// Where no relay has begun a generation yet, none is missed.
async fn stream_there(bus: Bus, pool: Connections) -> Result<(), String> {
    if bus.has_stream().await.map_err(|error| error.to_string())? {
        return Ok(());
    }
    let begun = async |client: &mut Connection| {
        Ok(client.query_opt("SELECT FROM es.bus_generations LIMIT 1", &[]).await?.is_some())
    };
    match pool.within(CHECK_MAX, begun).await.map_err(said)? {
        true => Err("the event stream is gone: the relay begins another".to_owned()),
        false => Ok(()),
    }
}

/// A process that has just begun finds out first.
async fn open(fence: &Fence) -> Result<(), String> {
    fence.known().await;
    match fence.state() {
        FenceState::Open { .. } => Ok(()),
        FenceState::Closed(closed) => Err(closed.to_string()),
        FenceState::Unknown => Err("PostgreSQL is away".to_owned()),
    }
}

async fn check_schema(pool: Connections) -> Result<(), String> {
    let check = async |client: &mut Connection| {
        for schema in schemas() {
            schema.check(client).await?;
        }
        Ok(())
    };
    pool.within(CHECK_MAX, check).await.map_err(said)
}

fn said(error: anyhow::Error) -> String {
    error.to_string()
}
