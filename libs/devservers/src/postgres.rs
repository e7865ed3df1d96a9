//! A private PostgreSQL cluster.

use std::fs::File;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hatch_eventstore::Database;
use hatch_process::{Program, Supervised, is_alive};
use nix::sys::signal::Signal;
use tokio::process::Command;
use tokio::sync::watch;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::account::{Home, make_folder};
use crate::binaries::PostgresInstallation;
use crate::folder::{Folder, write_secret};
use crate::log::LogFile;
use crate::port::free_port;
use crate::{Purpose, READY_MAX, START_ATTEMPTS_MAX, leftover};

/// Between two tries to start a server.
const START_PAUSE: Duration = Duration::from_millis(500);

pub(crate) const PROGRAM: &str = "postgres";
/// The application's superuser and its database.
const HATCH: &str = "hatch";
const PASSWORD_BYTES: usize = 24;
const POLL: Duration = Duration::from_millis(20);
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Fast shutdown ends with a checkpoint, which takes time on a slow disk.
const GRACE: Duration = Duration::from_secs(30);

/// For both purposes. Connections come over TCP alone: the path of a Unix socket may be too long.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_line_prefix=%m [%p] %a ",
    "log_checkpoints=off",
    "jit=off",
    "max_wal_size=2GB",
];
/// The buffers hold the log's index by stream up to some ten million events; memory is taken as it is used.
const SETTINGS_DEVELOPMENT: &[&str] = &["max_connections=200", "shared_buffers=512MB"];
/// Many tests run at once, each on a database of its own.
const SETTINGS_TESTS: &[&str] = &["max_connections=400", "shared_buffers=256MB", "fsync=off"];

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Postgres {
    process: Supervised,
    installation: PostgresInstallation,
    password: String,
    port: u16,
}

