//! Crashes under load: everything that runs is killed with SIGKILL, again and again, while clients
//! send; at the end the checker holds all that is left against each other.
//!
//! Short by default. `HATCH_TEST_CRASH_KILLS=200 HATCH_TEST_CRASH_MESSAGES=10000` makes it long (`just crash`);
//! `HATCH_TEST_CRASH_SEED` repeats the choices of a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use hatch::output::line;
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use hatch_process::Servers;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::checker::Evidence;
use crate::harness::ACCOUNT;
use crate::process::{Up, data_folder, output, send_signal};
use crate::senders::{Dice, Senders};
use crate::time::{eventually_paced, paced};

const CONNECTIONS: usize = 32;
/// How late the provider answers, so that many calls are under way at any time.
const LATENCY_MS: u64 = 300;
/// A kill waits until so many messages are accepted and not settled.
const IN_FLIGHT_MIN: i64 = 100;
/// With so many, clients hold back.
const IN_FLIGHT_MAX: i64 = 300;
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(100);
/// Messages that are accepted between two kills at most.
const BETWEEN_KILLS_MAX: usize = 150;

const PROCESSES: [&str; 9] = [
    "command",
    "query",
    "webhook",
    "relay",
    "projector",
    "dispatcher",
    "simulator",
    "postgres",
    "nats-server",
];
/// One server process of PostgreSQL, on which it restarts all of them.
const BACKEND: &str = "postgres backend";

const UNSETTLED: &str = "SELECT count(*) FROM rm.messages \
     WHERE status NOT IN ('delivered', 'read', 'undelivered', 'partly_delivered', 'failed', 'canceled', 'in_doubt')";
const BEHIND: &str = "SELECT (SELECT coalesce(max(position), 0) FROM es.events) \
     - (SELECT position FROM es.checkpoints WHERE name = 'messages')";
const BACKENDS: &str = "SELECT pid::bigint FROM pg_stat_activity \
     WHERE application_name LIKE 'hatch%' ORDER BY pid";

/// How much is sent and killed.
struct Plan {
    messages: u64,
    kills: u64,
    seed: u64,
}

impl Plan {
    fn of_environment() -> Self {
        let number = |name: &str, default: u64| {
            std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
        };
        Self {
            messages: number("HATCH_TEST_CRASH_MESSAGES", 600),
            kills: number("HATCH_TEST_CRASH_KILLS", 12),
            seed: number("HATCH_TEST_CRASH_SEED", SystemEnvironment.new_id().as_u64_pair().1),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_stuck_whatever_is_killed() {
    let plan = Plan::of_environment();
    let folder = data_folder();
    let mut up = Up::start(folder.path(), &["--split"]).await;
    let world = World::new(folder.path());
    let load = Senders::start(CONNECTIONS, vec![up.url.clone()], &up.http, plan.messages);
    let began = Instant::now();
    let killed = world.kill(&plan, &load).await;
    let journal = load.finish().await;
    let sending = began.elapsed();
    world.settle().await;

    let servers = world.servers();
    let acknowledged = journal.acknowledged.len();
    let simulator = servers.simulator_url.clone().expect("a simulator");
    let (evidence, violations) =
        Evidence::standing(&servers.database_url, &simulator, &up.http, journal).await;
    line(evidence.table(plan.seed, sending, &killed, violations.len())).expect("printed");
    assert!(violations.is_empty(), "{violations:#?}");
    assert!(acknowledged as u64 >= plan.messages);

    let (ok, said, error) = output(folder.path(), &["log", "verify"]).await;
    assert!(ok, "{said}{error}");
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
}

/// What runs, seen from outside.
struct World<'a> {
    folder: &'a Path,
    http: reqwest::Client,
}

impl<'a> World<'a> {
    fn new(folder: &'a Path) -> Self {
        Self { folder, http: hatch::http_client(Duration::from_secs(5)).expect("a client") }
    }

    fn servers(&self) -> Servers {
        let servers = Servers::read(&self.folder.join(".hatch")).expect("readable");
        servers.expect("something runs")
    }

    /// Kills as often as planned, each time with enough under way; says what, how often.
    async fn kill(&self, plan: &Plan, load: &Senders) -> BTreeMap<&'static str, usize> {
        let mut dice = Dice::new(plan.seed);
        let mut looks = paced(POLL);
        let watch = async {
            loop {
                looks.tick().await;
                if let Some(count) = self.count(UNSETTLED).await {
                    load.hold_back(count >= IN_FLIGHT_MAX);
                }
            }
        };
        tokio::select! {
            killed = self.kill_in_turn(plan, load, &mut dice) => killed,
            () = watch => unreachable!("it never ends"),
        }
    }

    async fn kill_in_turn(
        &self,
        plan: &Plan,
        load: &Senders,
        dice: &mut Dice,
    ) -> BTreeMap<&'static str, usize> {
        let mut killed = BTreeMap::new();
        let mut done = 0;
        while done < plan.kills {
            self.slow_down(LATENCY_MS).await;
            self.until("enough is in flight", async || {
                self.count(UNSETTLED).await.is_some_and(|count| count >= IN_FLIGHT_MIN)
            })
            .await;
            // Now and then two at once, of which the second meets the recovery from the first.
            let at_once = if dice.below(4) == 0 { 2 } else { 1 };
            for _ in 0..at_once {
                let victim = dice.below(PROCESSES.len() + 1);
                let victim = PROCESSES.get(victim).copied().unwrap_or(BACKEND);
                if self.kill_one(victim, dice).await {
                    *killed.entry(victim).or_default() += 1;
                    done += 1;
                }
            }
            let some = load.accepted() + dice.below(BETWEEN_KILLS_MAX);
            self.until("clients go on", async || load.is_broken() || load.accepted() >= some).await;
            assert!(!load.is_broken(), "a client got an answer that it must not get");
        }
        killed
    }

