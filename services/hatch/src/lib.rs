//! hatch: the one binary, as a library, so that tests run what users run.

mod admission;
mod bus_end;
pub mod cli;
pub mod commands;
#[cfg(feature = "dev")]
mod development;
mod exposure;
mod feed;
mod files;
mod foreign;
mod http_client;
mod limits;
mod logging;
pub mod output;
pub mod progress;
mod readiness;
pub mod reload;
pub mod roles;
mod schemas;
pub mod settings;
pub mod telemetry;
pub mod threads;
mod tokens;

use std::process::ExitCode;

use nix::sys::stat::{Mode, umask};

use crate::cli::{Cli, Command};
use crate::settings::Settings;

pub use crate::http_client::http_client;
pub use crate::logging::QUIET as UNUSUAL;
pub use crate::schemas::schemas;

/// Runs one command and says how the process is to end.
///
/// # Errors
/// Whatever keeps the command from doing what it is for, with what to do about it.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        #[cfg(feature = "dev")]
        Command::WithServers(flags) => {
            hatch_devservers::with_servers::run(&flags.command, flags.durable).await
        }
        Command::Bench { arguments } => Err(commands::bench::run(&arguments)),
        Command::MasterKey(cli::MasterKey::Create) => {
            commands::master_key::create()?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Openapi => {
            output::line(hatch_api::openapi::document_json().trim_end())?;
            Ok(ExitCode::SUCCESS)
        }
        command => {
            let (settings, filter) = (settings(&command)?, filter(&command));
            with_settings(settings, filter, |settings| execute(command, settings)).await
        }
    }
}

/// Runs `work` with what every program that works with hatch's servers has: settings, log lines by
/// `filter`, as many files as there may be, and errors that name the server.
///
/// # Errors
/// Those of `work`, and what keeps telemetry from starting.
pub async fn with_settings<W>(
    settings: Settings,
    filter: &str,
    work: impl FnOnce(Settings) -> W,
) -> anyhow::Result<ExitCode>
where
    W: Future<Output = anyhow::Result<ExitCode>>,
{
    // Its files hold messages, addresses and passwords: other users of the machine may not read them.
    umask(Mode::from_bits_truncate(0o077));
    let raised = files::raise();
    let telemetry = telemetry::start(&settings, filter)?;
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let outcome = Box::pin(work(settings.clone())).await;
    telemetry.finish().await;
    outcome.map_err(|error| commands::named_server(error, settings))
}

fn settings(command: &Command) -> anyhow::Result<Settings> {
    match command {
        #[cfg(feature = "dev")]
        Command::Up(_) => Settings::load_up(),
        #[cfg(feature = "dev")]
        Command::Simulator => Settings::load(),
        Command::Serve(_) => Settings::load_serve(),
        _ => Settings::load_command(),
    }
}

const fn filter(command: &Command) -> &'static str {
    match command {
        #[cfg(feature = "dev")]
        Command::Simulator => logging::NORMAL,
        Command::Serve(_) => logging::NORMAL,
        // What it finds it says itself.
        Command::Doctor(_) => logging::ERRORS,
        _ => logging::QUIET,
    }
}

async fn execute(command: Command, settings: Settings) -> anyhow::Result<ExitCode> {
    match command {
        #[cfg(feature = "dev")]
        Command::Up(flags) => development::run(settings, flags.split).await?,
        #[cfg(feature = "dev")]
        Command::Simulator => development::simulate(&settings).await?,
        #[cfg(feature = "dev")]
        Command::Demo(flags) => development::demonstrate(&settings, flags).await?,
        #[cfg(feature = "dev")]
        Command::WithServers(_) => {}
        Command::Serve(flags) => commands::serve::run(settings, &flags.roles).await?,
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
        Command::DeadLetters(what) => {
            return Box::pin(commands::dead_letters::run(&commands::running(settings)?, what))
                .await;
        }
        Command::InDoubt(what) => {
            return Box::pin(commands::in_doubt::run(&commands::running(settings)?, what)).await;
        }
        Command::Webhooks(what) => {
            return Box::pin(webhooks(&commands::running(settings)?, what)).await;
        }
        Command::Accounts(what) => {
            return commands::accounts::run(&commands::running(settings)?, what).await;
        }
        Command::Routes(cli::Routes::Explain(flags)) => {
            return Box::pin(commands::routes::explain(&commands::running(settings)?, flags)).await;
        }
        Command::Tenants(what) => {
            commands::tenants::run(&commands::running(settings)?, what).await?;
        }
        Command::Requests(cli::Requests::Tail(flags)) => {
            commands::requests::tail(&commands::running(settings)?, flags).await?;
        }
        Command::Keys(what) => commands::keys::run(&commands::running(settings)?, what).await?,
        Command::Members(what) => {
            commands::members::run(&commands::running(settings)?, what).await?;
        }
        Command::MasterKey(_) => {
            return Box::pin(commands::master_key::rotate(&commands::running(settings)?)).await;
        }
        Command::Fence(cli::Fence::Lift) => {
            commands::fence::lift(&commands::running(settings)?).await?;
        }
        Command::Doctor(flags) => {
            return Box::pin(commands::doctor::run(settings, flags.json)).await;
        }
        // They have been run before there were settings.
        Command::Openapi | Command::Bench { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn webhooks(settings: &Settings, what: cli::Webhooks) -> anyhow::Result<ExitCode> {
    match what {
        cli::Webhooks::List { outcome, limit, json } => {
            commands::webhooks::list(settings, outcome, limit, json).await?;
            Ok(ExitCode::SUCCESS)
        }
        cli::Webhooks::Replay { ids } => commands::webhooks::replay(settings, &ids).await,
        cli::Webhooks::Rederive(flags) => commands::webhooks::rederive(settings, &flags).await,
    }
}
