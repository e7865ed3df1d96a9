//! `just bench-micro`: what the parts cost, each beside what PostgreSQL does with the same bytes and
//! nothing around them, in the same run.
//!
//! Everything runs on one thread and on servers that wait for the disk. A batch of *n* is *n* commands
//! that are there when the appender looks, so one transaction of *n* events. Ours and raw are measured in
//! turn, in several rounds, because the disk and the machine change from second to second. What is
//! printed at the end is the median of the rounds, and raw time as a share of ours: 1 would be PostgreSQL's
//! own speed.

mod parts;
mod ratios;
mod raw;
#[path = "../shared/mod.rs"]
mod shared;

use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::Criterion;
use hatch_eventstore::testing::TestDatabase;

/// Where criterion keeps its figures.
const FIGURES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/micro");

/// How often each part is measured, ours and raw one after the other.
const ROUNDS: usize = 7;

/// As in hatch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // Cargo's test runner lists and runs benchmarks too, and has no servers for them.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    drop(std::fs::remove_dir_all(FIGURES));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let database = runtime.block_on(TestDatabase::create_from(&shared::TEMPLATE));
    runtime.block_on(async { raw::create(&*database.connect().await).await });
    let parts = parts::Parts::new(&runtime, &database);
    let rounds: Vec<PathBuf> =
        (1..=ROUNDS).map(|round| Path::new(FIGURES).join(round.to_string())).collect();
    for round in &rounds {
        let mut criterion = Criterion::default()
            .output_directory(round)
            .sample_size(10)
            .nresamples(2_000)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(2))
            .configure_from_args();
        parts.measure(&mut criterion);
        criterion.final_summary();
    }
    ratios::print(&rounds).expect("the figures can be read and printed");
}