impl Postgres {
    /// Starts a cluster that keeps its data in `data`, which is made if need be.
    pub(crate) async fn start(
        folder: &Folder,
        data: &Path,
        purpose: Purpose,
    ) -> anyhow::Result<Self> {
        stop_leftovers(data).await?;
        let home = folder.home();
        let installation = PostgresInstallation::find(version_of_data(data)?)?;
        let password_file = home.path().join("postgres.password");
        if !data.exists() {
            initialise(&installation, home, data, &password_file, purpose).await?;
        }
        remove_foreign_pid_file(data)?;
        let password = std::fs::read_to_string(&password_file)
            .with_context(|| format!("failed to read {}", password_file.display()))?;
        let mut attempt = 1;
        loop {
            let server = Server {
                program: installation.bin.join(PROGRAM),
                home: home.clone(),
                data: data.to_owned(),
                log: folder.log("postgres"),
                port: free_port()?,
                purpose,
            };
            let (port, log) = (server.port, server.log.clone());
            let process = Supervised::start(server)?;
            match ready(&config(port, &password), process.pid()).await {
                Ok(()) => return Ok(Self { process, installation, password, port }),
                Err(error) => {
                    process.stop().await;
                    if attempt == START_ATTEMPTS_MAX {
                        return Err(
                            error.context(format!("failed to start PostgreSQL; {}", log.tail()))
                        );
                    }
                    attempt += 1;
                    // One that was killed a moment ago may not be gone yet, and its file is in the way until then.
                    tokio::time::sleep(START_PAUSE).await;
                    remove_foreign_pid_file(data)?;
                }
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        let (address, port, password) = (Ipv4Addr::LOCALHOST, self.port, &self.password);
        format!("postgres://{HATCH}:{password}@{address}:{port}/{HATCH}")
    }

    pub(crate) fn installation(&self) -> &PostgresInstallation {
        &self.installation
    }

    pub(crate) fn pid(&self) -> watch::Receiver<Option<u32>> {
        self.process.pid()
    }

    pub(crate) async fn stop(self) {
        self.process.stop().await;
    }
}

/// Stops what works on `data`.
pub(crate) async fn stop_leftovers(data: &Path) -> anyhow::Result<()> {
    leftover::stop(PROGRAM, data, Signal::SIGINT).await
}

/// How one postmaster is started.
struct Server {
    program: PathBuf,
    home: Home,
    data: PathBuf,
    log: LogFile,
    port: u16,
    purpose: Purpose,
}

impl Program for Server {
    fn name(&self) -> &str {
        PROGRAM
    }

    fn command(&self) -> std::io::Result<Command> {
        let log = self.log.open()?;
        let mut command = self.home.command(&self.program);
        command.arg("-D").arg(&self.data).args(["-p", &self.port.to_string()]);
        let purpose = match self.purpose {
            Purpose::Development => SETTINGS_DEVELOPMENT,
            Purpose::Tests => SETTINGS_TESTS,
        };
        for setting in SETTINGS.iter().chain(purpose) {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    /// Fast shutdown: connections are ended, transactions rolled back.
    fn stop_signal(&self) -> Signal {
        Signal::SIGINT
    }

    fn grace(&self) -> Duration {
        GRACE
    }

    /// After the kill of a postmaster its backends hold the shared memory until they notice.
    async fn before_restart(&self) {
        if let Err(error) = stop_leftovers(&self.data).await {
            tracing::warn!("{error:#}");
        }
    }
}

/// Makes a cluster at `data`, whole or not at all.
async fn initialise(
    installation: &PostgresInstallation,
    home: &Home,
    data: &Path,
    password_file: &Path,
    purpose: Purpose,
) -> anyhow::Result<()> {
    write_secret(password_file, &random_password()?)?;
    home.give(password_file)?;
    let new = data.with_extension("new");
    let mut last = String::new();
    // The first folds case beyond ASCII and is not on every macOS; both sort by code point.
    for locale in ["C.UTF-8", "C"] {
        if new.exists() {
            std::fs::remove_dir_all(&new).context("failed to remove a half-made cluster")?;
        }
        make_folder(&new, 0o700)?;
        home.give(&new)?;
        let mut command = home.command(&installation.bin.join("initdb"));
        command
            .arg("--pgdata")
            .arg(&new)
            .arg("--pwfile")
            .arg(password_file)
            .args(["--username", HATCH, "--auth", "scram-sha-256", "--encoding", "UTF8"])
            .args(["--locale", locale])
            .args((purpose == Purpose::Tests).then_some("--no-sync"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command.output().await.context("failed to run initdb")?;
        if output.status.success() {
            return std::fs::rename(&new, data).context("failed to put the new cluster in place");
        }
        last = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    bail!("failed to make a PostgreSQL cluster in {}: {last}", new.display())
}

pub(crate) fn random_password() -> anyhow::Result<String> {
    let mut bytes = [0; PASSWORD_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("failed to read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn version_of_data(data: &Path) -> anyhow::Result<Option<u32>> {
    if !data.exists() {
        return Ok(None);
    }
    let file = data.join("PG_VERSION");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("failed to read {}", file.display()))?;
    let major = text.trim().parse();
    Ok(Some(major.with_context(|| format!("failed to understand {}", file.display()))?))
}

/// Removes a `postmaster.pid` whose number now belongs to some other program, which would keep
/// PostgreSQL from starting. In every other case PostgreSQL's own check of it is the better one.
fn remove_foreign_pid_file(data: &Path) -> anyhow::Result<()> {
    let file = data.join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
    if pid.is_some_and(is_alive) && leftover::find(PROGRAM, data)?.is_empty() {
        std::fs::remove_file(&file)
            .with_context(|| format!("failed to remove {}", file.display()))?;
    }
    Ok(())
}

fn config(port: u16, password: &str) -> Database {
    let mut config = Config::new();
    config
        .host(Ipv4Addr::LOCALHOST.to_string())
        .port(port)
        .user(HATCH)
        .password(password)
        .dbname("postgres")
        .application_name("hatch up")
        .ssl_mode(SslMode::Disable)
        .connect_timeout(CONNECT_MAX);
    config.into()
}

/// Waits until the server answers, to a password that no other server knows, and has the database.
async fn ready(config: &Database, mut pid: watch::Receiver<Option<u32>>) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut last = None;
    while start.elapsed() < READY_MAX {
        tokio::select! {
            biased;
            _ = pid.changed() => bail!("it ended"),
            created = create_database(config) => match created {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        tokio::time::sleep(POLL).await;
    }
    let error = last.map_or_else(|| anyhow::anyhow!("no attempt was made"), anyhow::Error::from);
    Err(error.context(format!("it did not answer within {} s", READY_MAX.as_secs())))
}

async fn create_database(config: &Database) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = hatch_eventstore::open(config).await?;
    let session = async {
        let client = client;
        let rows = client.query("SELECT FROM pg_database WHERE datname = $1", &[&HATCH]).await?;
        if rows.is_empty() {
            client.batch_execute(&format!("CREATE DATABASE {HATCH}")).await?;
        }
        Ok(())
    };
    let (created, connection) = tokio::join!(session, connection);
    created.and(connection)
}
