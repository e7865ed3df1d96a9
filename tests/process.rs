//! The program as users run it: `hatch up` as a process, killed and started again.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use hatch_bus::testing::TestBus;
use hatch_devservers::free_port;
use hatch_eventstore::testing::TestDatabase;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::bad_input::answer_to_much;
use crate::harness::CUSTOMER;
use crate::time::eventually;

const PATIENCE: Duration = Duration::from_secs(120);

/// A running `hatch up`, killed when the test fails.
pub(crate) struct Up {
    pub(crate) child: Child,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

fn hatch(folder: &Path) -> Command {
    program(folder, env!("CARGO_BIN_EXE_hatch"))
}

/// A program that runs hatch in the end, in `folder`.
pub(crate) fn program(folder: &Path, name: &str) -> Command {
    let mut command = Command::new(name);
    in_folder(&mut command, folder);
    command
}

/// Has the program work in `folder`, with servers and ports of its own.
pub(crate) fn in_folder(command: &mut Command, folder: &Path) {
    command
        .current_dir(folder)
        .env_remove("HATCH_DATABASE_URL")
        .env_remove("HATCH_NATS_URL")
        .env("HATCH_LISTEN", "127.0.0.1:0")
        .env("HATCH_SIMULATOR_LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
}

/// What a command printed, and how it ended.
pub(crate) async fn output(folder: &Path, arguments: &[&str]) -> (bool, String, String) {
    output_with(folder, arguments, &[]).await
}

/// The same, with `variables` in its environment.
pub(crate) async fn output_with(
    folder: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (bool, String, String) {
    let mut command = hatch(folder);
    command.args(arguments).envs(variables.iter().copied());
    let output = command.output().await.expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

impl Up {
    pub(crate) async fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = hatch(folder);
        command.arg("up").args(arguments).stderr(Stdio::null());
        Self::start_by(command).await
    }

    /// Runs `command`, which ends up as `hatch up`, until it is ready.
    pub(crate) async fn start_by(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let ready = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = ready.expect("ready in time").expect("readable").expect("a line");
        let url = line.strip_prefix("hatch is ready: ").expect("the promised line").to_owned();
        let http = hatch::http_client(PATIENCE).expect("an HTTP client");
        Self { child, url, http }
    }

    /// Sends until it is accepted, as a client with an idempotency key does.
    pub(crate) async fn send(&self, key: &str) -> String {
        eventually("it is accepted", async || {
            let request = self.http.post(format!("{}/api/v1/messages", self.url));
            let request = request.header("idempotency-key", key);
            let answer = request.json(&json!({"to": CUSTOMER, "body": key})).send().await.ok()?;
            if answer.status() != 202 {
                return None;
            }
            let accepted: Value = answer.json().await.expect("JSON");
            Some(accepted["id"].as_str().expect("an id").to_owned())
        })
        .await
    }

    pub(crate) async fn delivered(&self, id: &str) {
        eventually("it is delivered", async || {
            let asked = self.http.get(format!("{}/api/v1/messages/{id}", self.url)).send().await;
            let Ok(answer) = asked else { return false };
            answer.json::<Value>().await.is_ok_and(|message| message["status"] == "delivered")
        })
        .await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().expect("it runs");
        send_signal(pid.into(), signal);
    }
}

pub(crate) fn send_signal(pid: i64, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"));
    kill(pid, signal).expect("the process is there");
}

pub(crate) fn data_folder() -> TempDir {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a temporary folder");
    // PostgreSQL runs under another account when this runs as root.
    let open = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(folder.path(), open).expect("the mode");
    folder
}

/// The process id of a server, once it is on record.
async fn pid_of(folder: &Path, server: &str) -> i64 {
    eventually(&format!("{server} is on record"), async || {
        let text = std::fs::read_to_string(folder.join(".hatch/servers.json")).expect("a record");
        let servers: Value = serde_json::from_str(&text).expect("JSON");
        servers["pids"][server].as_i64()
    })
    .await
}

#[tokio::test]
async fn up_delivers_and_survives_the_kill_of_each_of_its_processes_and_of_itself() {
    let folder = data_folder();
    let mut up = Up::start(folder.path(), &[]).await;
    let first = up.send("first").await;
    up.delivered(&first).await;

    for server in ["postgres", "nats-server"] {
        send_signal(pid_of(folder.path(), server).await, Signal::SIGKILL);
        let id = up.send(server).await;
        up.delivered(&id).await;
    }

    up.signal(Signal::SIGKILL);
    up.child.wait().await.expect("it ends");
    let mut up = Up::start(folder.path(), &[]).await;
    up.delivered(&first).await;
    assert_eq!(up.send("first").await, first, "the key is known for ever");
    let last = up.send("last").await;
    up.delivered(&last).await;

    let postgres = pid_of(folder.path(), "postgres").await;
    let nats = pid_of(folder.path(), "nats-server").await;
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
    for pid in [postgres, nats] {
        let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"));
        assert!(kill(pid, None).is_err(), "process {pid} still runs");
    }
}

#[tokio::test]
async fn split_roles_deliver_and_the_commands_find_what_runs() {
    let folder = data_folder();
    let mut up = Up::start(folder.path(), &["--split"]).await;
    let id = up.send("split").await;
    up.delivered(&id).await;
    let refused = answer_to_much(&up.url).await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
    crate::heads::each_is_answered_by(&up.url).await;
    // The role that sends knows of providers, and the one that answers reads does not.
    let ready = up.http.get(format!("{}/ready", up.url)).send().await.expect("an answer");
    let ready: Value = ready.json().await.expect("JSON");
    for dependency in ["postgresql", "nats", "twilio", "sendgrid"] {
        assert_eq!(ready["dependencies"][dependency]["status"], "up", "{ready}");
    }
    assert_eq!(ready["status"], "ready", "{ready}");

    let (ok, events, _) = output(folder.path(), &["events", "show", &id]).await;
    assert!(ok);
    let types: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["type"].clone())
        .collect();
    assert_eq!(types[..2], ["hatch.MessageRequested.v1", "hatch.SendAttempted.v1"]);
    let (ok, tail, _) = output(folder.path(), &["events", "tail", "-n", "2", "--no-follow"]).await;
    assert!(ok && tail.lines().count() == 2, "{tail}");
    let (ok, list, _) = output(folder.path(), &["projections", "list"]).await;
    assert!(ok && list.contains("messages") && list.contains("conversations"), "{list}");
    let (ok, findings, _) = output(folder.path(), &["doctor"]).await;
    assert!(ok && !findings.contains("WRONG"), "{findings}");
    beside(folder.path(), &up).await;
    let (ok, demo, error) = output(folder.path(), &["demo"]).await;
    assert!(ok && demo.contains("MessageDelivered"), "{demo}{error}");

    let (ok, _, error) = output(folder.path(), &["up"]).await;
    assert!(!ok && error.contains("already running"), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    keeps_an_account(&up).await;
    reads_again(folder.path(), &up).await;
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
}

/// Accounts are made by the API without any setting: `up` has a master key.
async fn keeps_an_account(up: &Up) {
    let account = json!({"name": "acme", "provider": "twilio", "settings": {
        "account_sid": format!("AC{}", "4".repeat(32)), "auth_token": "CANARY",
        "base_url": "http://127.0.0.1:9"}});
    let made = up.http.post(format!("{}/api/v1/accounts", up.url)).json(&account).send().await;
    let made = made.expect("an answer");
    let (status, said) = (made.status(), made.text().await.unwrap_or_default());
    assert_eq!(status, 201, "{said}");
}

/// What its file says from now on, `up` does once it is told to read it again.
async fn reads_again(folder: &Path, up: &Up) {
    let account = format!(
        "[accounts.third]\nprovider = \"twilio\"\naccount_sid = \"AC{}\"\nauth_token = \"CANARY\"\n\
         base_url = \"http://127.0.0.1:9\"\n",
        "3".repeat(32)
    );
    std::fs::write(folder.join("hatch.toml"), account).expect("written");
    up.signal(Signal::SIGHUP);
    eventually("the account of the file is there", async || {
        let asked = up.http.get(format!("{}/api/v1/providers", up.url)).send().await;
        let answer: Value = asked.expect("an answer").json().await.expect("JSON");
        let all = answer["data"].as_array().expect("a list");
        all.iter().any(|account| account["name"] == "third")
    })
    .await;
}

/// Another process of roles serves on the servers of `up`, with its accounts; what only `up` opens to all
/// it does not.
async fn beside(folder: &Path, up: &Up) {
    let listen = format!("127.0.0.1:{}", free_port().expect("a free port"));
    let mut command = hatch(folder);
    command.args(["serve", "--roles", "command,query,webhook"]).env("HATCH_LISTEN", &listen);
    // What `up` opens to all stays shut, unless somebody says so.
    command.env("HATCH_AUTHENTICATION", "off").env("HATCH_RATE_LIMIT__ENABLED", "false");
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut other = Up { child, url: format!("http://{listen}"), http: up.http.clone() };
    let id = other.send("beside").await;
    other.delivered(&id).await;
    up.delivered(&id).await;
    let inbound = async |at: &Up| {
        let request = up.http.post(format!("{}/api/v1/webhooks/generic", at.url));
        request.json(&json!({})).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((inbound(up).await, inbound(&other).await), (400, 401));
    other.signal(Signal::SIGTERM);
    assert!(other.child.wait().await.expect("it ends").success(), "a clean end");
}

#[tokio::test]
async fn given_servers_are_used_and_ctrl_c_ends_it() {
    let folder = data_folder();
    let database = TestDatabase::create().await;
    let bus = TestBus::create().await;
    let mut command = hatch(folder.path());
    command
        .arg("up")
        .env("HATCH_DATABASE_URL", database.url())
        .env("HATCH_NATS_URL", &bus.settings().url)
        .env("HATCH_BUS__PREFIX", &bus.settings().prefix)
        .env("HATCH_BUS__STREAM_BYTES_MAX", "16777216");
    let mut up = Up::start_by(command).await;
    let id = up.send("given").await;
    up.delivered(&id).await;
    assert!(!folder.path().join(".hatch/data").join("postgres").exists());
    let session = database.connect().await;
    let events = session.query_one("SELECT count(*) FROM es.events", &[]).await.expect("a count");
    assert!(events.get::<_, i64>(0) >= 3);
    session.close().await;
    keeps_an_account(&up).await;
    reads_again(folder.path(), &up).await;
    up.signal(Signal::SIGINT);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
}

#[tokio::test]
async fn logs_hold_neither_texts_nor_whole_addresses() {
    let folder = data_folder();
    let log = std::fs::File::create(folder.path().join("up.log")).expect("a file");
    let mut command = hatch(folder.path());
    command.arg("up").env("HATCH_LOG__FILTER", "debug").env("HATCH_LOG__FORMAT", "json");
    command.stderr(log);
    let mut up = Up::start_by(command).await;
    let id = up.send("a-text-that-nobody-logs").await;
    up.delivered(&id).await;
    let bad = up.http.post(format!("{}/api/v1/messages", up.url));
    let bad = bad.json(&json!({"to": "+18045551", "body": "another-text"})).send().await;
    assert_eq!(bad.expect("an answer").status(), 400);
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");

    let log = std::fs::read_to_string(folder.path().join("up.log")).expect("a log");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    assert!(log.contains(&id), "the message is named");
    for secret in ["a-text-that-nobody-logs", "another-text", CUSTOMER, "+12016661234"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert!(!log.contains("dev-twilio-auth-token"));
}

#[tokio::test]
async fn what_cannot_start_says_why_in_one_line() {
    let folder = data_folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    let run = async |arguments: &[&str], variable: &str, value: &str| {
        let mut command = hatch(folder.path());
        let output = command.args(arguments).env(variable, value).output().await.expect("it runs");
        assert!(!output.status.success());
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        error
    };
    let error = run(&["up"], "HATCH_LISTEN", &address.to_string()).await;
    assert!(
        error.contains(&address.port().to_string()) && error.contains("HATCH_LISTEN"),
        "{error}"
    );
    let error = run(&["serve"], "HATCH_LOG__FILTER", "info").await;
    assert!(error.contains("HATCH_DATABASE_URL"), "{error}");
    let open = "authentication = \"off\"\n";
    std::fs::write(folder.path().join("hatch.toml"), open).expect("written");
    let error = run(&["serve"], "HATCH_LISTEN", "0.0.0.0:0").await;
    assert!(error.contains("loopback") && error.contains("hatch keys create"), "{error}");
    std::fs::write(folder.path().join("hatch.toml"), "").expect("written");
    // Whether there is a key, PostgreSQL has to say.
    let error = run(&["serve"], "HATCH_LISTEN", "0.0.0.0:0").await;
    assert!(error.contains("HATCH_DATABASE_URL"), "{error}");
    let error = run(&["up"], "HATCH_LISTEN", "0.0.0.0:0").await;
    assert!(error.contains("loopback"), "{error}");
    // Not by each process of a role, again and again.
    for arguments in [&["up"][..], &["up", "--split"]] {
        let error = run(arguments, "HATCH_BUS__PREFIX", "A.B").await;
        assert!(error.contains("bus.prefix: expected"), "{error}");
    }
    // Before anything is waited for, or started, that has nothing to do with it.
    let bad = "database_url = \"postgres://127.0.0.1:1/none\"\nnats_url = \"nats://127.0.0.1:1\"\n\
               [dispatcher.retry]\nattempts_max = 0\n";
    std::fs::write(folder.path().join("hatch.toml"), bad).expect("written");
    for arguments in [["serve"], ["up"]] {
        let error = run(&arguments, "HATCH_LISTEN", &address.to_string()).await;
        assert!(error.contains("dispatcher.retry.attempts_max: expected"), "{error}");
    }
    std::fs::write(folder.path().join("hatch.toml"), "").expect("written");
    let error = run(&["doctor"], "HATCH_DISPATCHER__LEASE_MS", "soon").await;
    assert!(error.contains("dispatcher.lease_ms") && error.contains("soon"), "{error}");
}

#[tokio::test]
async fn the_commands_beside_up_know_what_it_calls_its_deployment() {
    let folder = data_folder();
    let start = async |deployment: &str| {
        let mut command = hatch(folder.path());
        command.arg("up").env("HATCH_DEPLOYMENT", deployment).stderr(Stdio::null());
        Up::start_by(command).await
    };
    let mut first = start("first").await;
    let (ok, lifted, error) = output(folder.path(), &["fence", "lift"]).await;
    assert!(ok && lifted.contains("the fence is open"), "{lifted}{error}");
    first.signal(Signal::SIGTERM);
    assert!(first.child.wait().await.expect("it ends").success(), "a clean end");

    let mut other = start("other").await;
    let id = other.send("fenced").await;
    let (ok, findings, _) = output(folder.path(), &["doctor"]).await;
    assert!(!ok && findings.contains("FENCED"), "{findings}");
    let (ok, lifted, error) = output(folder.path(), &["fence", "lift"]).await;
    assert!(ok && lifted.starts_with("FENCED"), "{lifted}{error}");
    other.delivered(&id).await;
    other.signal(Signal::SIGTERM);
    assert!(other.child.wait().await.expect("it ends").success(), "a clean end");
}

#[tokio::test]
async fn a_collector_that_is_not_there_holds_nothing_up() {
    let folder = data_folder();
    let log = std::fs::File::create(folder.path().join("up.log")).expect("a file");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let collector = format!("http://{}", nobody.local_addr().expect("bound"));
    drop(nobody);
    let mut command = hatch(folder.path());
    command.arg("up").env("HATCH_LOG__FILTER", "info").env("HATCH_LOG__FORMAT", "json");
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector).stderr(log);
    let mut up = Up::start_by(command).await;
    let id = up.send("Hello").await;
    up.delivered(&id).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let asked = up.http.get(format!("{}/api/v1/messages/{id}", up.url));
    let asked = asked.header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    let answer = asked.header("x-request-id", "my-request").send().await.expect("an answer");
    assert_eq!(answer.headers()["x-request-id"], "my-request");
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");

    let log = std::fs::read_to_string(folder.path().join("up.log")).expect("a log");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let requests: Vec<_> = lines.filter(|line| line["message"] == "request").collect();
    let ours = requests.iter().filter(|line| line["request_id"] == "my-request");
    let traces: Vec<_> = ours.map(|line| line["trace_id"].clone()).collect();
    assert_eq!(traces, [trace]);
    let sent = requests.iter().find(|line| line["method"] == "POST").expect("a line of the send");
    assert_eq!(sent["trace_id"].as_str().map(str::len), Some(32), "a new trace: {sent}");
}
