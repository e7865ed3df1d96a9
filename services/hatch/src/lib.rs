//! hatch: the one binary, as a library, so that tests run what users run.

mod admission;
mod bench;
mod bus_end;
pub mod cli;
mod commands;
mod demo;
mod development;
pub mod disk;
pub mod embedded;
mod feed;
mod files;
mod foreign;
mod limits;
mod logging;
pub mod output;
mod progress;
mod readiness;
pub mod roles;
pub mod settings;
pub mod supervise;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod threads;
pub mod up;
pub mod with_servers;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use hatch_eventstore::schema::{EVENTSTORE, Schema};
use nix::sys::stat::{Mode, umask};

use crate::cli::{Cli, Command};
use crate::settings::Settings;

/// Runs one command and says how the process is to end.
///
/// # Errors
/// Whatever keeps the command from doing what it is for, with what to do about it.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Command::WithServers(with_servers) = &cli.command {
        return with_servers::run(&with_servers.command, with_servers.durable).await;
    }
    // What it writes holds messages, addresses and passwords: nobody else on the machine reads that.
    umask(Mode::from_bits_truncate(0o077));
    if let Command::Openapi = cli.command {
        output::line(hatch_api::openapi::document_json().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let settings = match cli.command {
        Command::Up(_) => Settings::load_up()?,
        Command::Serve(_) => Settings::load_serve()?,
        Command::Simulator => Settings::load()?,
        _ => Settings::load_command()?,
    };
    let filter = match cli.command {
        Command::Serve(_) | Command::Simulator => logging::NORMAL,
        // What it finds it says itself.
        Command::Doctor(_) => logging::ERRORS,
        _ => logging::QUIET,
    };
    let raised = files::raise();
    let telemetry = telemetry::start(&settings, filter)?;
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let outcome = Box::pin(execute(cli.command, settings.clone())).await;
    telemetry.finish().await;
    outcome.map_err(|error| commands::named_server(error, settings))
}

async fn execute(command: Command, settings: Settings) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(flags) => development::run(settings, flags.split).await?,
        Command::Serve(flags) => commands::serve::run(settings, &flags.roles).await?,
        Command::Simulator => commands::simulator::run(&settings).await?,
        Command::Migrate => commands::migrate::run(&commands::running(settings)?).await?,
        Command::Projections(what) => {
            return commands::projections::run(&commands::running(settings)?, what).await;
        }
        Command::Events(cli::Events::Tail(flags)) => {
            commands::events::tail(&commands::running(settings)?, &flags).await?;
        }
        Command::Events(cli::Events::Show { stream }) => {
            commands::events::show(&commands::running(settings)?, stream).await?;
        }
        Command::Events(cli::Events::Export(flags)) => {
            commands::events::export(&commands::running(settings)?, &flags).await?;
        }
        Command::Log(cli::Log::Verify) => {
            return commands::verify_log::run(&commands::running(settings)?).await;
        }
        Command::Log(cli::Log::Archive(flags)) => {
            let settings = commands::running(settings)?;
            return Box::pin(commands::archive::run(&settings, flags)).await;
        }
        Command::DeadLetters(cli::DeadLetters::List { limit, json }) => {
            commands::dead_letters::list(&commands::running(settings)?, limit, json).await?;
        }
        Command::DeadLetters(cli::DeadLetters::Redrive(flags)) => {
            return commands::dead_letters::redrive(&commands::running(settings)?, flags).await;
        }
        Command::Fence(cli::Fence::Lift) => {
            commands::fence::lift(&commands::running(settings)?).await?;
        }
        Command::Doctor(flags) => {
            return Box::pin(commands::doctor::run(settings, flags.json)).await;
        }
        Command::Bench(flags) => return Box::pin(commands::bench::run(settings, flags)).await,
        Command::Demo(flags) => demo::run(&settings, flags).await?,
        Command::Openapi | Command::WithServers(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Every schema of a database of hatch, in the order in which they are migrated.
pub(crate) fn schemas() -> [Schema; 3] {
    [EVENTSTORE, hatch_readmodel::SCHEMA, hatch_dispatcher::SCHEMA]
}

/// A client for our own HTTP requests, each within `timeout`.
///
/// # Errors
/// When the system's root certificates cannot be had.
pub fn http_client(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    // Fails only when the process chose its cryptography before; then that is used.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().timeout(timeout).no_proxy();
    client.build().context("failed to make an HTTP client")
}
