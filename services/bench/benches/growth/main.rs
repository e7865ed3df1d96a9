//! `just bench-growth`: the same work on a log of 0.1, 1 and 10 million events.
//!
//! The log is filled by COPY with messages that go well, and the read models by a rebuild, whose rate
//! is a figure of its own. Then each kind of work is done by one connection for some seconds. Servers
//! wait for the disk. The sizes can be given: `just bench-growth 100000 1000000`.

mod fill;
#[path = "../shared/mod.rs"]
mod shared;
mod work;

use std::time::{Duration, Instant};

use hatch::output;
use hatch_eventstore::Connections;
use hatch_eventstore::testing::TestDatabase;
use hatch_readmodel::{messages, rebuild};
use tokio::runtime::Builder;

/// Events in the log.
const SIZES: [i64; 3] = [100_000, 1_000_000, 10_000_000];

/// Work at a size that keeps less of the rate at the smallest than this is too slow.
const KEPT_MIN: f64 = 0.8;

const CONNECTIONS: usize = 4;
const POOL_WAIT_MAX: Duration = Duration::from_secs(10);

/// What was done, and how often a second.
type Rates = Vec<(&'static str, f64)>;

/// As in hatch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo's test runner lists and runs benchmarks too, and has no servers for them.
    if arguments.iter().any(|argument| argument == "--list" || argument == "--test") {
        return Ok(());
    }
    let mut sizes: Vec<i64> =
        arguments.iter().filter_map(|argument| argument.replace('_', "").parse().ok()).collect();
    if sizes.is_empty() {
        sizes = SIZES.to_vec();
    }
    let disk = hatch_bench::disk::fdatasync(&std::env::temp_dir())?;
    // A round trip to a thread beside this one would be measured with each look-up. A rebuild is a
    // program of its own, with a thread for each processor.
    let alone = Builder::new_current_thread().enable_all().build()?;
    let rebuilding = Builder::new_multi_thread().enable_all().build()?;
    let database = alone.block_on(TestDatabase::create_from(&shared::TEMPLATE));
    let new_pool = || hatch_eventstore::pool(&database.config(), CONNECTIONS, POOL_WAIT_MAX);
    let pool = new_pool();
    let mut columns: Vec<(i64, Rates)> = Vec::new();
    for size in sizes {
        output::note(format_args!("filling the log up to {size} events"));
        let filled = alone.block_on(async {
            let filled = fill::fill(&database, size).await?;
            work::project_to_head(&pool).await?;
            anyhow::Ok(filled)
        })?;
        output::note("building the read models");
        let rebuilt = rebuilding.block_on(rebuild_rate(new_pool()))?;
        output::note("measuring");
        let mut rates = alone.block_on(async {
            fill::settle(&database).await?;
            work::measure(&database, &pool, filled).await
        })?;
        rates.push(("rebuild, events", rebuilt));
        columns.push((size, rates));
    }
    print(&columns)?;
    output::line(format_args!("\nfdatasync {:.1} µs", disk.as_secs_f64() * 1e6))?;
    Ok(())
}

/// Events a second.
async fn rebuild_rate(pool: Connections) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let position = rebuild(&pool, &messages::DEFINITION, |_| {}).await?;
    Ok(position.0 as f64 / begun.elapsed().as_secs_f64())
}

/// A row for each kind of work: its rate at each size, and which share of the first one that is.
fn print(columns: &[(i64, Rates)]) -> anyhow::Result<()> {
    let Some((_, first)) = columns.first() else { return Ok(()) };
    let heads: String = columns.iter().map(|(size, _)| format!("{size:>18}")).collect();
    output::line(format_args!("\n{:<36}{heads}", "a second, with events in the log:"))?;
    for (n, (name, base)) in first.iter().enumerate() {
        let cell = |(_, rates): &(i64, Rates)| {
            let rate = rates[n].1;
            let (kept, mark) = (rate / base, if rate < base * KEPT_MIN { "!" } else { " " });
            format!("{rate:>11.0} {kept:>5.2}{mark}")
        };
        let cells: String = columns.iter().map(cell).collect();
        output::line(format_args!("{name:<36}{cells}"))?;
    }
    Ok(())
}
