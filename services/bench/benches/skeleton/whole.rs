//! hatch in the place of the bare path, and its simulator in the place of the provider.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hatch_bus::testing::TestBus;
use hatch_devservers::free_port;

use crate::Running;

/// What is to be counted.
pub(crate) const COUNT_DELIVERED: &str =
    "SELECT count(*) FROM rm_messages_v1.message_states WHERE status = 'delivered'";
/// How long it may take to start.
const START_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// The program, where cargo puts it: above the folder of this one.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("this program is in no folder")?;
    let program = folder.join("hatch");
    anyhow::ensure!(program.exists(), "{} is not built", program.display());
    Ok(program)
}

/// hatch as a process and its simulator as another, until this value is dropped.
pub(crate) struct Hatch {
    _roles: Running,
    _simulator: Running,
    pub(crate) address: String,
}

impl Hatch {
    /// `roles` in one process, on a database without schemas.
    pub(crate) async fn start(
        roles: &str,
        database: &str,
        bus: &TestBus,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let simulator = format!("127.0.0.1:{}", free_port()?);
        let program = program()?;
        let hatch = || {
            let mut command = Command::new(&program);
            command
                .current_dir(folder)
                .stdout(Stdio::null())
                .env("HATCH_DATABASE_URL", database)
                .env("HATCH_NATS_URL", &bus.settings().url)
                .env("HATCH_BUS__PREFIX", &bus.settings().prefix)
                .env("HATCH_LISTEN", &address)
                .env("HATCH_SIMULATOR_LISTEN", &simulator)
                // The accounts and waits of `up`.
                .env("HATCH_DEVELOPMENT_SIMULATOR", format!("http://{simulator}"))
                // It is asked how much it can do, not how it says that this is too much.
                .env("HATCH_ADMISSION__ENABLED", "false");
            command
        };
        let migrated = hatch().arg("migrate").output()?;
        anyhow::ensure!(migrated.status.success(), "hatch migrate: {migrated:?}");
        let running = Self {
            _simulator: Running(hatch().arg("simulator").spawn()?),
            _roles: Running(hatch().args(["serve", "--roles", roles]).spawn()?),
            address,
        };
        running.ready().await?;
        Ok(running)
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let http = hatch::http_client(START_MAX)?;
        let deadline = Instant::now() + START_MAX;
        loop {
            let answer = http.get(format!("http://{}/ready", self.address)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let late = Instant::now() > deadline;
            anyhow::ensure!(!late, "hatch is not ready after {START_MAX:?}");
            tokio::time::sleep(POLL).await;
        }
    }
}
