//! The commands of development: `up`, `simulator` and `demo`, with what the settings have for them.
//!
//! They are in a crate of their own, and this is in the program only by the feature `dev`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use hatch_dev::demo::{self, Demo};
use hatch_dev::up::{self, Application, Options, SplitRole, UpLocations};
use hatch_dev::{Names, simulator};
use hatch_devservers::make_data_folder;
use hatch_domain::Channel;
use hatch_domain::account_name::AccountName;
use hatch_process::{Servers, stop_on_signal, stop_with_parent, stop_with_terminal_or_read_again};
use hatch_providers::{Common, carriers_of, webhook_path};
use hatch_seal::MasterKey;
use hatch_telemetry::limit::Limits;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::commands::migrate;
use crate::reload::{self, Reload, Reloader};
use crate::roles::{self, Parts, Role};
use crate::settings::{DEVELOPMENT, MASTER_KEY_OF_UP, Settings};
use crate::{cli, files, http_client, limits, threads};

/// How long an accepted message may have to wait before others are refused: on a developer's machine, as
/// long as it takes. Processes of their own are there to see how it is elsewhere.
const WAIT_MS: u64 = 60_000;

/// How many messages may come at once before it is known how fast they go: as long a wait at a thousand a
/// second.
const BURST: u64 = 60_000;

/// The networks that the front of `up --split` is in.
const LOOPBACK: &str = "127.0.0.0/8,::1";

/// Everything on one machine, until a signal asks for the end.
pub(crate) async fn run(settings: Settings, split: bool) -> anyhow::Result<()> {
    let (stop, hang_ups) = (CancellationToken::new(), Arc::new(Notify::new()));
    let told = Arc::clone(&hang_ups);
    stop_with_terminal_or_read_again(&stop, move || told.notify_one())?;
    refuse_bad(&settings)?;
    let trusted_proxies = roles::trusted_proxies(&settings)?;
    let names = roles::sites(&settings).with_cors(roles::cors(&settings)?);
    // Each connection goes on to a role by another.
    let connections =
        limits::connections(&settings.limits, &Limits::default(), 2, trusted_proxies.clone())
            .explained_by(&names);
    let options = Options {
        folder: settings.data_dir.clone(),
        listen: address(&settings.listen, "listen")?,
        simulator_listen: address(&settings.simulator_listen, "simulator_listen")?,
        database_url: settings.database_url.clone(),
        nats_url: settings.nats_url.clone(),
        deployment: settings.deployment.clone(),
        database_host: settings.database_host.clone(),
        names: Names { sites: names, trusted_proxies },
        connections,
        roles: Role::ALL
            .map(|role| SplitRole { name: role.as_str(), requests: role.requests() })
            .into(),
        split,
        program: std::env::current_exe().context("failed to find this program")?,
        hang_ups: Arc::clone(&hang_ups),
    };
    make_data_folder(&settings.data_dir)?;
    simulator::keys(&settings.data_dir)?;
    up::run(Development { public_url: settings.public_url, hang_ups }, options, &stop).await
}

/// Refuses what no server is needed for to see that nothing starts with it.
fn refuse_bad(settings: &Settings) -> anyhow::Result<()> {
    anyhow::ensure!(
        settings.tls.certificate_file.is_none() && settings.tls.key_file.is_none(),
        "configuration: tls: hatch up speaks HTTP in the clear on this machine: `hatch serve` speaks TLS"
    );
    let mut settings = settings.clone();
    settings.database_url.get_or_insert_with(|| "postgres://127.0.0.1".to_owned());
    settings.nats_url.get_or_insert_with(|| "nats://127.0.0.1".to_owned());
    roles::refusals(&settings).into_iter().next().map_or(Ok(()), Err)
}

/// The simulator alone, until a signal asks for the end.
pub(crate) async fn simulate(settings: &Settings) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    stop_on_signal(&shutdown)?;
    stop_with_parent(&shutdown);
    // A child of `up --split` has nobody to say it to.
    let announced = std::env::var_os(DEVELOPMENT).is_none();
    // Accounts that are set may name the files of keys that it makes.
    make_data_folder(&settings.data_dir)?;
    simulator::keys(&settings.data_dir)?;
    let options = simulator::Options { announced, ..simulator_options(settings)? };
    simulator::run(options, shutdown).await
}

fn simulator_options(settings: &Settings) -> anyhow::Result<simulator::Options> {
    Ok(simulator::Options {
        listen: address(&settings.simulator_listen, "simulator_listen")?,
        folder: settings.data_dir.clone(),
        public_url: settings.public_url(),
        hosts: settings.hosts.clone(),
        accounts: simulated(settings)?,
        announced: false,
        callbacks_max: files::share(simulator::Options::usual_callbacks_max()),
        connections: limits::beside(),
    })
}

/// The accounts that the simulator is to know, with what is set of them: those of the sections, and those by name that
/// are not at the provider itself.
fn simulated(settings: &Settings) -> anyhow::Result<Vec<simulator::Account>> {
    let (context, mut accounts) = (roles::account_context(settings), Vec::new());
    for (text, set) in &settings.accounts {
        let section = || format!("configuration: accounts.{text}");
        let provider = set.provider(text).with_context(section)?;
        let name: AccountName = text.parse()?;
        let read = set.read(provider).with_context(section)?;
        let is_there = || -> anyhow::Result<bool> {
            let made = provider.account(&name, Common::default(), read.clone(), &context);
            match made {
                Ok(made) => Ok(made.is_at_provider),
                // It may lack what only a hatch needs, such as the keys of receipts.
                Err(_) if read.get("base_url").is_some() => Ok(false),
                Err(error) => Err(error).with_context(section),
            }
        };
        // Whoever runs a simulator with a section means that account of it, which may lack what only a hatch needs.
        if set.is_section || !is_there()? {
            let path = webhook_path(provider.name(), &name, None);
            let (provider, name) = (provider.name().to_owned(), text.clone());
            accounts.push(simulator::Account { provider, name, settings: read, path });
        }
    }
    Ok(accounts)
}

