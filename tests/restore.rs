//! Restored, cloned and crashed databases: real clusters, real base backups.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hatch::roles::Role;
use hatch::settings::Settings;
use hatch_eventstore::Connected;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::dispatch::NOBODY_DISPATCHES;
use crate::harness::{CUSTOMER, Hatch};
use crate::time::{eventually, paced};

const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

const HEAD: &str = "SELECT coalesce(max(position), 0) FROM es.events";

/// A PostgreSQL of one test, whose data can be copied and moved while it is stopped.
pub(crate) struct Cluster {
    pub(crate) bin: PathBuf,
    /// The folder that the data folders lie in; theirs who run the server.
    pub(crate) folder: PathBuf,
    account: Option<(u32, u32)>,
    /// What it is configured with, beyond what all are.
    settings: &'static [&'static str],
    pub(crate) port: u16,
    pub(crate) server: Option<Child>,
    _temporary: TempDir,
}

impl Cluster {
    /// A running cluster with the data folder `data` and hatch's schema.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with `settings` of the server.
    pub(crate) async fn start_with(settings: &'static [&'static str]) -> Self {
        let bin = std::env::var("HATCH_TEST_POSTGRES_BIN");
        let bin = bin.expect("HATCH_TEST_POSTGRES_BIN is not set: run the tests with ./dev test");
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let open = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(temporary.path(), open).expect("the mode");
        let folder = temporary.path().join("clusters");
        std::fs::create_dir(&folder).expect("a folder");
        let account = geteuid().is_root().then(|| {
            let found =
                ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok()?);
            let user = found.expect("an account that is not root's");
            (user.uid.as_raw(), user.gid.as_raw())
        });
        if let Some((uid, gid)) = account {
            chown(&folder, Some(uid), Some(gid)).expect("given away");
        }
        let bin = PathBuf::from(bin);
        let mut cluster =
            Self { bin, folder, account, settings, port: 0, server: None, _temporary: temporary };
        cluster.run("initdb", &["-D", "data", "-A", "trust", "-U", "postgres", "--no-sync"]);
        cluster.serve("data", None).await;
        let mut client = cluster.connect().await;
        for schema in hatch::schemas() {
            schema.migrate(&mut client).await.expect("migrated");
        }
        cluster
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Runs a program of PostgreSQL, or of the system, in the folder of the data folders.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        let own = self.bin.join(program);
        let program = if own.exists() { own } else { PathBuf::from(program) };
        let mut command = self.command(&program);
        let output = command.args(arguments).stderr(Stdio::piped()).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {error}", program.display());
    }

    /// Starts the server on `data`, on `port` or a free one, and waits until it takes writes.
    pub(crate) async fn serve(&mut self, data: &str, port: Option<u16>) {
        self.serve_until(data, port, false).await;
    }

    /// The same, until it is a standby or takes writes.
    async fn serve_until(&mut self, data: &str, port: Option<u16>, standby: bool) {
        let (deadline, mut looks) = (Instant::now() + PATIENCE, paced(POLL));
        loop {
            looks.tick().await;
            self.port = port.unwrap_or_else(free_port);
            let mut command = self.command(&self.bin.join("postgres"));
            let port = self.port.to_string();
            command.arg("-D").arg(self.folder.join(data)).args(["-p", &port]);
            self.configure(&mut command);
            let mut server = command.stderr(Stdio::null()).spawn().expect("it starts");
            while server.try_wait().expect("ours").is_none() {
                if self.is_standby().await == Some(standby) {
                    self.server = Some(server);
                    return;
                }
                assert!(Instant::now() < deadline, "no server within {PATIENCE:?}");
                looks.tick().await;
            }
            // The port was taken, or a killed one's children still hold its memory.
            assert!(Instant::now() < deadline, "no server within {PATIENCE:?}");
        }
    }

    pub(crate) fn configure(&self, command: &mut Command) {
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=32MB",
            "fsync=off",
        ]
        .iter()
        .chain(self.settings)
        {
            command.args(["-c", setting]);
        }
    }

    /// None when it does not answer.
    async fn is_standby(&self) -> Option<bool> {
        let config = self.url().parse().expect("a URL");
        let client = hatch_eventstore::connect(&config).await.ok()?;
        let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await;
        row.ok().map(|row| row.get(0))
    }

    /// A standby of this one, in the same folder, that has all that is committed here by now.
    pub(crate) async fn standby(&self) -> Self {
        self.base_backup("standby", &["-R"]);
        let head = self.count(HEAD).await;
        let mut standby = Self {
            bin: self.bin.clone(),
            folder: self.folder.clone(),
            account: self.account,
            settings: self.settings,
            port: 0,
            server: None,
            _temporary: tempfile::tempdir().expect("a temporary folder"),
        };
        standby.serve_until("standby", None, true).await;
        eventually("the standby follows", async || standby.count(HEAD).await >= head).await;
        standby
    }

    /// Makes a primary of a standby.
    pub(crate) async fn promote(&self) {
        let promoted = "SELECT pg_promote()::int::bigint";
        assert_eq!(self.count(promoted).await, 1, "it is promoted");
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) async fn connect(&self) -> Connected {
        let config = self.url().parse().expect("a URL");
        hatch_eventstore::connect(&config).await.expect("connects")
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.connect().await.query_one(sql, &[]).await.expect("a row").get(0)
    }

    pub(crate) fn end(&mut self, signal: Signal) {
        if let Some(mut server) = self.server.take() {
            let pid = Pid::from_raw(i32::try_from(server.id()).expect("a process id"));
            kill(pid, signal).expect("ours");
            server.wait().expect("ours");
        }
    }

    /// Takes a base backup of the running server into the folder `to`.
    fn back_up(&self, to: &str) {
        self.base_backup(to, &[]);
    }

    fn base_backup(&self, to: &str, more: &[&str]) {
        let port = self.port.to_string();
        let from = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres"];
        let how = ["-D", to, "-c", "fast", "--no-sync"];
        self.run("pg_basebackup", &[&how[..], more, &from].concat());
    }

    /// Has the server, when it starts on `data`, end its recovery as soon as it can, on a timeline of
    /// its own.
    fn recover_to_a_new_timeline(&self, data: &str) {
        let script = format!(
            "touch {data}/recovery.signal && printf '%s\\n' \"restore_command = 'false'\" \
             \"recovery_target = 'immediate'\" \"recovery_target_action = 'promote'\" \
             >> {data}/postgresql.auto.conf"
        );
        self.run("sh", &["-c", &script]);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end(Signal::SIGQUIT);
    }
}

