//! What a process lacks itself is no provider's answer: no message fails for it, and no attempt counts.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use hatch::roles::Role;
use hatch::settings::Settings;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::NoTls;

use crate::harness::{CUSTOMER, Hatch, SENDER};
use crate::process::{Up, data_folder, program};
use crate::time::{eventually, eventually_paced, paced};

/// Between two tries of a client, and two looks.
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(240);
/// Files of a process that has few.
const FEW: u64 = 256;
const IDLE: usize = 400;
const MESSAGES: usize = 1_000;
const CLIENTS: usize = 4;

/// Waits so short that the timers see each step.
fn hurried(settings: &mut Settings) {
    settings.dispatcher.timers_lag_ms = 200;
    settings.dispatcher.delivery_grace_ms = 500;
    settings.dispatcher.retry.attempts_max = 2;
    settings.dispatcher.retry.backoff_min_ms = 50;
    settings.dispatcher.retry.backoff_max_ms = 100;
}

/// Uses up the files of this process, which is the one that hatch runs in, until it is dropped.
struct NoFiles {
    held: Vec<File>,
    limit: (u64, u64),
}

impl NoFiles {
    fn begin() -> Self {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        setrlimit(Resource::RLIMIT_NOFILE, limit.1.min(1_024), limit.1).expect("a lower limit");
        let held = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        Self { held, limit }
    }
}

impl Drop for NoFiles {
    fn drop(&mut self) {
        self.held.clear();
        setrlimit(Resource::RLIMIT_NOFILE, self.limit.0, self.limit.1).expect("the limit it had");
    }
}

#[tokio::test]
async fn messages_that_are_due_while_no_file_can_be_had_wait_and_none_of_their_attempts_counts() {
    let hatch = Hatch::start_with_clock(&Role::ALL, hurried).await;
    let send_at = hatch.in_time(TimeDelta::hours(1));
    let mut ids = Vec::new();
    for n in 0..20 {
        let request = json!({
            "from": SENDER, "to": CUSTOMER, "body": format!("message {n}"), "send_at": send_at,
        });
        let answer = hatch.post("/api/v1/messages", &request).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        ids.push(answer.text("id").to_owned());
    }
    // Ours stays open, so that it takes no file later.
    hatch.get("/ready").await;

    let no_files = NoFiles::begin();
    hatch.advance(TimeDelta::hours(1)).await;
    hatch
        .eventually("the shortage is felt", async |hatch| {
            let ready = hatch.get("/ready").await;
            let resources = ready.body["dependencies"]["resources"].clone();
            (ready.status == 200 && resources.to_string().contains("files")).then_some(())
        })
        .await;
    let during = hatch
        .eventually("an attempt is given up for it", async |hatch| {
            let text = hatch.get("/metrics").await.body.as_str().expect("text").to_owned();
            text.contains("hatch_dispatch_shortages_total{lack=\"files\"}").then_some(text)
        })
        .await;
    drop(no_files);

    for id in &ids {
        hatch.message_with_status(id, "delivered").await;
    }
    hatch.assert_each_sent_once(&ids).await;
    let types = "SELECT count(*) FROM es.events WHERE type = ANY \
                 (ARRAY['SendFailed', 'MessageFailed', 'SendInDoubt'])";
    assert_eq!(hatch.count(types).await, 0);
    let abandoned = "SELECT count(*) FROM es.events \
                     WHERE type = 'AttemptAbandoned' AND payload::json->>'reason' = 'files'";
    let abandoned = hatch.count(abandoned).await;
    assert!(abandoned > 0, "there was a shortage when they were due");
    // They were not tried again and again, each an event: nothing is claimed while there is no socket.
    assert!(abandoned <= 3 * 20, "{abandoned}");
    assert!(during.contains("hatch_limit_max{limit=\"files\"}"), "{during}");
    hatch
        .eventually("the shortage is over", async |hatch| {
            let ready = hatch.get("/ready").await;
            (ready.body["dependencies"]["resources"]["status"] == "up").then_some(())
        })
        .await;
    hatch.finish().await;
}

