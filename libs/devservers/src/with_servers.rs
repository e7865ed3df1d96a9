//! `hatch with-servers -- COMMAND`: runs a command with servers of its own, such as a test run.
//!
//! PostgreSQL and nats-server start in a fresh temporary folder; the command finds them by its
//! environment; both and the folder are gone when it ends, however it ends. What a run that was
//! killed left behind is cleared away by the next one. A server that the environment names already
//! (`HATCH_TEST_...`, else `HATCH_...`) is used and not started.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hatch_process::{StopSignals, signal};
use nix::sys::signal::Signal;
use tokio::process::Child;

use crate::{Embedded, Folder, NatsServer, Options, PostgresInstallation, Purpose};

/// `postgres://` URL of a superuser.
pub const TEST_DATABASE_URL: &str = "HATCH_TEST_DATABASE_URL";
/// `nats://` URL.
pub const TEST_NATS_URL: &str = "HATCH_TEST_NATS_URL";
/// The nats-server program, for tests that kill one of their own.
pub const TEST_NATS_SERVER: &str = "HATCH_TEST_NATS_SERVER";
/// The folder of `postgres` and `initdb`, likewise.
pub const TEST_POSTGRES_BIN: &str = "HATCH_TEST_POSTGRES_BIN";

/// Names the temporary folders, by which a later run finds forgotten ones.
const FOLDER_PREFIX: &str = "hatch-servers-";
/// How long the command may take to end after a signal.
const GRACE: Duration = Duration::from_secs(10);

/// Runs `command` (a program and its arguments) and returns its exit code; one that a signal ended
/// gives 128 + the signal's number, as in a shell. Only if they are `durable` do the servers wait for the
/// disk.
///
/// # Errors
/// The servers or the command cannot be started.
pub async fn run(command: &[OsString], durable: bool) -> anyhow::Result<ExitCode> {
    let (program, arguments) = command.split_first().context("no command was given")?;
    let mut signals = StopSignals::new()?;
    clear_forgotten(&std::env::temp_dir()).await;
    let temporary = tempfile::Builder::new()
        .prefix(FOLDER_PREFIX)
        .tempdir()
        .context("failed to make a temporary folder")?;
    open_to_servers(temporary.path())?;
    let folder = Arc::new(Folder::lock(temporary.path())?);
    let options = Options {
        purpose: if durable { Purpose::Development } else { Purpose::Tests },
        database_url: given(TEST_DATABASE_URL, "HATCH_DATABASE_URL"),
        nats_url: given(TEST_NATS_URL, "HATCH_NATS_URL"),
    };
    let embedded = tokio::select! {
        embedded = Embedded::start(&folder, options) => embedded?,
        signal = signals.next() => {
            Embedded::stop_leftovers(&folder).await?;
            return Ok(exit_code_of(signal));
        }
    };
    let status = match started(program, arguments, &embedded) {
        Ok(mut child) => wait(&mut child, &mut signals).await,
        Err(error) => Err(error),
    };
    embedded.stop().await;
    status.map(exit_code)
}

fn started(
    program: &OsString,
    arguments: &[OsString],
    embedded: &Embedded,
) -> anyhow::Result<Child> {
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .env(TEST_DATABASE_URL, embedded.database_url())
        .env(TEST_NATS_URL, embedded.nats_url());
    // Where a server was given, its program may be missing; a test that needs it says so.
    if let Some(nats) = embedded.nats_server().or_else(|| NatsServer::find().ok()) {
        command.env(TEST_NATS_SERVER, nats.program);
    }
    let postgres = embedded.postgres_installation();
    if let Some(postgres) = postgres.or_else(|| PostgresInstallation::find(None).ok()) {
        command.env(TEST_POSTGRES_BIN, postgres.bin);
    }
    command.spawn().with_context(|| format!("failed to run {}", program.display()))
}

/// The first of two settings that says something.
fn given(first: &str, second: &str) -> Option<String> {
    [first, second]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|url| !url.is_empty())
}

/// Waits for the command's own end. It gets the signals that we get; Ctrl-C reaches it from the
/// terminal already, and a second one would make many programs skip their own cleaning up.
async fn wait(child: &mut Child, signals: &mut StopSignals) -> anyhow::Result<ExitStatus> {
    let received = tokio::select! {
        status = child.wait() => return status.context("failed to wait for the command"),
        received = signals.next() => received,
    };
    if let Some(pid) = child.id()
        && received != Signal::SIGINT
    {
        signal(pid, received);
    }
    if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
        return status.context("failed to wait for the command");
    }
    child.kill().await.context("failed to kill the command")?;
    child.wait().await.context("failed to wait for the command")
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn exit_code_of(signal: Signal) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal as i32).unwrap_or(1))
}

/// The servers' account passes through; what is inside protects itself.
fn open_to_servers(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711))
        .context("failed to open the temporary folder to the servers")
}

/// Stops the servers of runs that were killed and removes their folders. A failure here is not the
/// present run's.
async fn clear_forgotten(temporary: &Path) {
    for path in forgotten(temporary) {
        // A run that is alive holds the lock.
        if let Ok(folder) = Folder::lock(&path) {
            match Embedded::stop_leftovers(&folder).await {
                Ok(()) => drop(std::fs::remove_dir_all(&path)),
                Err(error) => tracing::warn!("{error:#}"),
            }
        }
    }
}

/// Folders of runs of this account. One without a process id in its lock is just being made.
fn forgotten(temporary: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;

    let Ok(entries) = std::fs::read_dir(temporary) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(FOLDER_PREFIX))
        .filter(|entry| {
            let own = nix::unistd::geteuid().as_raw();
            entry.metadata().is_ok_and(|entry| entry.is_dir() && entry.uid() == own)
        })
        .map(|entry| entry.path())
        .filter(|path| Folder::was_locked(path))
        .collect()
}
