//! The provider simulator, as `up` and `hatch simulator` run it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::Router;
use hatch_api::{Connections, Sites};
use hatch_devservers::make_data_folder;
use hatch_simulator::{Config, KeyPair, SendGridAccount};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Names the address of the webhook role to the simulator of `up --split`, whose callbacks need not go
/// through the front, as a provider's would not go through one that only sorts by path.
pub const WEBHOOKS: &str = "HATCH_DEVELOPMENT_WEBHOOKS";

/// Where the simulator is told what to do. The rest of it is the providers', whom clients call by other names.
const CONTROL: &str = "/_sim";

/// The simulator's record, in the data folder.
const RECORD: &str = "simulator-messages.ndjson";

/// The key that SendGrid's webhooks are signed with, in the data folder.
const SENDGRID_PRIVATE_KEY: &str = "simulator/sendgrid.private.pem";

/// What a simulator is given.
#[derive(Debug)]
pub struct Options {
    /// Where it serves.
    pub listen: SocketAddr,
    /// The data folder, for its record and keys.
    pub folder: PathBuf,
    /// The key in the data folder that hatch checks SendGrid's webhooks with.
    pub sendgrid_public_key: &'static str,
    /// Where the outside reaches hatch, as the signatures have it.
    pub public_url: String,
    /// Further names that it may be called by.
    pub hosts: Vec<String>,
    /// Callbacks under way at a time, at most.
    pub callbacks_max: usize,
    /// The connections that it may have.
    pub connections: Connections,
}

impl Options {
    /// How many callbacks may be under way at a time where there are files enough.
    #[must_use]
    pub fn usual_callbacks_max() -> usize {
        Config::default().callbacks_concurrency_max
    }
}

/// Runs the simulator until `shutdown`.
///
/// # Errors
/// Its address is taken, or its folder, record or keys cannot be had.
pub async fn run(options: Options, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Options { listen, folder, connections, .. } = options;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("failed to listen on {listen} (HATCH_SIMULATOR_LISTEN)"))?;
    make_data_folder(&folder)?;
    let webhooks = std::env::var(WEBHOOKS).ok().map(|address| format!("http://{address}").parse());
    let keys = keys(&folder, options.sendgrid_public_key)?;
    let config = Config {
        callbacks_concurrency_max: options.callbacks_max,
        callback_proxy: webhooks.transpose().context(WEBHOOKS)?,
        public_url: options.public_url.parse().context("configuration: public_url")?,
        record_path: Some(folder.join(RECORD)),
        sendgrid: vec![SendGridAccount::development(keys.private_pem)],
        ..Config::default()
    };
    let sites = Sites::new(&format!("http://{listen}"), Some(listen.ip()), &options.hosts);
    let serve = async |routes: Router, shutdown| {
        let guard = (sites, CONTROL);
        hatch_api::serve_beside(listener, connections, routes, guard, shutdown).await
    };
    Ok(hatch_simulator::run_by(config, serve, shutdown).await?)
}

/// The keys in the data `folder` that SendGrid's webhooks are signed with, made at the first start.
///
/// # Errors
/// They cannot be read or written.
pub fn keys(folder: &Path, sendgrid_public_key: &str) -> anyhow::Result<KeyPair> {
    let (private, public) = (folder.join(SENDGRID_PRIVATE_KEY), folder.join(sendgrid_public_key));
    hatch_simulator::key_pair(&private, &public).context("the simulator's keys")
}
