//! `hatch doctor`: what is wrong, since when, and what to do about it.
//!
//! Each check is one line and takes [`CHECK_MAX`] at most. What does not depend on each other is looked
//! at side by side; what cannot be looked at, because something else is wrong, says so.
//! `docs/operations.md` explains each line.

mod accounts;
mod bus;
mod configuration;
mod database;
mod finding;
mod keeping;
mod keys;
mod listener;
mod sealed;
mod tls;
mod tokens;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;

use crate::output::line;
use crate::settings::Settings;
use finding::Finding;

/// How long a check may take.
const CHECK_MAX: Duration = Duration::from_secs(5);

/// Work that waits for longer than this is late: no process does it.
const LATE: TimeDelta = TimeDelta::seconds(5);

/// Checks everything and prints what it found; fails when something is wrong.
pub(crate) async fn run(settings: Settings, json: bool) -> anyhow::Result<ExitCode> {
    let (settings, embedded) = configuration::effective(settings)?;
    let (mut findings, (server, database), (nats, stream), of_the_tokens) = tokio::join!(
        configuration::check(&settings, embedded),
        database::reach(&settings, embedded),
        bus::reach(&settings, embedded),
        tokens::check(&settings),
    );
    findings.extend(listener::check(&settings, embedded));
    findings.push(nats);
    findings.extend(database::last_seen(server, &stream));
    let (tls, of_the_log, of_the_bus, of_the_work, of_the_keys, sealed) = tokio::join!(
        made("tls", tls::check(&settings, &database)),
        database::check(&settings, &database),
        bus::check(&settings, &database, &stream),
        work::check(&settings, &database),
        keys::check(&settings, &database),
        sealed::check(&settings, &database),
    );
    accounts::tell(&settings, &database, &mut findings).await;
    keys::tell(&mut findings, &of_the_keys);
    findings.push(tls);
    findings.extend(of_the_log);
    findings.extend(of_the_bus);
    findings.extend(of_the_work);
    findings.extend(of_the_keys);
    findings.push(sealed);
    findings.extend(of_the_tokens);
    for finding in &findings {
        line(if json { serde_json::to_string(finding)? } else { finding.to_string() })?;
    }
    let failed = findings.iter().any(Finding::is_failure);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Ends a look that takes too long.
async fn bounded<T>(look: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(CHECK_MAX, look)
        .await
        .unwrap_or_else(|late| Err(late).with_context(|| format!("no answer within {CHECK_MAX:?}")))
}

/// What a bounded check finds, or that it could not be made.
async fn made(check: &'static str, look: impl Future<Output = anyhow::Result<Finding>>) -> Finding {
    bounded(look).await.unwrap_or_else(|error| {
        let remedy = "run it again, and see the server's own log if that does not help";
        Finding::failure(check, format!("could not be checked: {error:#}"), remedy)
    })
}