    /// Whether it was there to be killed.
    async fn kill_one(&self, victim: &str, dice: &mut Dice) -> bool {
        let pid = if victim == BACKEND {
            let backends = self.rows(BACKENDS).await.unwrap_or_default();
            (!backends.is_empty()).then(|| backends[dice.below(backends.len())])
        } else {
            self.servers().pids.get(victim).map(|pid| i64::from(*pid))
        };
        pid.inspect(|pid| send_signal(*pid, Signal::SIGKILL)).is_some()
    }

    /// Lets the provider recover and waits until nothing is left to happen.
    async fn settle(&self) {
        self.slow_down(0).await;
        self.until("every message is settled", async || {
            self.count(UNSETTLED).await == Some(0) && self.count(BEHIND).await == Some(0)
        })
        .await;
    }

    /// Sets how late the simulator answers; it forgets that when it is killed.
    async fn slow_down(&self, latency_ms: u64) {
        self.until("the simulator listens", async || {
            let url = self.servers().simulator_url.expect("a simulator");
            let mut set = true;
            for account in [ACCOUNT, "sendgrid"] {
                let body = json!({"mode": "up", "latency_ms": latency_ms});
                let url = format!("{url}/_sim/accounts/{account}");
                let answer = self.http.put(url).json(&body).send().await;
                set &= answer.is_ok_and(|answer| answer.status().is_success());
            }
            set
        })
        .await;
    }

    async fn count(&self, sql: &str) -> Option<i64> {
        self.rows(sql).await?.first().copied()
    }

    /// The first column of a query, if PostgreSQL is there to answer it.
    async fn rows(&self, sql: &str) -> Option<Vec<i64>> {
        let config: hatch_eventstore::Database =
            self.servers().database_url.parse().expect("a URL");
        let asked = async {
            let client = hatch_eventstore::connect(&config).await.ok()?;
            let rows = client.query(sql, &[]).await.ok()?;
            Some(rows.iter().map(|row| row.get(0)).collect())
        };
        tokio::time::timeout(Duration::from_secs(5), asked).await.ok()?
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        eventually_paced(POLL, PATIENCE, what, holds).await;
    }
}
