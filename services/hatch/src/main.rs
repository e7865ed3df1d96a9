//! The one binary.

use std::process::ExitCode;

use clap::Parser;
use hatch::cli::Cli;

/// A tenth of a message's time went into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    hatch::run(Cli::parse()).await.unwrap_or_else(|error| {
        hatch::output::error(&error);
        ExitCode::FAILURE
    })
}
