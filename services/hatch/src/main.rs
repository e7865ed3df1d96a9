//! The one binary.

use std::process::ExitCode;

use clap::Parser;
use hatch::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    hatch::run(Cli::parse()).await.unwrap_or_else(|error| {
        hatch::output::error(&error);
        ExitCode::FAILURE
    })
}
