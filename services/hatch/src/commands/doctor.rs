//! `hatch doctor`: what is wrong, and what to do about it.

use std::process::ExitCode;
use std::time::Duration;

use hatch_bus::{Bus, State};
use hatch_eventstore::Log;
use hatch_readmodel::ReadModel;

use super::pool;
use crate::output::line;
use crate::schemas;
use crate::settings::Settings;

/// How long NATS may take to be connected.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// More events than this behind the log's head is worth a word.
const LAG_EVENTS_MAX: i64 = 1_000;

/// What a check found.
enum Finding {
    Good(String),
    Bad { what: String, remedy: &'static str },
}

use Finding::{Bad, Good};

/// Checks one thing after the other and prints what it found; fails when something is wrong.
pub(crate) async fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let mut findings = vec![("configuration", Good(format!("listens on {}", settings.listen)))];
    findings.extend(postgres(&settings).await);
    findings.push(("nats", nats(&settings).await));
    findings.push(("twilio", twilio(&settings)));
    let mut healthy = true;
    for (name, finding) in findings {
        match finding {
            Good(what) => line(format!("ok    {name:<14} {what}"))?,
            Bad { what, remedy } => {
                healthy = false;
                line(format!("WRONG {name:<14} {what}\n{:21}-> {remedy}", ""))?;
            }
        }
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn postgres(settings: &Settings) -> Vec<(&'static str, Finding)> {
    let reached = async {
        let pool = pool(settings)?;
        let client = pool.get().await?;
        let version: String = client.query_one("SHOW server_version", &[]).await?.get(0);
        anyhow::Ok((pool, client, version))
    };
    let (pool, client, version) = match reached.await {
        Ok(reached) => reached,
        Err(error) => {
            let remedy = "set HATCH_DATABASE_URL to a server that answers, or start `./dev up`";
            return vec![("postgresql", Bad { what: format!("{error:#}"), remedy })];
        }
    };
    let mut findings = vec![("postgresql", Good(format!("version {version}")))];
    for schema in schemas() {
        if let Err(error) = schema.check(&client).await {
            let what = error.to_string();
            findings.push(("schema", Bad { what, remedy: "run `hatch migrate`" }));
            return findings;
        }
    }
    findings.push(("schema", Good("is the one of this version".to_owned())));
    findings.push(("log", log(&Log::new(pool.clone())).await));
    findings.push(("projections", projections(&ReadModel::new(pool)).await));
    findings
}

async fn log(log: &Log) -> Finding {
    match log.head().await {
        Ok(head) => Good(format!("head is at position {head}")),
        Err(error) => {
            Bad { what: error.to_string(), remedy: "see PostgreSQL's own log for the reason" }
        }
    }
}

async fn projections(read_model: &ReadModel) -> Finding {
    match read_model.projections().await {
        Ok(list) if list.iter().all(|p| p.halt.is_none() && p.lag_events <= LAG_EVENTS_MAX) => {
            let names: Vec<_> = list.iter().map(|p| p.name).collect();
            Good(format!("{} are fresh", names.join(", ")))
        }
        Ok(list) => {
            let behind: Vec<_> = list
                .iter()
                .filter_map(|p| match &p.halt {
                    Some(halt) => Some(format!(
                        "{} halted before position {}: {}",
                        p.name, halt.position, halt.reason
                    )),
                    None if p.lag_events > LAG_EVENTS_MAX => {
                        Some(format!("{} is {} events behind", p.name, p.lag_events))
                    }
                    None => None,
                })
                .collect();
            let remedy = "run the build that knows the event, or start a projector if none runs";
            Bad { what: behind.join(", "), remedy }
        }
        Err(error) => {
            Bad { what: error.to_string(), remedy: "see PostgreSQL's own log for the reason" }
        }
    }
}

async fn nats(settings: &Settings) -> Finding {
    let remedy = "set HATCH_NATS_URL to a server that answers, or start `./dev up`";
    let connected = async { anyhow::Ok(Bus::connect(settings.bus()?).await?) };
    let bus = match connected.await {
        Ok(bus) => bus,
        Err(error) => return Bad { what: format!("{error:#}"), remedy },
    };
    // Whether it waited in vain, the state says.
    let _ = tokio::time::timeout(CONNECT_MAX, bus.connected()).await;
    match bus.state() {
        State::Connected(version) => Good(format!("version {version}")),
        State::Refused(what) => Bad { what, remedy: "use another nats-server" },
        State::Disconnected => Bad { what: format!("no answer within {CONNECT_MAX:?}"), remedy },
    }
}

fn twilio(settings: &Settings) -> Finding {
    match &settings.twilio {
        Some(twilio) => Good(format!("account {}", twilio.account_sid)),
        None => Good("no account is set; `up` brings its own".to_owned()),
    }
}
