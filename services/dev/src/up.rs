//! `hatch up`: everything on one machine, for development.
//!
//! In order: the data folder is locked, the addresses are checked, the servers start, the schema is
//! applied, the simulator and the roles start. The stop goes the other way, so that whatever still
//! runs finds what it needs. Nothing is lost by a stop or a kill: data stay in the folder.

mod one_process;
mod ready;
mod split;

use std::ffi::OsString;
use std::future::Future;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use hatch_api::{Connections, Requests};
use hatch_devservers::{Embedded, Folder, Options as ServerOptions, Purpose, free_port};
use hatch_process::is_hatch;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::front::Names;

/// What to run, and where.
#[derive(Clone)]
pub struct Options {
    /// The data folder; see [`Folder::default_path`].
    pub folder: PathBuf,
    /// Where hatch serves. Port 0 stands for any free one.
    pub listen: SocketAddr,
    /// Where the provider simulator serves. Port 0 stands for any free one.
    pub simulator_listen: SocketAddr,
    /// A PostgreSQL to use instead of an embedded one.
    pub database_url: Option<String>,
    /// A NATS to use instead of an embedded one.
    pub nats_url: Option<String>,
    /// What the settings call this installation, for the commands beside it.
    pub deployment: Option<String>,
    /// What they call its database's server, likewise.
    pub database_host: Option<String>,
    /// Whom requests may be made to, and who may say for whom.
    pub names: Names,
    /// The connections of clients to the front of `split`.
    pub connections: Connections,
    /// Every role, by the name that `serve --roles` knows.
    pub roles: Vec<SplitRole>,
    /// Run each role and the simulator as a process of its own, by `program`.
    pub split: bool,
    /// This program, which also knows `serve --roles` and `simulator`.
    pub program: PathBuf,
    /// Told each time that the roles of `split` are to read their settings again.
    pub hang_ups: Arc<Notify>,
}

/// A role that can be a process of its own.
#[derive(Clone, Copy, Debug)]
pub struct SplitRole {
    /// What it is called.
    pub name: &'static str,
    /// The requests that the front sends to it, if any.
    pub requests: Option<Requests>,
}

/// Without its URLs, which hold passwords.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Where everything is.
#[derive(Clone)]
pub struct UpLocations {
    /// The data folder, as an absolute path.
    pub folder: PathBuf,
    /// `postgres://` URL.
    pub database_url: String,
    /// `nats://` URL.
    pub nats_url: String,
    /// Where hatch serves.
    pub listen: SocketAddr,
    /// Where the provider simulator serves.
    pub simulator_listen: SocketAddr,
}

/// Without its URLs, which hold passwords.
impl std::fmt::Debug for UpLocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpLocations").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// The parts that are started between the servers' start and their stop.
pub trait Application: Send + Sync + 'static {
    /// Refuses settings that no part starts with: each would be started again and again.
    ///
    /// # Errors
    /// The setting and what was expected.
    fn check(&self, place: &UpLocations) -> anyhow::Result<()>;

    /// Applies the schema.
    fn migrate(&self, place: &UpLocations) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Runs every role in this process until `shutdown`.
    fn serve(
        self: Arc<Self>,
        place: UpLocations,
        shutdown: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Runs the provider simulator in this process until `shutdown`.
    fn simulate(
        self: Arc<Self>,
        place: UpLocations,
        shutdown: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// The environment that gives `serve` and `simulator` in another process the settings of
    /// development. The servers' URLs, the data folder and the address are added to it.
    fn environment(&self, place: &UpLocations) -> Vec<(OsString, OsString)>;
}

/// Runs `application` until `stop`.
///
/// # Errors
/// The folder or an address is taken, a server or the schema cannot be had, or a part ended by
/// itself. Whatever was started has been stopped then.
pub async fn run(
    application: impl Application,
    options: Options,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let folder = Arc::new(Folder::lock(&options.folder)?);
    let listen = available(options.listen, "HATCH_LISTEN").await?;
    let simulator_listen = available(options.simulator_listen, "HATCH_SIMULATOR_LISTEN").await?;
    let server_options = ServerOptions {
        purpose: Purpose::Development,
        database_url: options.database_url.clone(),
        nats_url: options.nats_url.clone(),
    };
    let embedded = tokio::select! {
        embedded = Embedded::start(&folder, server_options) => embedded?,
        () = stop.cancelled() => return Embedded::stop_leftovers(&folder).await,
    };
    let place = UpLocations {
        folder: folder.path().to_owned(),
        database_url: embedded.database_url().to_owned(),
        nats_url: embedded.nats_url().to_owned(),
        listen,
        simulator_listen,
    };
    let outcome = run_parts(Arc::new(application), &options, &place, &folder, stop).await;
    embedded.stop().await;
    outcome
}

async fn run_parts(
    application: Arc<impl Application>,
    options: &Options,
    place: &UpLocations,
    folder: &Arc<Folder>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    application.check(place)?;
    tokio::select! {
        migrated = application.migrate(place) => migrated.context("failed to apply the schema")?,
        () = stop.cancelled() => return Ok(()),
    }
    folder.record(|servers| {
        servers.url = Some(format!("http://{}", place.listen));
        servers.simulator_url = Some(format!("http://{}", place.simulator_listen));
        servers.deployment.clone_from(&options.deployment);
        servers.database_host.clone_from(&options.database_host);
    })?;
    if options.split {
        split::run(&*application, options, place, folder, stop).await
    } else {
        one_process::run(application, place, stop).await
    }
}

/// Says on `output` where hatch serves, which scripts wait for, and where each of its `processes` does, by whose
/// metrics one looks into it. In one write: a script may read no further than the first line, and whoever writes
/// after that has nobody who reads.
fn announce(
    output: &mut impl Write,
    place: &UpLocations,
    processes: &[(&str, SocketAddr)],
) -> anyhow::Result<()> {
    let (hatch, simulator) = (place.listen, place.simulator_listen);
    let metrics: String = processes
        .iter()
        .map(|(role, address)| format!("  metrics of {role}: http://{address}/metrics\n"))
        .collect();
    let text = format!(
        "hatch is ready: http://{hatch}\n  the API, to try out: http://{hatch}/docs\n  what the \
         simulated providers were sent: http://{simulator}/_sim/messages\n{metrics}  Ctrl-C stops everything\n"
    );
    output.write_all(text.as_bytes()).context("failed to say that hatch is ready")
}

/// Checks that `address` can be served on before anything is started, and chooses a port for 0.
async fn available(mut address: SocketAddr, setting: &str) -> anyhow::Result<SocketAddr> {
    if address.port() == 0 {
        address.set_port(free_port()?);
    }
    match TcpListener::bind(address) {
        Ok(_) => Ok(address),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let who =
                if is_hatch(address).await { "hatch, which answers there" } else { "program" };
            bail!(
                "port {} is taken by another {who}: stop it, or choose another address with \
                 {setting}={}:PORT",
                address.port(),
                address.ip()
            )
        }
        Err(error) => Err(error).with_context(|| format!("failed to listen on {address}")),
    }
}

#[cfg(test)]
mod tests;
