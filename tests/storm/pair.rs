//! A PostgreSQL and its standby: nothing is committed that the standby does not have.

use std::process::Child;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::restore::{Cluster, free_port};
use crate::time::eventually_paced;

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// What both servers run with: enough WAL is kept for a standby that stood still.
const SETTINGS: &[&str] =
    &["wal_keep_size=512MB", "wal_retrieve_retry_interval=200ms", "max_connections=200"];

const WAIT_FOR_STANDBY: &str = "ALTER SYSTEM SET synchronous_standby_names = '*'";
const STREAMS: &str = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
const RECEIVER: &str = "SELECT pid::bigint FROM pg_stat_wal_receiver";
const IN_RECOVERY: &str = "SELECT pg_is_in_recovery()::int::bigint";
const BACKENDS: &str = "SELECT pid::bigint FROM pg_stat_activity \
     WHERE application_name LIKE 'hatch%' ORDER BY pid";

pub(crate) struct Pair {
    pub(crate) primary: Cluster,
    /// The primary's data folder.
    data: String,
    standby: Standby,
    /// Standbys made so far, which names their folders.
    made: usize,
}

struct Standby {
    /// None once it is the primary.
    server: Option<Child>,
    port: u16,
    data: String,
}

impl Standby {
    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            signal(server.id().into(), Signal::SIGQUIT);
            // It may have ended by itself.
            let _ = server.wait();
        }
    }
}

impl Pair {
    pub(crate) async fn start() -> Self {
        let primary = Cluster::start_with(SETTINGS).await;
        // Not in force before it is read again; the standby has it from the beginning, for when it is the primary.
        primary.connect().await.batch_execute(WAIT_FOR_STANDBY).await.expect("set");
        let standby = standby(&primary, "standby1").await;
        primary.connect().await.batch_execute("SELECT pg_reload_conf()").await.expect("read");
        let pair = Self { primary, data: "data".to_owned(), standby, made: 1 };
        pair.until_it_streams().await;
        pair
    }

    /// Kills the primary and starts it again with what it left.
    pub(crate) async fn crash(&mut self) {
        let port = self.primary.port;
        self.primary.end(Signal::SIGKILL);
        self.primary.serve(&self.data, Some(port)).await;
    }

    /// Kills the primary for good; the standby takes its place, and a new one is made.
    pub(crate) async fn fail_over(&mut self) {
        self.until_it_streams().await;
        self.primary.end(Signal::SIGKILL);
        let (port, data) = (self.standby.port, self.standby.data.clone());
        self.primary.run("pg_ctl", &["promote", "-D", &data, "-w"]);
        self.made += 1;
        let lost = std::mem::replace(&mut self.data, data);
        self.primary.port = port;
        let name = format!("standby{}", self.made);
        let next = standby(&self.primary, &name).await;
        let mut promoted = std::mem::replace(&mut self.standby, next);
        self.primary.server = promoted.server.take();
        self.primary.run("rm", &["-r", &lost]);
        self.until_it_streams().await;
    }

    /// The process by which the standby hears of the primary.
    pub(crate) async fn receiver(&self) -> Option<i64> {
        ask(&self.standby.url(), RECEIVER).await?.first().copied()
    }

    /// The processes by which hatch is served.
    pub(crate) async fn backends(&self) -> Vec<i64> {
        ask(&self.primary.url(), BACKENDS).await.unwrap_or_default()
    }

    /// The first column of a query, if the primary answers it.
    pub(crate) async fn rows(&self, sql: &str) -> Option<Vec<i64>> {
        ask(&self.primary.url(), sql).await
    }

    /// Waits until the standby has all that is committed.
    pub(crate) async fn until_it_streams(&self) {
        until("the standby streams", async || {
            self.rows(STREAMS).await.is_some_and(|count| count == [1])
        })
        .await;
    }
}

async fn standby(primary: &Cluster, data: &str) -> Standby {
    let from = primary.port.to_string();
    let from = ["-h", "127.0.0.1", "-p", &from, "-U", "postgres"];
    let options = ["-D", data, "-R", "-c", "fast", "--no-sync"];
    primary.run("pg_basebackup", &[&options[..], &from].concat());
    let port = free_port();
    let mut command = primary.command(&primary.bin.join("postgres"));
    command.arg("-D").arg(primary.folder.join(data)).args(["-p", &port.to_string()]);
    primary.configure(&mut command);
    let server = command.stderr(super::world::log(data)).spawn().expect("it starts");
    let standby = Standby { server: Some(server), port, data: data.to_owned() };
    until("the standby is up", async || {
        ask(&standby.url(), IN_RECOVERY).await.is_some_and(|rows| rows == [1])
    })
    .await;
    standby
}

async fn ask(url: &str, sql: &str) -> Option<Vec<i64>> {
    let config: hatch_eventstore::Database = url.parse().expect("a URL");
    let asked = async {
        let client = hatch_eventstore::connect(&config).await.ok()?;
        let rows = client.query(sql, &[]).await.ok()?;
        Some(rows.iter().map(|row| row.get(0)).collect())
    };
    tokio::time::timeout(Duration::from_secs(5), asked).await.ok()?
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    eventually_paced(POLL, PATIENCE, what, holds).await;
}

/// Sends a signal to a process, if it is still there.
pub(crate) fn signal(pid: i64, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"));
    // Whoever is to be signalled may have ended.
    let _ = kill(pid, signal);
}
