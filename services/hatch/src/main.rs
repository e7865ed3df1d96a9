//! The one binary.

use std::process::ExitCode;

use clap::Parser;
use hatch::cli::Cli;
use hatch::threads;

/// A tenth of a message's time went into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ran = threads::runtime(threads::is_one_of_many(&cli.command))
        .and_then(|runtime| runtime.block_on(hatch::run(cli)));
    ran.unwrap_or_else(|error| {
        hatch::output::error(&error);
        ExitCode::FAILURE
    })
}
