//! Throw-away entry point until the command line exists.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let command = arguments.iter().position(|a| a == "--").map_or(0, |at| at + 1);
    hatch::with_servers::run(&arguments[command..]).await
}