pub(crate) fn free_port() -> u16 {
    hatch_devservers::free_port().expect("a free port")
}

/// Waits so short that what is left to the sweeper is due at once.
fn on(cluster: &Cluster) -> impl FnOnce(&mut Settings) {
    let url = cluster.url();
    move |settings| {
        settings.database_url = Some(url);
        settings.dispatcher.timers_lag_ms = 200;
        settings.dispatcher.delivery_grace_ms = 300;
    }
}

async fn deliver(hatch: &Hatch, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(hatch.send_sms(CUSTOMER, &format!("number {n}")).await);
    }
    for id in &ids {
        hatch.message_with_status(id, "delivered").await;
    }
    ids
}

/// What `/ready` says of the fence, once it is not open.
async fn closed(hatch: &Hatch, code: &str) -> String {
    let what = format!("/ready says {code}");
    hatch
        .eventually(&what, async |hatch| {
            let ready = hatch.get("/ready").await;
            let detail = ready.body["dependencies"]["fence"]["detail"].as_str()?.to_owned();
            assert_eq!(
                (ready.status, &ready.body["status"]),
                (StatusCode::OK, &Value::from("degraded"))
            );
            (detail.starts_with(code) && detail.contains("hatch fence lift")).then_some(detail)
        })
        .await
}

/// Waits until messages are overdue that a sweeper would have taken.
pub(crate) async fn overdue(hatch: &Hatch, cluster: &Cluster, messages: i64) {
    hatch
        .eventually("messages are overdue", async |_| {
            let overdue = "SELECT count(*) FROM due.timers WHERE look_at < now() - interval '1 s'";
            (cluster.count(overdue).await >= messages).then_some(())
        })
        .await;
}

