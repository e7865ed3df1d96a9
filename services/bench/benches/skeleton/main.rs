//! `just bench-skeleton`: the bare path of a message on this machine, and hatch beside it.
//!
//! The bare path: accepted with group commit, relayed, claimed, sent over HTTP, its receipt taken over HTTP, and
//! projected: the same servers and the same steps as hatch's, with nothing else. No authentication,
//! validation, idempotency, expected versions, retries, read models but one, or metrics; three events a
//! message and one receipt. The same with hatch's events and receipts: four events, of which one is the claim, and two receipts, each
//! kept in a row. hatch: all of it, in one process, with its simulator. Each is the path, the
//! provider, and this process with its clients, who send the same.

mod clients;
mod path;
mod provider;
mod whole;

use std::io::BufRead as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hatch::output;
use hatch_bus::testing::TestBus;
use hatch_eventstore::testing::TestDatabase;

use crate::path::Extent;
use crate::whole::Hatch;

/// What this program is when it starts itself again: the whole path, the same in hatch's shape, as far as
/// the log, or the provider.
const WHOLE: &str = "--whole";
const SHAPED: &str = "--shaped";
const ACCEPT: &str = "--accept";
const PROVIDER: &str = "--provider";
/// All that hatch does.
const ROLES: &str = "command,query,webhook,relay,projector,dispatcher";
/// Long enough for the rates to be steady.
const DURATION: Duration = Duration::from_secs(8);
/// How long the rest may take once the clients have stopped.
const REST_MAX: Duration = Duration::from_secs(60);
/// Between two looks at how many are: counting costs the processors too.
const COUNT_PAUSE: Duration = Duration::from_millis(200);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo's test runner lists and runs benchmarks too, and has no servers for them.
    if arguments.iter().any(|argument| argument == "--list" || argument == "--test") {
        return Ok(());
    }
    // reqwest wants one, though nothing here is encrypted. Nobody else has installed one before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match words[..] {
        [WHOLE, database, provider] => {
            runtime.block_on(path::run(database, provider, Extent::Whole))
        }
        [SHAPED, database, provider] => {
            runtime.block_on(path::run(database, provider, Extent::Shaped))
        }
        [ACCEPT, database, provider] => {
            runtime.block_on(path::run(database, provider, Extent::Accept))
        }
        [PROVIDER] => runtime.block_on(provider::run()),
        _ => runtime.block_on(measure()),
    }
}

/// Who carries the messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Bare,
    /// The bare path with hatch's events and receipts.
    Shaped,
    Hatch,
}

/// What is measured, with how many clients: 64 is what the bare path's figures were published for.
const RUNS: [(&str, bool, usize, &[Who]); 3] = [
    ("accept only", false, 64, &[Who::Bare, Who::Hatch]),
    ("accept only", false, 256, &[Who::Bare, Who::Hatch]),
    ("full lifecycle", true, 64, &[Who::Bare, Who::Shaped, Who::Hatch]),
];

async fn measure() -> anyhow::Result<()> {
    output::line(format_args!(
        "{:<16}{:>8}{:>17}{:>12}{:>12}{:>14}{:>10}",
        "run", "clients", "", "accepted/s", "finished/s", "CPU µs each", "p99 ms"
    ))?;
    for (run, whole, clients, all) in RUNS {
        for who in all {
            let figures = one(*who, whole, clients).await?;
            let Figures { accepted, took, processor, p99 } = figures;
            let messages = accepted as f64;
            output::line(format_args!(
                "{run:<16}{clients:>8}{:>17}{:>12.0}{:>12.0}{:>14.0}{:>10.1}",
                match who {
                    Who::Bare => "bare path",
                    Who::Shaped => "in hatch's shape",
                    Who::Hatch => "hatch",
                },
                messages / DURATION.as_secs_f64(),
                messages / took.as_secs_f64(),
                processor.as_secs_f64() * 1e6 / messages,
                p99.as_secs_f64() * 1e3,
            ))?;
        }
    }
    let disk = hatch_bench::disk::fdatasync(&std::env::temp_dir())?;
    output::line(format_args!("\nfdatasync {:.1} µs", disk.as_secs_f64() * 1e6))?;
    Ok(())
}

struct Figures {
    accepted: u64,
    /// Until the last message was settled. Accepting outruns the rest, which goes on when it ends.
    took: Duration,
    /// What the whole machine worked until the last message was settled.
    processor: Duration,
    /// Of accepting.
    p99: Duration,
}

async fn one(who: Who, whole: bool, clients: usize) -> anyhow::Result<Figures> {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    match who {
        Who::Bare | Who::Shaped => {
            client.batch_execute(path::TABLES).await?;
            let (_provider, provider) = Running::start(&[PROVIDER])?;
            let role = match (whole, who) {
                (false, _) => ACCEPT,
                (true, Who::Shaped) => SHAPED,
                (true, _) => WHOLE,
            };
            let (_path, address) = Running::start(&[role, &database.url(), &provider])?;
            figures(&client, &address, whole.then_some(path::COUNT_DELIVERED), clients).await
        }
        Who::Hatch => {
            let (bus, folder) = (TestBus::create().await, tempfile::tempdir()?);
            let roles = if whole { ROLES } else { "command" };
            let hatch = Hatch::start(roles, &database.url(), &bus, folder.path()).await?;
            let count = whole.then_some(whole::COUNT_DELIVERED);
            figures(&client, &hatch.address, count, clients).await
        }
    }
}

/// Of sending to `address` until as many are counted as were accepted, where they are to be counted.
async fn figures(
    client: &tokio_postgres::Client,
    address: &str,
    count: Option<&str>,
    clients: usize,
) -> anyhow::Result<Figures> {
    let (before, begun) = (busy()?, Instant::now());
    let seen = clients::run(address, DURATION, clients).await?;
    let deadline = Instant::now() + REST_MAX;
    if let Some(count) = count {
        while client.query_one(count, &[]).await?.get::<_, i64>(0) < i64::try_from(seen.accepted)? {
            anyhow::ensure!(Instant::now() < deadline, "not all that was accepted is delivered");
            tokio::time::sleep(COUNT_PAUSE).await;
        }
    }
    let took = begun.elapsed();
    let processor = busy()?.saturating_sub(before);
    Ok(Figures { accepted: seen.accepted, took, processor, p99: seen.p99 })
}

/// A process that ends with this value.
struct Running(Child);

impl Running {
    /// Starts this program again, and returns the address that it listens on.
    fn start(arguments: &[&str]) -> anyhow::Result<(Self, String)> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("it was asked for")?;
        let running = Self(child);
        let mut address = String::new();
        std::io::BufReader::new(out).read_line(&mut address)?;
        Ok((running, address.trim().to_owned()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The time that this machine's processors have worked (`/proc/stat`, proc(5): the first line, in ticks
/// of 10 ms: user, nice, system, idle, iowait, irq, softirq).
fn busy() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").context("only Linux tells")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u32> =
        line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
    let [user, nice, system, _, _, irq, softirq, ..] = ticks[..] else {
        anyhow::bail!("/proc/stat has another form");
    };
    Ok(Duration::from_millis(10) * (user + nice + system + irq + softirq))
}
