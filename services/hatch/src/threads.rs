//! How many threads the processes of one machine run tasks on.
//!
//! tokio takes one for each processor. The eight processes of `up --split`, and the benchmark beside
//! them, would then have several times as many threads that take turns than the machine has
//! processors, and each turn costs. They share the processors instead.

use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

use crate::cli::Command;

/// tokio's own variable: threads of a process. It goes before what is decided here.
const WORKERS: &str = "TOKIO_WORKER_THREADS";
/// How many of the processes on one machine are busy at the same time.
const BUSY_PROCESSES: usize = 4;

/// The runtime of a process, which may be one of many on its machine.
///
/// # Errors
/// `TOKIO_WORKER_THREADS` is no number of threads, or the system has no room for them.
pub fn runtime(is_one_of_many: bool) -> anyhow::Result<Runtime> {
    let workers = match std::env::var_os(WORKERS) {
        Some(text) => given(&text.to_string_lossy())?,
        None if is_one_of_many => share(processors()),
        None => processors(),
    };
    // One thread for everything costs less than one for the tasks beside the main one.
    let mut builder =
        if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(workers).enable_all().build().context("failed to start threads")
}

/// The variable that `up --split` sets for its processes, unless they inherit it.
#[cfg(feature = "dev")]
pub(crate) fn setting() -> Option<(std::ffi::OsString, std::ffi::OsString)> {
    let inherited = std::env::var_os(WORKERS).is_some();
    (!inherited).then(|| (WORKERS.into(), share(processors()).to_string().into()))
}

/// Whether `command` begins a process that shares its machine with others.
#[must_use]
pub const fn is_one_of_many(command: &Command) -> bool {
    #[cfg(feature = "dev")]
    if let Command::Up(flags) = command {
        return flags.split;
    }
    let _ = command;
    false
}

fn given(text: &str) -> anyhow::Result<usize> {
    let workers = text.parse::<NonZero<usize>>().ok().map(NonZero::get);
    workers.with_context(|| format!("{WORKERS}: expected a number of threads from 1, got {text:?}"))
}

fn share(processors: usize) -> usize {
    (processors / BUSY_PROCESSES).max(1)
}

fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_share_a_machine_have_a_thread_for_each_four_processors() {
        let shares: Vec<_> = [1, 2, 4, 7, 8, 64].map(share).into();
        assert_eq!(shares, [1, 1, 1, 1, 2, 16]);
    }

    #[test]
    fn a_bad_number_of_threads_is_named() {
        assert_eq!(given("3").expect("a number"), 3);
        for text in ["0", "-1", "many", ""] {
            let error = given(text).expect_err("no number of threads").to_string();
            assert!(error.contains(WORKERS) && error.contains(text), "{error}");
        }
    }
}
