//! `just bench-micro`: what the parts cost, each beside what PostgreSQL does with the same bytes and
//! nothing around them, in the same run.
//!
//! Everything runs on one thread and on servers that wait for the disk. A batch of *n* is *n* commands
//! that are there when the appender looks, so one transaction of *n* events. What is printed at the end
//! is the median of each, and raw time as a share of ours: 1 would be PostgreSQL's own speed.

mod parts;
mod ratios;
mod raw;
#[path = "../shared/mod.rs"]
mod shared;

use std::path::Path;
use std::time::Duration;

use criterion::Criterion;
use hatch_eventstore::testing::TestDatabase;
use tokio::runtime::Runtime;

/// Where criterion keeps its figures.
const FIGURES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/micro");

/// As in hatch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // Cargo's test runner lists and runs benchmarks too, and has no servers for them.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    drop(std::fs::remove_dir_all(FIGURES));
    let mut criterion = Criterion::default()
        .output_directory(Path::new(FIGURES))
        .sample_size(20)
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let database = runtime.block_on(TestDatabase::create_from(&shared::TEMPLATE));
    measure(&mut criterion, &runtime, &database);
    criterion.final_summary();
    ratios::print(Path::new(FIGURES)).expect("the figures can be read and printed");
}

fn measure(criterion: &mut Criterion, runtime: &Runtime, database: &TestDatabase) {
    runtime.block_on(async { raw::create(&*database.connect().await).await });
    parts::append(criterion, runtime, database);
    parts::append_by_four(criterion, runtime, database);
    parts::page(criterion, runtime, database);
    parts::project(criterion, runtime, database);
    parts::decide(criterion, runtime, database);
}
