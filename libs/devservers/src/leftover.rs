//! Servers that outlived the hatch which started them.
//!
//! After a `SIGKILL` of hatch its servers go on, and after one of a postmaster its backends may.
//! They are recognised by what they are (the program's name) and by the data that they work on (an
//! argument or their current folder), never by a process id from a file alone, which may by now
//! belong to somebody else.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hatch_process::signal;
use nix::sys::signal::Signal;

/// How long a leftover may take to end by itself, and then to die.
const GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// A process that works on the data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    pub(crate) pid: u32,
    /// It was started with the data's path, unlike the processes that it has forked.
    pub(crate) main: bool,
}

/// Stops every process of `program` that works on `data`, by `stop_signal` where it listens.
///
/// # Errors
/// One of them is still there after `SIGKILL`, or the processes cannot be listed.
pub(crate) async fn stop(program: &str, data: &Path, stop_signal: Signal) -> anyhow::Result<()> {
    let found = find(program, data)?;
    if found.is_empty() {
        return Ok(());
    }
    tracing::warn!(program, data = %data.display(), "stopping what an earlier run left behind");
    if found.iter().any(|leftover| leftover.main) {
        for leftover in found.iter().filter(|leftover| leftover.main) {
            signal(leftover.pid, stop_signal);
        }
    } else {
        for leftover in &found {
            signal(leftover.pid, Signal::SIGQUIT);
        }
    }
    if gone(program, data).await? {
        return Ok(());
    }
    for leftover in find(program, data)? {
        signal(leftover.pid, Signal::SIGKILL);
    }
    ensure!(
        gone(program, data).await?,
        "failed to stop a {program} that works on {}: end it and try again",
        data.display()
    );
    Ok(())
}

async fn gone(program: &str, data: &Path) -> anyhow::Result<bool> {
    let start = Instant::now();
    while start.elapsed() < GRACE {
        if find(program, data)?.is_empty() {
            return Ok(true);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(false)
}

/// The processes of `program` that work on `data`. Dead ones that nobody has reaped do not count.
pub(crate) fn find(program: &str, data: &Path) -> anyhow::Result<Vec<Leftover>> {
    if Path::new("/proc/self/cmdline").exists() {
        find_in_proc(program, data).context("failed to read /proc")
    } else {
        find_with_ps(program, data).context("failed to list processes with ps")
    }
}

fn find_in_proc(program: &str, data: &Path) -> std::io::Result<Vec<Leftover>> {
    use std::os::unix::ffi::OsStrExt as _;

    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?.path();
        let Some(pid) = entry.file_name().and_then(OsStr::to_str).and_then(|n| n.parse().ok())
        else {
            continue;
        };
        // Any of these may end while it is looked at.
        if std::fs::read_to_string(entry.join("comm")).is_ok_and(|name| name.trim() == program) {
            let arguments = std::fs::read(entry.join("cmdline")).unwrap_or_default();
            let main = arguments.split(|byte| *byte == 0).any(|a| a == data.as_os_str().as_bytes());
            if main || std::fs::read_link(entry.join("cwd")).is_ok_and(|folder| folder == data) {
                found.push(Leftover { pid, main });
            }
        }
    }
    Ok(found)
}

fn find_with_ps(program: &str, data: &Path) -> anyhow::Result<Vec<Leftover>> {
    let output = std::process::Command::new("ps").args(["-axo", "pid=,command="]).output()?;
    let data = data.to_string_lossy();
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let (pid, command) = line.trim().split_once(' ')?;
            let mut words = command.split_whitespace();
            let name = Path::new(words.next()?).file_name()?;
            (name == program && command.contains(&*data)).then_some(())?;
            Some(Leftover { pid: pid.parse().ok()?, main: true })
        })
        .collect())
}
