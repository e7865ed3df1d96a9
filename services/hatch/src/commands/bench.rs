//! `hatch bench`: the benchmark is a program of its own, which those who only run hatch need not build.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, anyhow};

/// The program, in the folder of this one.
const PROGRAM: &str = "hatch-bench";

/// Becomes the benchmark, with the same `arguments`; returns why it cannot.
pub(crate) fn run(arguments: &[OsString]) -> anyhow::Error {
    let own = match std::env::current_exe().context("failed to find this program") {
        Ok(own) => own,
        Err(error) => return error,
    };
    let program = own.with_file_name(PROGRAM);
    if !program.exists() {
        return anyhow!(
            "the benchmark is a program of its own, and {} is not there: run it by `./dev bench`, or build it \
             by `cargo build --release --package hatch-bench`",
            program.display()
        );
    }
    let error = Command::new(&program).args(arguments).exec();
    anyhow::Error::new(error).context(format!("failed to run {}", program.display()))
}
