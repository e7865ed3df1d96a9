//! The provider simulator, as `up` and `hatch simulator` run it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::Router;
use hatch_api::{Connections, Sites};
use hatch_devservers::make_data_folder;
use hatch_simulator::{Config, KeyPair, SendGridAccount, TwilioAccount};
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

/// An account at a provider, as the simulator is to know it.
#[derive(Clone)]
pub struct Account {
    /// What it is called: Twilio's account SID, hatch's own name for an account at SendGrid.
    pub name: String,
    /// What it authenticates by.
    pub secret: String,
    /// Where its webhooks are posted, below the public URL.
    pub path: String,
}

/// Without the secret.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

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
    /// The accounts at Twilio that hatch has; that of development where it has none.
    pub twilio: Vec<Account>,
    /// The accounts at SendGrid, likewise.
    pub sendgrid: Vec<Account>,
    /// Whether to say on standard output where it serves and whom it lets in: to who runs it alone.
    pub announced: bool,
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
    let (listen, folder) = (options.listen, options.folder.clone());
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("failed to listen on {listen} (HATCH_SIMULATOR_LISTEN)"))?;
    make_data_folder(&folder)?;
    let webhooks = std::env::var(WEBHOOKS).ok().map(|address| format!("http://{address}").parse());
    let keys = keys(&folder, options.sendgrid_public_key)?;
    let mut config = Config {
        callbacks_concurrency_max: options.callbacks_max,
        callback_proxy: webhooks.transpose().context(WEBHOOKS)?,
        public_url: options.public_url.parse().context("configuration: public_url")?,
        record_path: Some(folder.join(RECORD)),
        sendgrid: vec![SendGridAccount::development(keys.private_pem)],
        ..Config::default()
    };
    let url = |path: String| {
        let base = config.public_url.as_str().trim_end_matches('/');
        format!("{base}{path}").parse().ok()
    };
    let of_twilio = |Account { name, secret, path }: Account| TwilioAccount {
        account_sid: name,
        auth_token: secret,
        inbound_webhook_url: url(path),
    };
    let twilio: Vec<_> = options.twilio.iter().cloned().map(of_twilio).collect();
    let private_key = config.sendgrid.first().map(|account| account.private_key.clone());
    let of_sendgrid = |Account { name, secret, path }: Account| SendGridAccount {
        account: name,
        api_key: secret,
        private_key: private_key.clone().unwrap_or_default(),
        event_webhook_url: url(path.clone()),
        inbound_webhook_url: url(format!("{path}/inbound")),
    };
    let sendgrid: Vec<_> = options.sendgrid.iter().cloned().map(of_sendgrid).collect();
    if !twilio.is_empty() {
        config.twilio = twilio;
    }
    if !sendgrid.is_empty() {
        config.sendgrid = sendgrid;
    }
    let listen = listener.local_addr()?;
    if options.announced {
        let public_key = folder.join(options.sendgrid_public_key);
        let public_key = std::path::absolute(&public_key).unwrap_or(public_key);
        announce(listen, &options, &config, &public_key)?;
    }
    let sites = Sites::new(&format!("http://{listen}"), Some(listen.ip()), &options.hosts);
    let serve = async |routes: Router, shutdown| {
        let guard = (sites, CONTROL);
        hatch_api::serve_beside(listener, options.connections, routes, guard, shutdown).await
    };
    Ok(hatch_simulator::run_by(config, serve, shutdown).await?)
}

/// Says where it serves, and with which variables a hatch sends by it. A secret that somebody has set is not said.
fn announce(
    listen: SocketAddr,
    options: &Options,
    config: &Config,
    public_key: &Path,
) -> anyhow::Result<()> {
    let mut said = format!(
        "the simulator serves: http://{listen}\n  what it was sent: http://{listen}/_sim/messages\n  \
         where it posts webhooks (HATCH_PUBLIC_URL): {}\n  a hatch sends by it with:\n",
        options.public_url
    );
    let secret = |variable: &str, secret: &str, own: &[Account]| match own {
        [_, ..] => format!("    # and {variable} as it is set here\n"),
        [] => format!("    export {variable}={secret}\n"),
    };
    let others = config.twilio.iter().skip(1).map(|account| &account.account_sid);
    let others = others.chain(config.sendgrid.iter().skip(1).map(|account| &account.account));
    for other in others {
        said += &format!("    # it knows the account {other} as it is set here, too\n");
    }
    for account in config.twilio.iter().take(1) {
        let sid = &account.account_sid;
        said += &format!("    export HATCH_TWILIO__BASE_URL=http://{listen}\n");
        said += &format!("    export HATCH_TWILIO__ACCOUNT_SID={sid}\n");
        said += &secret("HATCH_TWILIO__AUTH_TOKEN", &account.auth_token, &options.twilio);
    }
    for account in config.sendgrid.iter().take(1) {
        let public_key = public_key.display();
        said += &format!("    export HATCH_SENDGRID__BASE_URL=http://{listen}\n");
        said += &format!("    export HATCH_SENDGRID__EVENT_PUBLIC_KEYS_FILE={public_key}\n");
        said += &secret("HATCH_SENDGRID__API_KEY", &account.api_key, &options.sendgrid);
    }
    std::io::stdout().write_all(said.as_bytes()).context("failed to say where the simulator serves")
}

/// The keys in the data `folder` that SendGrid's webhooks are signed with, made at the first start.
///
/// # Errors
/// They cannot be read or written.
pub fn keys(folder: &Path, sendgrid_public_key: &str) -> anyhow::Result<KeyPair> {
    let (private, public) = (folder.join(SENDGRID_PRIVATE_KEY), folder.join(sendgrid_public_key));
    hatch_simulator::key_pair(&private, &public).context("the simulator's keys")
}
