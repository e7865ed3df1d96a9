//! The one binary.

use std::process::ExitCode;

use clap::Parser;
use hatch::cli::Cli;

/// A tenth of a message's time went into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ran = hatch::threads::runtime(&cli).and_then(|runtime| runtime.block_on(hatch::run(cli)));
    ran.unwrap_or_else(|error| {
        hatch::output::error(&error);
        ExitCode::FAILURE
    })
}
