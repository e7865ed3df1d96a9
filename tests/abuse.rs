//! Mixed abuse by strangers while a client goes on sending: the process lives, answers and forgets
//! nothing, and what it used of memory and files comes back.
//!
//! Short by default. `HATCH_TEST_ABUSE_SECONDS=120` makes it long (`just abuse`) and prints the table of
//! docs/security.md.

mod attackers;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hatch::output::line;
use hatch_process::Servers;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Interval;

use self::attackers::{ATTACKS, Target};
use crate::checker::Journal;
use crate::harness::CUSTOMER;
use crate::process::{Up, data_folder, output};
use crate::time::paced;

/// Files that the program may open: fewer than the strangers' connections.
const FILES_MAX: u64 = 1_024;
/// Memory that all of it together may cost the process, beyond what it had before.
const MEMORY_MAX_BYTES: u64 = 512 * 1024 * 1024;
/// Files that may be left open afterwards, beyond those from before: pooled connections.
const FILES_LEFT_MAX: u64 = 64;
/// Memory that may be kept afterwards, beyond that from before: the allocator gives it back by and by.
const MEMORY_LEFT_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Between two messages of the client.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest that anybody may have to wait for an answer on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long what was accepted may take to be delivered, and what was used to come back.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(250);

/// What the process uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Use {
    memory_bytes: u64,
    files: u64,
}

impl Use {
    fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: Option<u64> =
            resident.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").count();
        Self { memory_bytes: kib.expect("it lives") * 1024, files: files as u64 }
    }

    fn most(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            files: self.files.max(other.files),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_cannot_stop_fill_or_fool_it_and_what_they_used_comes_back() {
    let seconds = std::env::var("HATCH_TEST_ABUSE_SECONDS");
    let seconds = seconds.map_or(8, |text| text.parse().expect("a number of seconds"));
    own_files();
    let folder = data_folder();
    let mut up = Up::start_by(limited(folder.path())).await;
    let pid = up.child.id().expect("it runs");
    let servers =
        Servers::read(&folder.path().join(".hatch")).expect("readable").expect("on record");
    let target = Arc::new(Target::of(&up.url, folder.path(), &servers));
    target.prepare().await;
    let before = Use::of(pid);

    let mut attacks = JoinSet::new();
    let counts: BTreeMap<&str, Arc<AtomicU64>> = ATTACKS
        .iter()
        .map(|(name, attack)| {
            let count = Arc::new(AtomicU64::new(0));
            attacks.spawn(attack(Arc::clone(&target), Arc::clone(&count)));
            (*name, count)
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    let (told, during) = tokio::join!(client(&up, end), watch(pid, end));
    attacks.shutdown().await;

    let simulator = servers.simulator_url.clone().expect("a simulator");
    settled(&up, &told.journal).await;
    let sent_once = sent_once(&up, &simulator, &told.journal).await;
    let after = come_back(pid, before).await;
    report(&[("before", before), ("most", during), ("after", after)], &counts, &told, seconds);
    assert_eq!(sent_once, told.journal.acknowledged.len(), "each was asked for once");
    assert!(told.journal.acknowledged.len() > 3, "the client got through");
    assert!(told.slowest_health < ANSWER_MAX, "{:?}", told.slowest_health);
    assert!(during.files <= FILES_MAX, "{during:?}");
    let memory = during.memory_bytes.saturating_sub(before.memory_bytes);
    assert!(memory < MEMORY_MAX_BYTES, "{memory} bytes more than before");
    assert_eq!(counts.values().filter(|count| count.load(Ordering::Relaxed) == 0).count(), 0);

    for command in [["log", "verify"].as_slice(), &["projections", "verify", "messages"]] {
        let (ok, said, error) = output(folder.path(), command).await;
        assert!(ok, "{said}{error}");
    }
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
}

/// Lets this process open all the connections that the strangers hold.
fn own_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("the soft limit may be the hard one");
}

/// `hatch up` that can open [`FILES_MAX`] files.
fn limited(folder: &Path) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {FILES_MAX} && exec \"$0\" up");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_hatch")]);
    crate::process::in_folder(&mut command, folder);
    command.stderr(Stdio::null());
    command
}

/// What an honest client was told meanwhile.
#[derive(Default)]
struct Told {
    journal: Journal,
    answers: BTreeMap<u16, u64>,
    slowest_health: Duration,
    /// Times that the health was asked for and not told.
    unhealthy: u64,
    slowest_send: Duration,
}

