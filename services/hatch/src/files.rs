//! How many files this process may have open. Its connections are files too.

use std::path::Path;
use std::sync::Arc;

use hatch_telemetry::limit::{Limit, Limits};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// No process of hatch opens more, and some programs take time for each file that they might open.
pub(crate) const FILES_MAX: u64 = 65_536;

/// With fewer, a busy process soon lacks some.
pub(crate) const FILES_LOW: u64 = 1_024;

/// One of so many parts of the files is for the calls of an account, or for the simulator's callbacks.
const SHARE: u64 = 16;

/// Where the system lists the open files of a process.
const OWN: [&str; 2] = ["/proc/self/fd", "/dev/fd"];

/// The limit's name in metrics.
const LIMIT: &str = "files";

/// How many files a process may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Files {
    /// What holds now.
    pub(crate) soft: u64,
    /// What it may be raised to without the system's administrator.
    pub(crate) hard: u64,
}

impl Files {
    /// Those of this process.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn allowed() -> std::io::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        Ok(Self { soft, hard })
    }
}

impl Files {
    /// Those of another process, where the system tells.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        let mut numbers = line.split_whitespace().map(str::parse);
        Some(Self { soft: numbers.next()?.ok()?, hard: numbers.next()?.ok()? })
    }
}

/// Raises what holds to what may hold, up to [`FILES_MAX`]: the usual soft limit is made for programs that call
/// `select`, and few for one that serves. What it starts inherits that.
///
/// # Errors
/// The system's, and the limit is as it was.
pub(crate) fn raise() -> std::io::Result<Files> {
    let allowed = Files::allowed()?;
    let soft = allowed.hard.min(FILES_MAX);
    if soft <= allowed.soft {
        return Ok(allowed);
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft, allowed.hard)?;
    Ok(Files { soft, ..allowed })
}

/// Says how many files there are, for a process that is about to serve.
pub(crate) fn log() {
    match Files::allowed() {
        Ok(Files { soft, hard }) if soft < FILES_LOW => {
            tracing::warn!(soft, hard, "this process may open few files: raise its hard limit");
        }
        Ok(Files { soft, hard }) => tracing::info!(soft, hard, "files that may be open"),
        Err(error) => tracing::warn!(%error, "the limit of open files is not known"),
    }
}

/// How many files a process has open, where the system tells: those of the process `pid`, or our own.
pub(crate) fn open(pid: Option<u32>) -> std::io::Result<u64> {
    let places = match pid {
        Some(pid) => vec![format!("/proc/{pid}/fd")],
        None => OWN.map(str::to_owned).into(),
    };
    let place = places.iter().find(|place| Path::new(place).exists());
    let place = place.ok_or(std::io::ErrorKind::Unsupported)?;
    // The list of our own has the file by which it is read.
    let own = u64::from(pid.is_none());
    Ok((std::fs::read_dir(place)?.count() as u64).saturating_sub(own))
}

/// How many of something may be under way in a process, where each takes files at both ends and `wanted` is what
/// would be best: a part of the files, so that none of those who need some takes them all.
pub(crate) fn share(wanted: usize) -> usize {
    let files = Files::allowed().map_or(FILES_MAX, |files| files.soft);
    wanted.min(usize::try_from(files / SHARE).unwrap_or(usize::MAX)).max(1)
}

/// The limit of open files among the limits of the process.
pub(crate) fn limit(limits: &Limits) -> Arc<Limit> {
    limits.limit(LIMIT, Files::allowed().map_or(u64::MAX, |files| files.soft))
}

/// Looks at how many files are open, for whoever is about to show the limit.
pub(crate) fn observe(limit: &Limit) {
    match open(None) {
        Ok(open) => limit.set_used(open),
        // It takes a file to count them.
        Err(error) if error.kind() != std::io::ErrorKind::Unsupported => {
            limit.set_used(limit.max())
        }
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_raised_to_what_may_hold() {
        let raised = raise().expect("raised");
        assert_eq!(raised.soft, raised.hard.min(FILES_MAX).max(raised.soft));
        assert_eq!(Files::allowed().expect("a limit"), raised);
    }

    #[test]
    fn a_share_is_never_more_than_wanted_and_never_nothing() {
        assert_eq!((share(0), share(1)), (1, 1));
        let files = Files::allowed().expect("a limit").soft;
        assert!(share(usize::MAX) as u64 <= files / SHARE);
    }

    #[test]
    fn a_file_that_is_opened_is_counted() {
        let limits = Limits::default();
        let limit = limit(&limits);
        observe(&limit);
        let before = limit.used();
        let held: Vec<_> =
            (0..50).map(|_| std::fs::File::open("/dev/null").expect("a file")).collect();
        observe(&limit);
        assert!(before > 0 && limit.used() >= before + 40, "{before} and {}", limit.used());
        drop(held);
        assert!(open(Some(std::process::id())).is_ok_and(|open| open > 0));
    }
}
