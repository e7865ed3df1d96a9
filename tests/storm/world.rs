//! What a storm comes over: `up --split` and a second dispatcher and a second API beside it, each family with its
//! own way to PostgreSQL and NATS and its own clock.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use hatch::output::line;
use hatch_bus::testing::Server as Nats;
use hatch_devservers::free_port;
use hatch_eventstore::testing::{Fault as Broken, Proxy};
use hatch_process::Servers;
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::fault::{Clock, Cut, Deaf, Family, Fault, Line, Mood, Process, Server, Step};
use super::pair::{Pair, signal};
use crate::harness::ACCOUNT;
use crate::process::{Up, data_folder, output_with, program};
use crate::time::{eventually_paced, paced};

const PATIENCE: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(100);

/// How late the provider answers in peace, so that many calls are under way at any time, and when it is mute.
const LATENCY_MS: u64 = 200;
const MUTE_MS: u64 = 30_000;

/// Waits so short that a doubt ends within a minute.
const HURRIED: [(&str, &str); 7] = [
    ("HATCH_TWILIO__HTTP_TIMEOUT_MS", "2000"),
    ("HATCH_TWILIO__CONNECT_TIMEOUT_MS", "1000"),
    ("HATCH_SENDGRID__HTTP_TIMEOUT_MS", "2000"),
    ("HATCH_SENDGRID__CONNECT_TIMEOUT_MS", "1000"),
    ("HATCH_DISPATCHER__LEASE_MS", "6000"),
    ("HATCH_DISPATCHER__LOOK_UPS_MS", "2000,6000"),
    ("HATCH_DISPATCHER__RETRY__ATTEMPTS_MAX", "100"),
];

const UNSETTLED: &str = "SELECT count(*) FROM rm.messages \
     WHERE status NOT IN ('delivered', 'read', 'undelivered', 'partly_delivered', 'failed', 'canceled', 'in_doubt')";
/// Those of them that have not moved for thirty seconds. What is looked up after a storm moves on, a message after the
/// other, for minutes.
const STANDING: &str = "SELECT count(*) FROM rm.messages m JOIN es.events e ON e.position = m.position \
     WHERE m.status NOT IN ('delivered', 'read', 'undelivered', 'partly_delivered', 'failed', 'canceled', 'in_doubt') \
       AND e.recorded_at < now() - interval '30 s'";
/// Messages in doubt that a look-up can settle: mails have none.
const DOUBTS: &str =
    "SELECT count(*) FROM rm.messages WHERE status = 'in_doubt' AND channel <> 'email'";
/// The next look-up of each, which may be an hour off, is made now.
const ASK_NOW: &str = "UPDATE due.timers SET look_at = now() \
     WHERE step IS NOT NULL AND lane <> 'email' AND look_at > now() + interval '5 s' \
       AND stream_id IN (SELECT id FROM rm.messages WHERE status = 'in_doubt') \
     RETURNING step::bigint";
/// What is in doubt and why.
const WHY: &str = "SELECT format('%s %s: %s (asked %s to %s times)', count(*), m.channel, d.detail, \
         coalesce(min(t.looks), 0), coalesce(max(t.looks), 0)) \
     FROM rm.messages AS m \
     CROSS JOIN LATERAL (SELECT payload->>'detail' AS detail FROM es.events \
          WHERE stream_id = m.id AND type = 'SendInDoubt' ORDER BY version DESC LIMIT 1) AS d \
     LEFT JOIN due.timers AS t ON t.stream_id = m.id \
     WHERE m.status = 'in_doubt' GROUP BY m.channel, d.detail ORDER BY count(*) DESC LIMIT 20";
/// What stands still, by what happened to it last.
const STANDING_BY: &str = "SELECT format('%s %s %s after %s, %s to %s s ago', count(*), m.channel, m.status, e.type, \
         round(min(extract(epoch FROM now() - e.recorded_at))), round(max(extract(epoch FROM now() - e.recorded_at)))) \
     FROM rm.messages m JOIN es.events e ON e.position = m.position \
     WHERE m.status NOT IN ('delivered', 'read', 'undelivered', 'failed', 'canceled') \
       AND e.recorded_at < now() - interval '30 s' \
     GROUP BY m.channel, m.status, e.type ORDER BY count(*) DESC LIMIT 20";
