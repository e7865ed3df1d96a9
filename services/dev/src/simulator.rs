//! The provider simulator, as `up` and `hatch simulator` run it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::Router;
use hatch_api::{Connections, Sites};
use hatch_devservers::make_data_folder;
use hatch_simulator::Config;
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Names the address of the webhook role to the simulator of `up --split`, whose callbacks need not go
/// through the front, as a provider's would not go through one that only sorts by path.
pub const WEBHOOKS: &str = "HATCH_DEVELOPMENT_WEBHOOKS";

/// Where the simulator is told what to do. The rest of it is the providers', whom clients call by other names.
const CONTROL: &str = "/_sim";

/// The simulator's record, in the data folder.
const RECORD: &str = "simulator-messages.ndjson";

/// The files of the keys that are signed with, in the data folder.
const KEYS: &str = "simulator";

/// An account at a provider, as the simulator is to know it.
#[derive(Clone)]
pub struct Account {
    /// Its provider's name.
    pub provider: String,
    /// Hatch's own name for it.
    pub name: String,
    /// What is set for it, secrets included.
    pub settings: Value,
    /// Where its webhooks are posted, below the public URL.
    pub path: String,
}

/// Without its secrets.
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
    /// Where the outside reaches hatch, as the signatures have it.
    pub public_url: String,
    /// Further names that it may be called by.
    pub hosts: Vec<String>,
    /// The accounts that hatch has; of a provider where it has none, those of development.
    pub accounts: Vec<Account>,
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
    let public_url: Url = options.public_url.parse().context("configuration: public_url")?;
    let mut config = Config {
        callbacks_concurrency_max: options.callbacks_max,
        callback_proxy: webhooks.transpose().context(WEBHOOKS)?,
        record_path: Some(folder.join(RECORD)),
        folder: Some(folder.join(KEYS)),
        accounts: options.accounts.iter().map(|account| known(account, &public_url)).collect(),
        ..Config::default()
    };
    config.public_url = public_url;
    let listen = listener.local_addr()?;
    if options.announced {
        keys(&folder)?;
        announce(listen, &options)?;
    }
    let sites = Sites::new(&format!("http://{listen}"), Some(listen.ip()), &options.hosts);
    let serve = async |routes: Router, shutdown| {
        let guard = (sites, CONTROL);
        hatch_api::serve_beside(listener, options.connections, routes, guard, shutdown).await
    };
    Ok(hatch_simulator::run_by(config, serve, shutdown).await?)
}

/// The account as the simulator has it.
fn known(account: &Account, public_url: &Url) -> hatch_simulator::Account {
    let Account { provider, name, settings, path } = account;
    let base = public_url.as_str().trim_end_matches('/');
    let webhooks = format!("{base}{path}").parse().ok();
    let known = hatch_simulator::Account::new(provider, name, settings.clone());
    hatch_simulator::Account { webhooks, ..known }
}

/// Says where it serves, and with which variables a hatch sends by it. A secret that somebody has set is not said.
fn announce(listen: SocketAddr, options: &Options) -> anyhow::Result<()> {
    let mut said = format!(
        "the simulator serves: http://{listen}\n  what it was sent: http://{listen}/_sim/messages\n  \
         where it posts webhooks (HATCH_PUBLIC_URL): {}\n  a hatch sends by it with:\n",
        options.public_url
    );
    let own = |provider: &str| options.accounts.iter().find(|own| own.provider == provider);
    let usual: Vec<_> = hatch_simulator::Account::usual();
    let usual: Vec<_> = usual.iter().filter(|account| own(&account.provider).is_none()).collect();
    let mut first: BTreeMap<&String, &String> = BTreeMap::new();
    let own = options.accounts.iter().map(|account| (&account.provider, &account.name));
    for (provider, name) in own.chain(usual.iter().map(|one| (&one.provider, &one.name))) {
        if first.contains_key(provider) {
            said += &format!("    # it knows the account {name}, too\n");
        } else {
            first.insert(provider, name);
        }
    }
    let is_first =
        |provider: &String, name: &String| first.get(provider).is_some_and(|first| *first == name);
    for account in options.accounts.iter().filter(|one| is_first(&one.provider, &one.name)) {
        let settings = account.settings.as_object().cloned().unwrap_or_default();
        said += &exports(
            listen,
            &options.folder,
            (&account.provider, &account.name),
            (&settings, true),
        );
    }
    for account in usual.iter().filter(|one| is_first(&one.provider, &one.name)) {
        let of = (account.provider.as_str(), account.name.as_str());
        said += &exports(listen, &options.folder, of, (&account.settings, false));
    }
    std::io::stdout().write_all(said.as_bytes()).context("failed to say where the simulator serves")
}

/// The variables of an account, which somebody has set or which is one of development.
fn exports(
    listen: SocketAddr,
    folder: &Path,
    (provider, name): (&str, &str),
    (settings, is_set): (&Map<String, Value>, bool),
) -> String {
    let section = section(provider, name);
    let mut said = format!("    export {section}BASE_URL=http://{listen}\n");
    if name != provider {
        said += &format!("    export {section}PROVIDER={provider}\n");
    }
    let known = hatch_simulator::known_settings(provider);
    // What it signs with is its own, whatever is set; what it takes is what is set, and an account does without the
    // rest.
    for file in known.iter().filter(|known| !(is_set && known.is_secret)) {
        let Some((key, file)) = file.file else { continue };
        let path = folder.join(KEYS).join(file);
        let path = std::path::absolute(&path).unwrap_or(path);
        said += &format!("    export {section}{}={}\n", key.to_uppercase(), path.display());
    }
    for one in known {
        let variable = format!("{section}{}", one.key.to_uppercase());
        let value = settings.get(one.key).and_then(Value::as_str);
        match value {
            Some(_) if is_set && one.is_secret => {
                said += &format!("    # and {variable} as it is set here\n");
            }
            Some(value) if one.file.is_none() => {
                said += &format!("    export {variable}={value}\n")
            }
            _ => {}
        }
    }
    said
}

/// How the variables of an account begin: those of the provider's own section where the account is called as it is.
fn section(provider: &str, name: &str) -> String {
    let variable = |text: &str| text.to_uppercase().replace('-', "_");
    match name == provider {
        true => format!("HATCH_{}__", variable(name)),
        false => format!("HATCH_ACCOUNTS__{}__", variable(name)),
    }
}

/// Makes the key files in the data `folder`, at the first start.
///
/// # Errors
/// They cannot be read or written.
pub fn keys(folder: &Path) -> anyhow::Result<()> {
    hatch_simulator::prepare(&folder.join(KEYS)).context("the simulator's keys")
}
