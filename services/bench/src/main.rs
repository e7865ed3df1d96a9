//! `hatch bench`: the benchmark, as a program beside hatch, so that hatch is built without it.

use std::process::ExitCode;

use clap::Parser;
use hatch::settings::Settings;
use hatch::{output, threads, with_settings};
use hatch_bench::flags::Flags;

/// As hatch has it: the generator's time is measured too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let flags = Flags::parse();
    // It runs beside the processes that it measures.
    let ran = threads::runtime(true).and_then(|runtime| runtime.block_on(run(flags)));
    ran.unwrap_or_else(|error| {
        output::error(&error);
        ExitCode::FAILURE
    })
}

async fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    let settings = Settings::load_command()?;
    with_settings(settings, hatch::UNUSUAL, |settings| hatch_bench::run(settings, &flags)).await
}