const ASK_AGAIN_EVERY: Duration = Duration::from_secs(15);
const BEHIND: &str = "SELECT (SELECT coalesce(max(position), 0) FROM es.events) \
     - (SELECT position FROM es.checkpoints WHERE name = 'messages')";

/// Events that the read models may be behind while doubts still end.
const BEHIND_MAX: i64 = 200;

/// How a family reaches the servers, and what time it takes it to be.
struct Links {
    postgresql: Proxy,
    nats: Proxy,
    clock: PathBuf,
}

/// A process of the second family.
struct Second {
    name: &'static str,
    roles: &'static str,
    listen: String,
    child: Child,
}

pub(crate) struct World {
    pub(crate) up: Up,
    pub(crate) folder: TempDir,
    pub(crate) pair: Pair,
    nats: Nats,
    first: Links,
    second: Links,
    provider_clock: PathBuf,
    others: Vec<Second>,
    http: reqwest::Client,
    /// Processes that stand still.
    stopped: Vec<i64>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let (folder, pair, nats) = (data_folder(), Pair::start().await, Nats::start().await);
        let first = Links::start(folder.path(), "first", &pair, &nats).await;
        let second = Links::start(folder.path(), "second", &pair, &nats).await;
        let provider_clock = clock(folder.path(), "provider");
        let mut command = program(folder.path(), env!("CARGO_BIN_EXE_hatch"));
        command.args(["up", "--split"]).stderr(log("up")).envs(first.environment());
        command.env("HATCH_TEST_SIMULATOR_CLOCK", &provider_clock).envs(HURRIED);
        let up = Up::start_by(command).await;
        let http = hatch::http_client(Duration::from_secs(5)).expect("a client");
        let (others, stopped) = (Vec::new(), Vec::new());
        let mut world =
            Self { up, folder, pair, nats, first, second, provider_clock, others, http, stopped };
        for (name, roles) in [("api", "command,query,webhook"), ("dispatcher", "dispatcher")] {
            let listen = format!("127.0.0.1:{}", free_port().expect("a free port"));
            let child = world.spawn(roles, &listen);
            world.others.push(Second { name, roles, listen, child });
        }
        let api = world.second_url();
        world.until("the second API answers", async |world| world.answers(&api).await).await;
        world
    }

    /// Where the second API listens.
    pub(crate) fn second_url(&self) -> String {
        format!("http://{}", self.others[0].listen)
    }

    /// The simulator's address.
    pub(crate) fn simulator(&self) -> String {
        self.servers().simulator_url.expect("a simulator")
    }

    async fn answers(&self, url: &str) -> bool {
        let answer = self.http.get(format!("{url}/health")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    fn spawn(&self, roles: &str, listen: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_hatch"))
            .args(["serve", "--roles", roles])
            .current_dir(self.folder.path())
            .envs(self.second.environment())
            .envs(HURRIED)
            .env("HATCH_DEVELOPMENT_SIMULATOR", self.simulator())
            .env("HATCH_RATE_LIMIT__ENABLED", "false")
            .env("HATCH_PUBLIC_URL", &self.up.url)
            .env("HATCH_DATA_DIR", self.folder.path().join(".hatch"))
            .env("HATCH_LISTEN", listen)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log(roles))
            .kill_on_drop(true)
            .spawn()
            .expect("it starts")
    }

    fn servers(&self) -> Servers {
        let servers = Servers::read(&self.folder.path().join(".hatch")).expect("readable");
        servers.expect("something runs")
    }

    /// Lets the faults of `step` come and go.
    pub(crate) async fn suffer(&mut self, step: &Step) {
        for fault in &step.faults {
            self.begin(*fault).await;
        }
        sleep(step.lasting).await;
        for fault in &step.faults {
            self.end(*fault).await;
        }
        self.calm().await;
    }

    async fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(Process::PostgreSql) => self.pair.crash().await,
            Fault::Kill(Process::Nats) => self.nats.start_again(),
            Fault::Kill(process) => {
                if let Some(pid) = self.pid(process).await {
                    signal(pid, Signal::SIGKILL);
                }
            }
            Fault::Stop(process) => self.stop(self.pid(process).await),
            Fault::MuteStandby => self.stop(self.pair.receiver().await),
            Fault::Cut(line, Cut::Reset) => self.proxy(line).begin(Broken::Reset),
            Fault::Cut(line, Cut::HalfClosed) => self.proxy(line).begin(Broken::HalfClosed),
            Fault::Swallow(line, Deaf::All) => self.proxy(line).begin(Broken::Blackhole),
            Fault::Swallow(line, Deaf::Old) => self.proxy(line).silence(),
            Fault::Clock(clock, ms) => self.set(clock, ms),
            Fault::Failover => self.fail_over().await,
            Fault::NatsLoss => {
                self.nats.kill();
                // It may have stored nothing.
                let _ = std::fs::remove_dir_all(self.nats.store());
                self.nats.start_again();
            }
            Fault::Provider(account, Mood::Mute) => self.provider(account, "slow", MUTE_MS).await,
            Fault::Provider(account, Mood::Down) => self.provider(account, "down", 0).await,
        }
    }

    async fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Cut(line, _) | Fault::Swallow(line, Deaf::All) => self.proxy(line).end(),
            Fault::Clock(clock, _) => self.set(clock, 0),
            Fault::Provider(..) => {}
            Fault::Stop(_) | Fault::MuteStandby => {
                for pid in self.stopped.drain(..) {
                    signal(pid, Signal::SIGCONT);
                }
            }
            Fault::Kill(_) | Fault::Swallow(_, Deaf::Old) | Fault::Failover | Fault::NatsLoss => {}
        }
    }

    /// Starts what has ended again, and has the provider be as in peace, which it forgets when it is killed.
    async fn calm(&mut self) {
        for n in 0..self.others.len() {
            if self.others[n].child.try_wait().expect("ours").is_some() {
                let (roles, listen) = (self.others[n].roles, self.others[n].listen.clone());
                self.others[n].child = self.spawn(roles, &listen);
            }
        }
        for account in [ACCOUNT, "sendgrid"] {
            self.provider(account, "up", LATENCY_MS).await;
        }
    }

    fn stop(&mut self, pid: Option<i64>) {
        if let Some(pid) = pid {
            signal(pid, Signal::SIGSTOP);
            self.stopped.push(pid);
        }
    }

    async fn pid(&self, process: Process) -> Option<i64> {
        match process {
            Process::Role(name) => self.servers().pids.get(name).map(|pid| i64::from(*pid)),
            Process::Second(name) => {
                let second = self.others.iter().find(|one| one.name == name)?;
                second.child.id().map(i64::from)
            }
            // Whichever: they differ from run to run.
            Process::Backend => self.pair.backends().await.into_iter().last(),
            Process::Nats => Some(self.nats.pid().into()),
            Process::PostgreSql => unreachable!("it is killed and started as a whole"),
        }
    }

    fn way(&self, family: Family) -> &Links {
        match family {
            Family::First => &self.first,
            Family::Second => &self.second,
        }
    }

    fn proxy(&self, (family, server): Line) -> &Proxy {
        match server {
            Server::PostgreSql => &self.way(family).postgresql,
            Server::Nats => &self.way(family).nats,
        }
    }

    fn set(&self, clock: Clock, ms: i64) {
        let file = match clock {
            Clock::Of(family) => &self.way(family).clock,
            Clock::OfProvider => &self.provider_clock,
        };
        set_clock(file, ms);
    }

    async fn fail_over(&mut self) {
        self.pair.fail_over().await;
        let url = self.pair.primary.url();
        for way in [&self.first, &self.second] {
            way.postgresql.lead_to(&url);
        }
        self.until("the fence is lifted", async |world| {
            let given = [("HATCH_DATABASE_URL", url.as_str())];
            let (lifted, said, _) =
                output_with(world.folder.path(), &["fence", "lift"], &given).await;
            lifted && said.contains("of the log begins")
        })
        .await;
    }

    async fn provider(&self, account: &str, mode: &str, latency_ms: u64) {
        self.until("the simulator listens", async |world| {
            let url = format!("{}/_sim/accounts/{account}", world.simulator());
            let body = json!({"mode": mode, "latency_ms": latency_ms});
            let answer = world.http.put(url).json(&body).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// How many messages have not come to an end, those among them whose doubt a look-up can end.
    pub(crate) async fn unsettled(&self) -> Option<i64> {
        let unsettled = self.pair.rows(UNSETTLED).await?.first().copied()?;
        let doubts = self.pair.rows(DOUBTS).await?.first().copied()?;
        Some(unsettled + doubts)
    }

    /// Whether no message waits for something that does not come, and the read models are about where the log is.
    async fn stands_still(&self) -> bool {
        let is = async |sql, most: i64| {
            let rows = self.pair.rows(sql).await;
            rows.and_then(|rows| rows.first().copied()).is_some_and(|count| count <= most)
        };
        is(STANDING, 0).await && is(BEHIND, BEHIND_MAX).await
    }

    /// Waits until nothing is left to happen, and for as long again until the provider has said what became of
    /// every doubt that a look-up can settle.
    pub(crate) async fn settle(&self) {
        for account in [ACCOUNT, "sendgrid"] {
            self.provider(account, "up", 0).await;
        }
        self.settled("every message is settled").await;
        self.tell("in doubt when all else was settled", WHY).await;
        let (mut asked, deadline) = (None::<Instant>, Instant::now() + PATIENCE);
        let mut looks = paced(POLL);
        while self.pair.rows(DOUBTS).await.as_deref() != Some(&[0]) && Instant::now() < deadline {
            if asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN_EVERY) {
                asked = Some(Instant::now());
                self.pair.rows(ASK_NOW).await;
                self.tell_progress().await;
            }
            looks.tick().await;
        }
        self.settled("what came of it is settled").await;
        self.tell("in doubt at the end", WHY).await;
    }

    /// Waits until nothing stands still; says what does, where that lasts too long.
    async fn settled(&self, what: &str) {
        let (deadline, mut looks) = (Instant::now() + PATIENCE, paced(POLL));
        while !self.stands_still().await {
            if Instant::now() > deadline {
                self.tell("standing still", STANDING_BY).await;
                let behind = self.pair.rows(BEHIND).await;
                panic!("not within {PATIENCE:?}: {what}; the read models are {behind:?} behind");
            }
            looks.tick().await;
        }
    }

    /// Prints how much is under way: accepted and not settled, in doubt, not yet read.
    pub(crate) async fn tell_progress(&self) {
        let mut counts = Vec::new();
        for sql in [UNSETTLED, DOUBTS, BEHIND] {
            let rows = self.pair.rows(sql).await;
            counts.push(rows.and_then(|rows| rows.first().copied()));
        }
        line(format!("  unsettled, in doubt, behind: {counts:?}")).expect("printed");
    }

    /// Prints what is in doubt and why.
    async fn tell(&self, what: &str, query: &str) {
        let url: hatch_eventstore::Database = self.pair.primary.url().parse().expect("a URL");
        let client = hatch_eventstore::connect(&url).await.expect("it is up");
        let rows = client.query(query, &[]).await.expect("readable");
        line(format!("{what}: {} groups", rows.len())).expect("printed");
        for row in rows {
            line(format!("  {}", row.get::<_, String>(0))).expect("printed");
        }
    }

    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        eventually_paced(POLL, PATIENCE, what, async || holds(self).await).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for pid in self.stopped.drain(..) {
            signal(pid, Signal::SIGCONT);
        }
    }
}