/// Shows the main path on the `hatch up` of this folder, or the one that the flags name.
pub(crate) async fn demonstrate(settings: &Settings, flags: cli::Demo) -> anyhow::Result<()> {
    let running = Servers::read(&settings.data_dir)?.unwrap_or_default();
    let demo = Demo {
        http: http_client(demo::REQUEST_MAX)?,
        url: flags.url.or(running.url).unwrap_or_else(|| format!("http://{}", settings.listen)),
        simulator: flags
            .simulator
            .or(running.simulator_url)
            .unwrap_or_else(|| format!("http://{}", settings.simulator_listen)),
        provider: carriers_of(Channel::Sms).first().copied().unwrap_or_default(),
    };
    demo::run(demo).await
}

struct Development {
    /// As it was set, if it was.
    public_url: Option<String>,
    /// Told each time that the roles in this process are to read their settings again.
    hang_ups: Arc<Notify>,
}

impl Development {
    /// Reads the settings again, each time that somebody asks for it. It never ends.
    async fn read_again(&self, to: &Reloader, place: &UpLocations) -> anyhow::Result<()> {
        loop {
            self.hang_ups.notified().await;
            reload::read_again(to, || in_one_process(place));
        }
    }
}

impl Application for Development {
    fn check(&self, place: &UpLocations) -> anyhow::Result<()> {
        // The folder is this process's alone by now.
        if settings(place)?.master_key.is_none() {
            make_master_key(&place.folder)?;
        }
        roles::check(&settings(place)?)
    }

    async fn migrate(&self, place: &UpLocations) -> anyhow::Result<()> {
        migrate::migrate(&settings(place)?).await
    }

    async fn serve(
        self: Arc<Self>,
        place: UpLocations,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let settings = in_one_process(&place)?;
        let listener = TcpListener::bind(place.listen)
            .await
            .with_context(|| format!("failed to listen on {}", place.listen))?;
        let (again, reload) = Reload::of(settings.clone());
        let parts = Parts { reload: Some(reload), ..Parts::default() };
        let roles = BTreeSet::from(Role::ALL);
        tokio::select! {
            ended = roles::run_with(&settings, &roles, parts, listener, shutdown) => ended,
            ended = self.read_again(&again, &place) => ended,
        }
    }

    async fn simulate(
        self: Arc<Self>,
        place: UpLocations,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let options = simulator_options(&settings(&place)?)?;
        simulator::run(simulator::Options { folder: place.folder, ..options }, shutdown).await
    }

    fn environment(&self, place: &UpLocations) -> Vec<(OsString, OsString)> {
        // A child listens elsewhere; the outside knows this address only.
        let public_url =
            self.public_url.clone().unwrap_or_else(|| format!("http://{}", place.listen));
        // The front, which tells them the client's address, comes by the loopback.
        let mut variables = vec![
            ("HATCH_TRUSTED_PROXIES".into(), LOOPBACK.into()),
            (DEVELOPMENT.into(), simulator_url(place).into()),
            ("HATCH_PUBLIC_URL".into(), public_url.into()),
        ];
        variables.extend(threads::setting());
        variables
    }
}

/// Makes the master key that `up` has where none is set, unless there is one of an earlier start.
fn make_master_key(folder: &Path) -> anyhow::Result<()> {
    let key = MasterKey::draw().context("failed to draw a master key")?;
    let (path, draft) = (folder.join(MASTER_KEY_OF_UP), folder.join("master.key.new"));
    let write = || -> std::io::Result<()> {
        // What an earlier one sealed nobody could read again.
        if path.try_exists()? {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&draft)?;
        file.write_all(key.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, &path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}

/// The settings of `up`, with what `up` chose.
fn settings(place: &UpLocations) -> anyhow::Result<Settings> {
    let mut settings = Settings::load_development(&simulator_url(place), place.listen)?;
    settings.database_url = Some(place.database_url.clone());
    settings.nats_url = Some(place.nats_url.clone());
    settings.simulator_listen = place.simulator_listen.to_string();
    Ok(settings)
}

/// The same, for all roles in one process.
fn in_one_process(place: &UpLocations) -> anyhow::Result<Settings> {
    let mut settings = settings(place)?;
    settings.admission.wait_ms.get_or_insert(WAIT_MS);
    settings.admission.burst.get_or_insert(BURST);
    Ok(settings)
}

fn simulator_url(place: &UpLocations) -> String {
    format!("http://{}", place.simulator_listen)
}

/// An address of this machine only: in development nobody has to say who he is.
fn address(text: &str, key: &str) -> anyhow::Result<SocketAddr> {
    let address: SocketAddr = text.parse().with_context(|| {
        format!("configuration: {key}: expected ADDRESS:PORT such as 127.0.0.1:8080, got {text:?}")
    })?;
    anyhow::ensure!(
        address.ip().is_loopback(),
        "configuration: {key}: hatch up lets everybody in, so it listens on loopback only, not on {}: `hatch serve` \
         listens elsewhere",
        address.ip()
    );
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_is_made_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = || std::fs::read(folder.path().join(MASTER_KEY_OF_UP)).expect("it is there");
        make_master_key(folder.path()).expect("made");
        let first = read();
        make_master_key(folder.path()).expect("there is one");
        assert_eq!(read(), first);
    }
}
