//! How many threads the processes of one machine run tasks on.
//!
//! tokio takes one for each processor. The eight processes of `up --split`, and the benchmark beside
//! them, would then have several times as many threads that take turns than the machine has
//! processors, and each turn costs. They share the processors instead.

use std::ffi::OsString;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};

use crate::cli::{Cli, Command};

/// tokio's own variable: threads of a process; it goes before what is decided here.
const WORKERS: &str = "TOKIO_WORKER_THREADS";
/// Of the processes that share a machine, so many have much to do at a time.
const BUSY_PROCESSES: usize = 4;

/// The runtime of a command's process.
///
/// # Errors
/// When the system has no room for it.
pub fn runtime(cli: &Cli) -> std::io::Result<Runtime> {
    let shares = match &cli.command {
        Command::Up(flags) => flags.split,
        Command::Bench(_) => true,
        _ => false,
    };
    let given = std::env::var(WORKERS).ok().and_then(|text| text.parse().ok());
    let given = given.filter(|workers| *workers > 0);
    let workers = given.unwrap_or_else(|| if shares { share() } else { processors() });
    // One thread for everything costs less than one for the tasks beside the main one.
    let mut builder =
        if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(workers).enable_all().build()
}

/// What a process of `up --split` is told.
pub(crate) fn setting() -> (OsString, OsString) {
    let workers = std::env::var_os(WORKERS).unwrap_or_else(|| share().to_string().into());
    (WORKERS.into(), workers)
}

fn share() -> usize {
    (processors() / BUSY_PROCESSES).max(1)
}

fn processors() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}