impl Links {
    async fn start(folder: &Path, name: &str, pair: &Pair, nats: &Nats) -> Self {
        Self {
            postgresql: Proxy::start(&pair.primary.url()).await,
            nats: Proxy::start(&nats.url()).await,
            clock: clock(folder, name),
        }
    }

    fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("HATCH_DATABASE_URL", self.postgresql.url().to_owned()),
            ("HATCH_NATS_URL", self.nats.url().to_owned()),
            ("HATCH_TEST_CLOCK", self.clock.display().to_string()),
        ]
    }
}

/// Where a process says what it meets: in the folder that `HATCH_TEST_STORM_LOGS` names, if it does.
pub(super) fn log(name: &str) -> Stdio {
    let Ok(folder) = std::env::var("HATCH_TEST_STORM_LOGS") else { return Stdio::null() };
    let file = Path::new(&folder).join(format!("{name}.log"));
    let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
    file.expect("the folder is there").into()
}

/// A file that says by how much a clock is wrong.
fn clock(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(format!("{name}.clock"));
    set_clock(&file, 0);
    file
}

/// Written aside, so that nobody reads a half.
fn set_clock(file: &Path, ms: i64) {
    let aside = file.with_extension("next");
    std::fs::write(&aside, ms.to_string()).expect("written");
    std::fs::rename(aside, file).expect("renamed");
}
