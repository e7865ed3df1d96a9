//! Child processes that are kept running: started again with a growing pause when they die, and
//! stopped by a signal, a grace time and, only then, `SIGKILL`.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// First pause before a process that died is started again; it doubles up to [`RESTART_MAX`].
const RESTART_MIN: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(5);
/// A process that lived this long runs well again, and starts over with the shortest pause.
const CALM_AFTER: Duration = Duration::from_secs(10);

/// A program that can be started any number of times.
pub trait Program: Send + Sync + 'static {
    /// What logs call it.
    fn name(&self) -> &str;

    /// How it is started; asked anew for each start.
    ///
    /// # Errors
    /// What the command needs, such as its log file, cannot be had.
    fn command(&self) -> std::io::Result<Command>;

    /// What asks it to end by itself.
    fn stop_signal(&self) -> Signal {
        Signal::SIGTERM
    }

    /// How long it may take to end by itself before it is killed.
    fn grace(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// Clears away what a dead predecessor left behind.
    fn before_restart(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// A running [`Program`]. Dropping it stops the program in the background; [`stop`](Self::stop)
/// waits for the end.
#[derive(Debug)]
pub struct Supervised {
    pid: watch::Receiver<Option<u32>>,
    task: JoinHandle<()>,
    stop: DropGuard,
}

impl Supervised {
    /// Starts `program` and keeps it running.
    ///
    /// # Errors
    /// The first start is not possible at all. Later ones are tried again for ever.
    pub fn start(program: impl Program) -> anyhow::Result<Self> {
        let running = Running::spawn(&program)?;
        let (pid_sender, pid) = watch::channel(running.child.id());
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep_running(program, running, pid_sender, stop.clone()));
        Ok(Self { pid, task, stop: stop.drop_guard() })
    }

    /// The process id of the moment and its changes; `None` while the program is down.
    #[must_use]
    pub fn pid(&self) -> watch::Receiver<Option<u32>> {
        self.pid.clone()
    }

    /// Has the program read its settings again (`SIGHUP`). One that is down reads them at its start.
    pub fn hang_up(&self) {
        if let Some(pid) = *self.pid.borrow() {
            signal(pid, Signal::SIGHUP);
        }
    }

    /// Stops the program and waits until it has ended.
    pub async fn stop(self) {
        drop(self.stop);
        // A panic of the task has been reported by its hook, and the process died with its handle.
        let _ = self.task.await;
    }
}

/// A started process with the pipe that tells it whether its parent lives.
struct Running {
    child: Child,
    /// `Child::wait` would close it, and so tell the process that its parent is gone.
    _stdin: Option<tokio::process::ChildStdin>,
    since: Instant,
}

impl Running {
    fn spawn(program: &impl Program) -> anyhow::Result<Self> {
        let name = program.name();
        let mut command =
            program.command().with_context(|| format!("failed to prepare the start of {name}"))?;
        // A process group of its own: Ctrl-C in a terminal reaches only the supervisor, which
        // stops its children in order.
        let mut child = command
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        let stdin = child.stdin.take();
        Ok(Self { child, _stdin: stdin, since: Instant::now() })
    }

    async fn end(mut self, program: &impl Program) {
        if let Some(pid) = self.child.id() {
            signal(pid, program.stop_signal());
        }
        if tokio::time::timeout(program.grace(), self.child.wait()).await.is_err() {
            tracing::warn!(program = program.name(), "did not end in time and is killed");
            // It fails only for a process that has ended meanwhile.
            let _ = self.child.kill().await;
        }
    }
}

/// Sends `signal` to `pid`; one that has ended already needs none.
pub fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Whether there is a process `pid`, be it somebody else's.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    i32::try_from(pid)
        .is_ok_and(|pid| pid > 0 && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
        && !is_zombie(pid)
}

/// Whether the process has ended and only its parent has not asked how (proc(5), `/proc/PID/stat`).
fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

async fn keep_running<P: Program>(
    program: P,
    mut running: Running,
    pid: watch::Sender<Option<u32>>,
    stop: CancellationToken,
) {
    let (mut pause, mut died) = (RESTART_MIN, false);
    loop {
        let status = tokio::select! {
            () = stop.cancelled() => return running.end(&program).await,
            status = running.child.wait() => status,
            () = tokio::time::sleep(CALM_AFTER), if died => {
                tracing::warn!(program = program.name(), "runs again");
                died = false;
                continue;
            }
        };
        died = true;
        pid.send_replace(None);
        if running.since.elapsed() >= CALM_AFTER {
            pause = RESTART_MIN;
        }
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        tracing::warn!(program = program.name(), status, "died and is started again");
        running = loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RESTART_MAX);
            program.before_restart().await;
            match Running::spawn(&program) {
                Ok(running) => break running,
                Err(error) => tracing::warn!("{error:#}"),
            }
        };
        pid.send_replace(running.child.id());
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};

    use super::*;

    #[test]
    fn who_has_ended_is_not_alive_though_the_parent_has_not_asked() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("it starts");
        assert!(is_alive(child.id()));
        child.kill().expect("it runs");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
        waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).expect("it ends");
        assert!(!is_alive(child.id()));
        child.wait().expect("nobody else has asked");
    }
}
