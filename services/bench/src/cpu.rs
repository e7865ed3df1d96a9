//! Processor time by process, from Linux's `/proc`. Elsewhere nothing is known, and nothing is said.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// What PostgreSQL is called; it alone works in children.
const POSTGRES: &str = "postgres";
/// A tick of the times in `/proc`: `USER_HZ` is 100 on every architecture that hatch is built for.
const TICK: Duration = Duration::from_millis(10);

/// The processor time that processes had used when it was taken, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage(BTreeMap<String, (u32, Duration)>);

impl Usage {
    /// The time of the processes with these ids; those that are not there are left out.
    pub(crate) fn of(processes: &BTreeMap<String, u32>) -> Self {
        let times = processes.iter().filter_map(|(name, pid)| {
            let time = if name == POSTGRES { with_children(*pid) } else { Some(own(&stat(*pid)?)) };
            Some((name.clone(), (*pid, time?)))
        });
        Self(times.collect())
    }

    /// What each process used since `earlier`; all of its time if it is another one by now.
    pub(crate) fn since(&self, earlier: &Self) -> BTreeMap<String, Duration> {
        let used = self.0.iter().map(|(name, (pid, time))| {
            let before = earlier.0.get(name).filter(|(before, _)| before == pid);
            let before = before.map_or(Duration::ZERO, |(_, time)| *time);
            (name.clone(), time.saturating_sub(before))
        });
        used.collect()
    }
}

/// A line of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// In user and in kernel mode.
    own: Duration,
    /// The same of children that have ended.
    ended_children: Duration,
}

fn own(stat: &Stat) -> Duration {
    stat.own
}

/// A server's time, with its children that have ended and those that run.
fn with_children(pid: u32) -> Option<Duration> {
    // The parent first: a child that ends meanwhile is missed rather than counted twice.
    let server = stat(pid)?;
    let running = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
        let child = stat(entry.file_name().to_str()?.parse().ok()?)?;
        (child.parent == pid).then_some(child.own + child.ended_children)
    });
    Some(server.own + server.ended_children + running.sum::<Duration>())
}

fn stat(pid: u32) -> Option<Stat> {
    let path = Path::new("/proc").join(pid.to_string()).join("stat");
    parse(&std::fs::read_to_string(path).ok()?)
}

fn parse(line: &str) -> Option<Stat> {
    // The second field is a name in brackets, which may hold anything.
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<_> = rest.split_ascii_whitespace().collect();
    // Counted from the third field, the state.
    let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some(Stat {
        parent: number(1)?,
        own: TICK * number(11)? + TICK * number(12)?,
        ended_children: TICK * number(13)? + TICK * number(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_past_any_name() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194304 9 0 0 0 150 50 3 1 20 0 1 0 99 8 1 2";
        let expected = Stat {
            parent: 7,
            own: Duration::from_secs(2),
            ended_children: Duration::from_millis(40),
        };
        assert_eq!(parse(line), Some(expected));
        assert_eq!(parse("42 (cut off"), None);
    }

    #[test]
    fn a_process_that_was_started_anew_has_used_all_of_its_time() {
        let usage = |pid, seconds| {
            Usage([("relay".to_owned(), (pid, Duration::from_secs(seconds)))].into())
        };
        assert_eq!(usage(7, 5).since(&usage(7, 3))["relay"], Duration::from_secs(2));
        assert_eq!(usage(8, 1).since(&usage(7, 3))["relay"], Duration::from_secs(1));
        assert_eq!(usage(8, 1).since(&Usage::default())["relay"], Duration::from_secs(1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_found_and_one_that_is_not_there_is_left_out() {
        let processes = [("generator".to_owned(), std::process::id()), ("gone".to_owned(), 0)];
        let usage = Usage::of(&processes.into());
        assert_eq!(usage.0.keys().collect::<Vec<_>>(), ["generator"]);
    }
}