/// How many events of each type the log of a running `up` holds.
async fn events(up_folder: &std::path::Path) -> BTreeMap<String, i64> {
    let record = std::fs::read_to_string(up_folder.join(".hatch/servers.json")).expect("a record");
    let record: Value = serde_json::from_str(&record).expect("JSON");
    let url = record["database_url"].as_str().expect("a URL");
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let rows = client.query("SELECT type, count(*) FROM es.events GROUP BY type", &[]).await;
    rows.expect("rows").iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// As many connections as the program takes, up to [`IDLE`], and nothing said on them.
async fn idle(url: &str) -> Vec<TcpStream> {
    let address = url.trim_start_matches("http://").to_owned();
    let mut held = Vec::new();
    for _ in 0..IDLE {
        if let Ok(Ok(stream)) =
            timeout(Duration::from_millis(200), TcpStream::connect(&address)).await
        {
            held.push(stream);
        }
    }
    held
}

#[tokio::test]
async fn a_thousand_messages_with_256_files_and_hundreds_of_idle_connections_are_all_delivered() {
    let folder = data_folder();
    let limit = format!("ulimit -Sn {FEW} && ulimit -Hn {FEW} && exec \"$0\" \"$@\"");
    let mut command = program(folder.path(), "sh");
    command.args(["-c", &limit, env!("CARGO_BIN_EXE_hatch"), "up"]);
    let log = File::create(folder.path().join("up.log")).expect("a file");
    command.stderr(log);
    let mut up = Up::start_by(command).await;
    let up_shared = Arc::new((up.http.clone(), up.url.clone()));

    let held = idle(&up.url).await;
    assert!(held.len() > 100, "{} connections", held.len());
    let deadline = Instant::now() + PATIENCE;
    let tries = Arc::new(AtomicUsize::new(0));
    let clients = (0..CLIENTS).map(|client| {
        let (shared, tries) = (Arc::clone(&up_shared), Arc::clone(&tries));
        tokio::spawn(async move {
            let ((http, url), mut pace) = (&*shared, paced(PAUSE));
            for n in (client..MESSAGES).step_by(CLIENTS) {
                let key = format!("message {n}");
                loop {
                    pace.tick().await;
                    tries.fetch_add(1, Ordering::Relaxed);
                    let request = http.post(format!("{url}/api/v1/messages"));
                    let request = request.header("idempotency-key", &key);
                    let request = request.timeout(Duration::from_secs(5));
                    let answer = request.json(&json!({"to": CUSTOMER, "body": key})).send().await;
                    if answer.is_ok_and(|answer| answer.status() == 202) {
                        break;
                    }
                    assert!(Instant::now() < deadline, "{key} is not accepted");
                }
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    // Those who hold connections go away once everybody has tried: nobody gets one before, where none is closed.
    let all = 2 * CLIENTS;
    eventually("everybody has tried", async || tries.load(Ordering::Relaxed) > all).await;
    drop(held);
    for client in clients {
        client.await.expect("all are accepted");
    }
    let expected = i64::try_from(MESSAGES).expect("few");
    let counts = eventually_paced(PAUSE, PATIENCE, "all are delivered", async || {
        let counts = events(folder.path()).await;
        (counts.get("MessageDelivered") == Some(&expected)).then_some(counts)
    })
    .await;
    for failure in ["SendFailed", "MessageFailed", "SendInDoubt"] {
        assert_eq!(counts.get(failure), None, "{counts:?}");
    }
    assert_eq!(counts["MessageRequested"], expected, "{counts:?}");
    let made = counts["SendAttempted"] - counts.get("AttemptAbandoned").copied().unwrap_or(0);
    assert_eq!(made, expected, "each attempt that counts sent its message: {counts:?}");
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
    let log = std::fs::read_to_string(folder.path().join("up.log")).expect("a log");
    assert!(log.contains("may open few files"), "{log}");
}
