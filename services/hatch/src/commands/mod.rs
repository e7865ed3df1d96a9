//! The smaller subcommands, one file each.

pub(crate) mod accounts;
pub(crate) mod archive;
pub(crate) mod bench;
pub(crate) mod dead_letters;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod fence;
pub(crate) mod in_doubt;
pub(crate) mod keys;
pub(crate) mod master_key;
pub(crate) mod members;
pub(crate) mod migrate;
pub(crate) mod projections;
pub(crate) mod requests;
pub(crate) mod routes;
pub(crate) mod serve;
pub(crate) mod tenants;
pub(crate) mod verify_log;
pub(crate) mod webhooks;
mod writer;

use std::time::Duration;

use hatch_eventstore::{Connections, Database, ServerRefusal};
use hatch_process::Servers;
use hatch_readmodel::List;
use serde::Serialize;
use tokio_postgres::config::Host;

use crate::output::line;
use crate::roles::postgres;
use crate::settings::Settings;

/// The settings with the servers of a running `up` where no others are set, and what `up` was told of them.
///
/// # Errors
/// The record of a running `up` cannot be read.
pub fn running(mut settings: Settings) -> anyhow::Result<Settings> {
    if let Some(servers) = Servers::read(&settings.data_dir)? {
        let url = settings.database_url.get_or_insert_with(|| servers.database_url.clone());
        if *url == servers.database_url {
            settings.deployment = settings.deployment.or(servers.deployment);
            settings.database_host = settings.database_host.or(servers.database_host);
        }
        settings.nats_url.get_or_insert(servers.nats_url);
        settings.archive.directory.get_or_insert_with(|| settings.data_dir.join("archive"));
    }
    Ok(settings)
}

/// Makes a tenant of that name, and returns the text of a key by which it sends.
///
/// # Errors
/// The database does not answer, or the name is none.
pub async fn tenant_with_key(settings: &Settings, name: &str) -> anyhow::Result<String> {
    let writer = writer::Writer::start(settings).await?;
    let made = keys::first(&writer.store, name).await;
    writer.end().await?;
    made
}

/// Prints a page of a list, a line each: as JSON, or for people by `row`, who are told where there is none, and more.
fn print_page<T: Serialize>(
    page: &List<T>,
    json: bool,
    none: &str,
    row: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    print_rows(&page.data, (page.next_cursor.is_some(), json), none, row)
}

/// Prints the first `limit` of `all`, as [`print_page`] does.
fn print_first<T: Serialize>(
    all: &[T],
    (limit, json): (u32, bool),
    none: &str,
    row: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    let first = usize::try_from(limit).ok().and_then(|limit| all.get(..limit)).unwrap_or(all);
    print_rows(first, (first.len() < all.len(), json), none, row)
}

fn print_rows<T: Serialize>(
    rows: &[T],
    (are_more, json): (bool, bool),
    none: &str,
    row: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    for one in rows {
        line(if json { serde_json::to_string(one)? } else { row(one) })?;
    }
    if !json && rows.is_empty() {
        line(none)?;
    }
    if !json && are_more {
        let shown = rows.len();
        line(format!("there are more than these {shown}: --limit shows up to 200"))?;
    }
    Ok(())
}

/// `error`, with PostgreSQL's address if it is that there is no connection to it: the error itself does
/// not say which server was looked for.
pub(crate) fn named_server(error: anyhow::Error, settings: Settings) -> anyhow::Error {
    let is_refused = |cause: &(dyn std::error::Error + 'static)| {
        let postgres = cause.downcast_ref::<tokio_postgres::Error>();
        let source = postgres.and_then(std::error::Error::source);
        source.is_some_and(|source| source.is::<std::io::Error>())
    };
    // Who is not believed says himself which server he is, and starting it would not help.
    if !error.chain().any(is_refused) || ServerRefusal::cause_of(error.as_ref()).is_some() {
        return error;
    }
    match running(settings).and_then(|settings| postgres(&settings)) {
        Ok(postgres) => error.context(format!(
            "PostgreSQL at {} cannot be reached: start it, or set HATCH_DATABASE_URL",
            address(&postgres)
        )),
        Err(_) => error,
    }
}

/// Hosts and ports, as they would be written in a URL.
pub(crate) fn address(postgres: &Database) -> String {
    let ports = postgres.get_ports();
    let server = |(n, host): (usize, &Host)| {
        let port = ports.get(n).or_else(|| ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(host) => format!("{host}:{port}"),
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        }
    };
    let servers: Vec<String> = postgres.get_hosts().iter().enumerate().map(server).collect();
    servers.join(",")
}

/// How long PostgreSQL may take to answer a command's question.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A few connections for a command.
///
/// # Errors
/// The settings have no address of PostgreSQL, or a bad one.
pub fn pool(settings: &Settings) -> anyhow::Result<Connections> {
    const CONNECTIONS_MAX: usize = 2;
    const WAIT_MAX: Duration = Duration::from_secs(5);
    Ok(hatch_eventstore::pool(&postgres(settings)?, CONNECTIONS_MAX, WAIT_MAX))
}