/// Sends one message after the other and looks at the health, until `end`.
async fn client(up: &Up, end: Instant) -> Told {
    let mut told = Told::default();
    let run = crate::harness::unique();
    let mut pace = paced(PAUSE);
    for n in 0.. {
        if Instant::now() >= end {
            break;
        }
        health(up, &mut pace, &mut told).await;
        let key = format!("{run}-{n}");
        told.journal.sent.insert(key.clone());
        let mut accepted = false;
        while !accepted {
            pace.tick().await;
            accepted = send(up, &key, &mut told).await;
        }
    }
    told
}

/// Asks for the health until it is told. The strangers have the client's own address, so hatch may turn the client away
/// in their place, and says when to come again.
async fn health(up: &Up, pace: &mut Interval, told: &mut Told) {
    let begun = Instant::now();
    let mut well = false;
    while !well && begun.elapsed() < ANSWER_MAX {
        let health = up.http.get(format!("{}/health", up.url)).send().await;
        well = health.is_ok_and(|answer| answer.status() == 200);
        if !well {
            told.unhealthy += 1;
            pace.reset();
            pace.tick().await;
        }
    }
    told.slowest_health = told.slowest_health.max(begun.elapsed());
}

/// Whether it was accepted.
async fn send(up: &Up, key: &str, told: &mut Told) -> bool {
    let request = up.http.post(format!("{}/api/v1/messages", up.url));
    let request = request.header("idempotency-key", key);
    let begun = Instant::now();
    let sent = request.json(&json!({"to": CUSTOMER, "body": key})).send().await;
    told.slowest_send = told.slowest_send.max(begun.elapsed());
    let Ok(answer) = sent else {
        *told.answers.entry(0).or_default() += 1;
        return false;
    };
    let status = answer.status().as_u16();
    *told.answers.entry(status).or_default() += 1;
    if status != 202 {
        return false;
    }
    let body: Value = answer.json().await.expect("JSON");
    let id = body["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    told.journal.acknowledged.insert(key.to_owned(), id);
    true
}

/// The most that it used until `end`.
async fn watch(pid: u32, end: Instant) -> Use {
    let (mut most, mut looks) = (Use::default(), paced(POLL));
    while Instant::now() < end {
        looks.tick().await;
        most = most.most(Use::of(pid));
    }
    most
}

/// Waits until all that was accepted is delivered.
async fn settled(up: &Up, journal: &Journal) {
    let deadline = Instant::now() + PATIENCE;
    for id in journal.acknowledged.values() {
        up.delivered(&id.to_string()).await;
        assert!(Instant::now() < deadline, "not all are delivered within {PATIENCE:?}");
    }
}

/// How many of the client's messages the provider was asked for exactly once.
async fn sent_once(up: &Up, simulator: &str, journal: &Journal) -> usize {
    let answer = up.http.get(format!("{simulator}/_sim/messages")).send().await;
    let record = answer.expect("the simulator answers").text().await.expect("text");
    let lines = record.lines().map(|line| serde_json::from_str(line).expect("NDJSON"));
    let calls: BTreeMap<String, u64> = lines
        .filter_map(|line: Value| {
            let id = line["hatch_message_id"].as_str()?.to_owned();
            Some((id, line["calls"].as_u64().expect("a number")))
        })
        .collect();
    let ids = journal.acknowledged.values();
    ids.filter(|id| calls.get(&id.to_string()) == Some(&1)).count()
}

/// What it uses once the strangers are gone.
async fn come_back(pid: u32, before: Use) -> Use {
    let (deadline, mut looks) = (Instant::now() + PATIENCE, paced(POLL));
    loop {
        looks.tick().await;
        let now = Use::of(pid);
        if now.files <= before.files + FILES_LEFT_MAX
            && now.memory_bytes <= before.memory_bytes + MEMORY_LEFT_MAX_BYTES
        {
            return now;
        }
        assert!(Instant::now() < deadline, "{before:?} before, and still {now:?}");
    }
}

fn report(
    uses: &[(&str, Use)],
    counts: &BTreeMap<&str, Arc<AtomicU64>>,
    told: &Told,
    seconds: u64,
) {
    let mut table = format!("{seconds} s of abuse\n");
    for (when, Use { memory_bytes, files }) in uses {
        table += &format!("  {when:<28} {:>6} MiB {files:>6} files\n", memory_bytes >> 20);
    }
    for (name, count) in counts {
        table += &format!("  {name:<28} {:>6} times\n", count.load(Ordering::Relaxed));
    }
    for (status, count) in &told.answers {
        table += &format!("  client was answered {status:<8} {count:>6} times\n");
    }
    table += &format!("  client was not told the health {:>5} times\n", told.unhealthy);
    let [health, send] = [told.slowest_health, told.slowest_send].map(|took| took.as_millis());
    table += &format!("  slowest answer               health {health} ms, send {send} ms");
    line(table).expect("printed");
}
