//! What `hatch up` runs: the roles and the simulator, set up for each other.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use hatch_api::Sites;
use hatch_simulator::{KeyPair, SendGridAccount};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::commands::migrate;
use crate::commands::serve::refuse_open;
use crate::embedded::make_data_folder;
use crate::roles::{self, Role};
use crate::settings::{DEVELOPMENT, SENDGRID_PRIVATE_KEY, SENDGRID_PUBLIC_KEY, Settings, WEBHOOKS};
use crate::supervise;
use crate::up::{self, Application, Options, Place};
use crate::{files, limits};

/// How long an accepted message may have to wait before others are refused: on a developer's machine, as
/// long as it takes. Processes of their own are there to see how it is elsewhere.
const WAIT_MS: u64 = 60_000;

/// How many messages may come at once before it is known how fast they go: as long a wait at a thousand a
/// second.
const BURST: u64 = 60_000;

/// Where the simulator is told what to do. The rest of it is the providers', whom clients call by other names.
const CONTROL: &str = "/_sim";

/// The networks that the front of `up --split` is in.
const LOOPBACK: &str = "127.0.0.0/8,::1";

/// The simulator's record, in the data folder.
const RECORD: &str = "simulator-messages.ndjson";

/// Everything on one machine, until a signal asks for the end.
pub(crate) async fn run(settings: Settings, split: bool) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    supervise::stop_on_signal(&stop)?;
    refuse_bad(&settings)?;
    let options = Options {
        folder: settings.data_dir.clone(),
        listen: address(&settings.listen, "listen")?,
        simulator_listen: address(&settings.simulator_listen, "simulator_listen")?,
        database_url: settings.database_url.clone(),
        nats_url: settings.nats_url.clone(),
        deployment: settings.deployment.clone(),
        database_host: settings.database_host.clone(),
        names: supervise::Names {
            sites: roles::sites(&settings),
            trusted_proxies: roles::trusted_proxies(&settings)?,
        },
        limits: settings.limits.clone(),
        split,
        program: std::env::current_exe().context("failed to find this program")?,
    };
    make_data_folder(&settings.data_dir)?;
    simulators_keys(&settings.data_dir)?;
    up::run(Development { public_url: settings.public_url }, options, &stop).await
}

/// Refuses what no server is needed for to see that nothing starts with it.
fn refuse_bad(settings: &Settings) -> anyhow::Result<()> {
    let mut settings = settings.clone();
    settings.database_url.get_or_insert_with(|| "postgres://127.0.0.1".to_owned());
    settings.nats_url.get_or_insert_with(|| "nats://127.0.0.1".to_owned());
    roles::refusals(&settings).into_iter().next().map_or(Ok(()), Err)
}

/// The simulator alone, until `shutdown`.
pub(crate) async fn simulate(
    settings: &Settings,
    folder: &Path,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listen = address(&settings.simulator_listen, "simulator_listen")?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("failed to listen on {listen} (HATCH_SIMULATOR_LISTEN)"))?;
    make_data_folder(folder)?;
    let webhooks = std::env::var(WEBHOOKS).ok().map(|address| format!("http://{address}").parse());
    let usual = hatch_simulator::Config::default();
    let config = hatch_simulator::Config {
        callbacks_concurrency_max: files::share(usual.callbacks_concurrency_max),
        callback_proxy: webhooks.transpose().context(WEBHOOKS)?,
        public_url: settings.public_url().parse().context("configuration: public_url")?,
        record_path: Some(folder.join(RECORD)),
        sendgrid: vec![SendGridAccount::development(simulators_keys(folder)?.private_pem)],
        ..usual
    };
    let sites = Sites::new(&format!("http://{listen}"), Some(listen.ip()), &settings.hosts);
    let connections = limits::beside();
    let serve = async |routes: Router, shutdown| {
        let guard = (sites, CONTROL);
        hatch_api::serve_beside(listener, connections, routes, guard, shutdown).await
    };
    Ok(hatch_simulator::run_by(config, serve, shutdown).await?)
}

/// The keys that SendGrid's webhooks are signed with, made at the first start.
fn simulators_keys(folder: &Path) -> anyhow::Result<KeyPair> {
    let (private, public) = (folder.join(SENDGRID_PRIVATE_KEY), folder.join(SENDGRID_PUBLIC_KEY));
    hatch_simulator::key_pair(&private, &public).context("the simulator's keys")
}

struct Development {
    /// As it was set, if it was.
    public_url: Option<String>,
}

impl Application for Development {
    fn check(&self, place: &Place) -> anyhow::Result<()> {
        roles::check(&settings(place)?)
    }

    async fn migrate(&self, place: &Place) -> anyhow::Result<()> {
        migrate::migrate(&settings(place)?).await
    }

    async fn serve(
        self: Arc<Self>,
        place: Place,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut settings = settings(&place)?;
        settings.admission.wait_ms.get_or_insert(WAIT_MS);
        settings.admission.burst.get_or_insert(BURST);
        let listener = TcpListener::bind(place.listen)
            .await
            .with_context(|| format!("failed to listen on {}", place.listen))?;
        roles::run(&settings, &BTreeSet::from(Role::ALL), listener, shutdown).await
    }

    async fn simulate(
        self: Arc<Self>,
        place: Place,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        simulate(&settings(&place)?, &place.folder, shutdown).await
    }

    fn environment(&self, place: &Place) -> Vec<(OsString, OsString)> {
        // A child listens elsewhere; the outside knows this address only.
        let public_url =
            self.public_url.clone().unwrap_or_else(|| format!("http://{}", place.listen));
        // The front, which tells them the client's address, comes by the loopback.
        vec![
            ("HATCH_TRUSTED_PROXIES".into(), LOOPBACK.into()),
            (DEVELOPMENT.into(), simulator_url(place).into()),
            ("HATCH_PUBLIC_URL".into(), public_url.into()),
        ]
    }
}

/// The settings of `up`, with what `up` chose.
fn settings(place: &Place) -> anyhow::Result<Settings> {
    let mut settings = Settings::load_development(&simulator_url(place), place.listen)?;
    settings.database_url = Some(place.database_url.clone());
    settings.nats_url = Some(place.nats_url.clone());
    settings.simulator_listen = place.simulator_listen.to_string();
    Ok(settings)
}

fn simulator_url(place: &Place) -> String {
    format!("http://{}", place.simulator_listen)
}

/// An address of this machine only: in development nobody is asked who he is.
fn address(text: &str, key: &str) -> anyhow::Result<SocketAddr> {
    let address: SocketAddr = text.parse().with_context(|| {
        format!("configuration: {key}: expected ADDRESS:PORT such as 127.0.0.1:8080, got {text:?}")
    })?;
    refuse_open(address.ip())?;
    Ok(address)
}