pub(crate) async fn lift(database_url: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hatch"))
        .args(["fence", "lift"])
        .current_dir(folder.path())
        .env("HATCH_DATABASE_URL", database_url)
        .output()
        .await
        .expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// From a restored database that sends nothing to one that goes on: `restore` puts the backup in
/// place and says which data folder is to be served; `change` is what is then found.
async fn restored(restore: impl FnOnce(&Cluster) -> &'static str, change: &str) {
    let mut cluster = Cluster::start().await;
    let mut hatch = Hatch::start_with(&Role::ALL, on(&cluster)).await;
    let mut sent = deliver(&hatch, 3).await;
    cluster.back_up("backup");
    let lost = deliver(&hatch, 3).await;
    sent.extend(lost.clone());
    hatch.stop().await;
    cluster.end(Signal::SIGINT);

    let data = restore(&cluster);
    cluster.serve(data, None).await;
    hatch.settings.database_url = Some(cluster.url());
    hatch.start_again(&Role::ALL).await;
    let detail = closed(&hatch, "FENCED").await;
    assert!(detail.contains(change), "{detail}");
    let metrics = hatch.get("/metrics").await;
    let metrics = metrics.body.as_str().expect("text");
    assert!(metrics.contains("hatch_fence_closed{reason=\"FENCED\"} 1"), "{metrics}");

    // More than were lost: the log reaches every position again that the bus has.
    let mut waiting = Vec::new();
    for n in 0..20 {
        waiting.push(hatch.send_sms(CUSTOMER, &format!("while fenced {n}")).await);
    }
    for id in &waiting {
        hatch.message_with_status(id, "queued").await;
    }
    overdue(&hatch, &cluster, 20).await;
    hatch.assert_each_sent_once(&sent).await;

    let said = lift(&cluster.url()).await;
    assert!(said.contains(change) && said.contains("epoch 2 of the log begins"), "{said}");
    for id in &waiting {
        hatch.message_with_status(id, "delivered").await;
    }
    sent.extend(waiting);
    sent.extend(deliver(&hatch, 3).await);
    hatch.assert_each_sent_once(&sent).await;
    for id in &lost {
        let answer = hatch.get(&format!("/api/v1/messages/{id}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "it is lost: {}", answer.body);
    }
    hatch
        .eventually("the next generation carries the new epoch", async |_| {
            let carried =
                "SELECT count(*) FROM es.bus_generations WHERE generation = 2 AND epoch = 2";
            (cluster.count(carried).await == 1).then_some(())
        })
        .await;
    let ready = hatch.get("/ready").await;
    assert_eq!(ready.body["status"], "ready", "{}", ready.body);
    let said = lift(&cluster.url()).await;
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(cluster.count("SELECT count(*) FROM es.log_epoch").await, 2);
    hatch.finish().await;
}

#[tokio::test]
async fn a_base_backup_restored_elsewhere_sends_nothing_until_the_fence_is_lifted() {
    restored(|_| "backup", "data directory was").await;
}

#[tokio::test]
async fn a_restore_to_a_point_in_time_in_the_same_place_sends_nothing_until_the_fence_is_lifted() {
    let restore = |cluster: &Cluster| {
        cluster.run("mv", &["data", "lost"]);
        cluster.run("mv", &["backup", "data"]);
        cluster.recover_to_a_new_timeline("data");
        "data"
    };
    restored(restore, "timeline was 1 and is 2").await;
}

#[tokio::test]
async fn files_put_back_under_a_running_hatch_send_nothing_until_the_fence_is_lifted() {
    let mut cluster = Cluster::start().await;
    let mut hatch = Hatch::start_with(NOBODY_DISPATCHES, on(&cluster)).await;
    let (pending, canceled) = (
        hatch.send_sms(CUSTOMER, "requested before the backup").await,
        hatch.send_sms(CUSTOMER, "likewise").await,
    );
    let port = cluster.port;
    cluster.end(Signal::SIGINT);
    cluster.run("cp", &["-a", "data", "copy"]);
    cluster.serve("data", Some(port)).await;
    hatch.start_more(&[Role::Dispatcher]).await;
    for id in [&pending, &canceled] {
        hatch.message_with_status(id, "delivered").await;
    }
    let mut sent = vec![pending.clone(), canceled.clone()];
    sent.extend(deliver(&hatch, 3).await);

    // The same server in the same place, as far as it can tell: only who was there before knows.
    cluster.end(Signal::SIGINT);
    cluster.run("mv", &["data", "lost"]);
    cluster.run("mv", &["copy", "data"]);
    cluster.serve("data", Some(port)).await;
    closed(&hatch, "LOG_REGRESSED").await;
    let waiting = hatch.send_sms(CUSTOMER, "while fenced").await;
    hatch.message_with_status(&waiting, "queued").await;
    hatch.message_with_status(&pending, "queued").await;
    overdue(&hatch, &cluster, 3).await;
    hatch.assert_each_sent_once(&sent).await;

    // A hatch that starts now knows it from the bus and from the log.
    hatch.stop().await;
    hatch.start_again(&Role::ALL).await;
    closed(&hatch, "LOG_REGRESSED").await;
    hatch.assert_each_sent_once(&sent).await;

    // What somebody knows to have been sent is canceled; the rest of what the backup asks for is sent
    // again, which nobody else can know.
    let cancel = hatch.post(&format!("/api/v1/messages/{canceled}/cancel"), &Value::Null).await;
    assert_eq!(cancel.status, StatusCode::OK, "{}", cancel.body);
    let said = lift(&cluster.url()).await;
    assert!(said.starts_with("LOG_REGRESSED") && said.contains("epoch 2"), "{said}");
    for id in [&waiting, &pending] {
        hatch.message_with_status(id, "delivered").await;
    }
    let after = deliver(&hatch, 2).await;
    hatch.message_with_status(&canceled, "canceled").await;
    let record = hatch.record().await;
    let calls = |id: &String| {
        let lines = record.iter().filter(|line| line["hatch_message_id"] == **id);
        lines.count()
    };
    assert_eq!((calls(&pending), calls(&canceled), calls(&waiting)), (2, 1, 1));
    assert!(after.iter().all(|id| calls(id) == 1));
    hatch.finish().await;
}

#[tokio::test]
async fn a_crash_and_another_port_are_no_restore() {
    let mut cluster = Cluster::start().await;
    let mut hatch = Hatch::start_with(&Role::ALL, on(&cluster)).await;
    let mut sent = deliver(&hatch, 2).await;
    let port = cluster.port;
    cluster.end(Signal::SIGKILL);
    cluster.serve("data", Some(port)).await;
    hatch
        .eventually("hatch is ready again", async |hatch| {
            let ready = hatch.get("/ready").await;
            (ready.body["status"] == "ready").then_some(())
        })
        .await;
    sent.extend(deliver(&hatch, 2).await);

    hatch.stop().await;
    cluster.end(Signal::SIGKILL);
    cluster.serve("data", None).await;
    hatch.settings.database_url = Some(cluster.url());
    hatch.start_again(&Role::ALL).await;
    sent.extend(deliver(&hatch, 2).await);
    hatch.assert_each_sent_once(&sent).await;
    assert_eq!(cluster.count("SELECT count(*) FROM es.log_epoch").await, 1);
    assert_eq!(cluster.count("SELECT count(*) FROM es.log_regressions").await, 0);
    hatch.finish().await;
}

#[tokio::test]
async fn timers_ahead_of_the_log_stop_what_is_sent_and_are_made_anew() {
    timers_ahead(1).await;
}

/// One lift is enough: the epoch that it begins is after theirs.
#[tokio::test]
async fn timers_of_a_later_epoch_stop_what_is_sent_and_are_made_anew() {
    timers_ahead(2).await;
}

/// The timers say to be at an event of `epoch` that the log lacks.
async fn timers_ahead(epoch: i32) {
    let mut hatch = Hatch::start().await;
    let mut sent = deliver(&hatch, 3).await;
    hatch.stop().await;
    // As if the log had been restored and the rest of the database not.
    let ahead = format!(
        "UPDATE es.checkpoints SET position = 1000, epoch = {epoch} WHERE name = 'timers'
         RETURNING 1::bigint"
    );
    hatch.count(&ahead).await;
    hatch.start_again(&Role::ALL).await;
    let detail = closed(&hatch, "LOG_REGRESSED").await;
    assert!(detail.contains("the timers are at position 1000"), "{detail}");
    let waiting = hatch.send_sms(CUSTOMER, "while fenced").await;
    hatch.message_with_status(&waiting, "queued").await;
    hatch.assert_each_sent_once(&sent).await;

    lift(&hatch.database.url()).await;
    hatch.message_with_status(&waiting, "delivered").await;
    sent.push(waiting);
    sent.extend(deliver(&hatch, 2).await);
    hatch
        .eventually("the timers are folded again", async |hatch| {
            let reached = "SELECT count(*) FROM es.checkpoints WHERE name = 'timers' \
                AND position = (SELECT max(position) FROM es.events) \
                AND NOT EXISTS (SELECT FROM due.timers)";
            (hatch.count(reached).await == 1).then_some(())
        })
        .await;
    hatch.assert_each_sent_once(&sent).await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_fence_that_is_closed_and_lifted_at_once_leaves_the_bus_in_use() {
    let hatch = Hatch::start().await;
    let mut sent = deliver(&hatch, 1).await;
    let mut client = hatch.database.connect().await;
    // What it lacks, the first process that looks fills in.
    let place = hatch_eventstore::DatabasePlace::default();
    for epoch in 2..=4 {
        let report = "INSERT INTO es.log_regressions (epoch, detail) SELECT max(epoch), 'a gap' FROM es.log_epoch";
        client.batch_execute(report).await.expect("reported");
        let lifted = hatch_eventstore::lift_fence(&mut client, &place, "a test").await;
        assert_eq!(lifted.expect("lifted").expect("it was closed").epoch, epoch);
        hatch
            .eventually("the bus carries the new epoch", async |hatch| {
                let carried =
                    format!("SELECT count(*) FROM es.bus_generations WHERE epoch = {epoch}");
                (hatch.count(&carried).await == 1).then_some(())
            })
            .await;
        sent.extend(deliver(&hatch, 1).await);
    }
    client.close().await;
    hatch.assert_each_sent_once(&sent).await;
    hatch.finish().await;
}
