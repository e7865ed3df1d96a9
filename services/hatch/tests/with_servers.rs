//! `hatch with-servers`, run as people run it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A place for temporary folders that no other test looks at.
fn temporary() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))
        .expect("the mode");
    folder
}

fn with_servers(temporary: &Path, script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hatch"));
    command
        .args(["with-servers", "--", "sh", "-c", script])
        .env("TMPDIR", temporary)
        // This test may itself run under `with-servers`, or beside somebody's servers.
        .env_remove("HATCH_TEST_DATABASE_URL")
        .env_remove("HATCH_TEST_NATS_URL")
        .env_remove("HATCH_DATABASE_URL")
        .env_remove("HATCH_NATS_URL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(mut command: Command) -> Output {
    command.output().expect("hatch runs")
}

fn is_alive(pid: i32) -> bool {
    // A dead one that nobody reaps has no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).map_or_else(
        |_| !Path::new("/proc/self").exists() && kill(Pid::from_raw(pid), None).is_ok(),
        |arguments| !arguments.is_empty(),
    )
}

/// A run that goes on until its input ends, at the latest with this test; its servers run.
fn running(temporary: &Path) -> (Child, Vec<i32>) {
    let mut run = with_servers(temporary, "echo started && exec cat").spawn().expect("hatch runs");
    let mut said = String::new();
    let output = BufReader::new(run.stdout.as_mut().expect("piped"));
    output.take(8).read_line(&mut said).expect("the script says that it runs");
    assert_eq!(said, "started\n");
    (run, server_pids(temporary))
}

/// The process ids of the servers under `temporary`.
fn server_pids(temporary: &Path) -> Vec<i32> {
    let pids: Vec<_> = std::fs::read_dir(temporary)
        .expect("the folder")
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("servers.json")).ok())
        .filter_map(|text| serde_json::from_slice::<serde_json::Value>(&text).ok())
        .flat_map(|servers| {
            [servers["pids"]["postgres"].as_i64(), servers["pids"]["nats-server"].as_i64()]
        })
        .flatten()
        .map(|pid| i32::try_from(pid).expect("a process id"))
        .collect();
    assert_eq!(pids.len(), 2, "two servers run");
    pids
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a process id")), signal).expect("kill");
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("the folder").next().is_none()
}

#[test]
fn the_command_finds_both_servers_and_its_exit_code_is_passed_on() {
    let temporary = temporary();
    let script = r#"
        "$HATCH_TEST_POSTGRES_BIN/psql" "$HATCH_TEST_DATABASE_URL" -Atc "show server_encoding" &&
        "$HATCH_TEST_NATS_SERVER" --version && echo "$HATCH_TEST_NATS_URL" && exit 42"#;
    let output = output(with_servers(temporary.path(), script));
    let printed = String::from_utf8_lossy(&output.stdout);
    let printed: Vec<_> = printed.lines().collect();
    assert_eq!(output.status.code(), Some(42), "{output:?}");
    assert!(matches!(printed[..], ["UTF8", version, url]
        if version.starts_with("nats-server: v") && url.starts_with("nats://hatch:") && url.contains("@127.0.0.1:")));
    assert!(is_empty(temporary.path()));
}

#[test]
fn a_terminated_run_stops_its_servers_and_a_killed_one_is_cleared_away_by_the_next() {
    let temporary = temporary();
    let (mut run, pids) = running(temporary.path());
    let _input = run.stdin.take();
    signal(&run, Signal::SIGTERM);
    assert_eq!(run.wait().expect("an end").code(), Some(128 + Signal::SIGTERM as i32));
    assert!(!pids.into_iter().any(is_alive));
    assert!(is_empty(temporary.path()));

    let (mut run, pids) = running(temporary.path());
    let _input = run.stdin.take();
    signal(&run, Signal::SIGKILL);
    run.wait().expect("an end");
    assert!(pids.iter().all(|pid| is_alive(*pid)), "a kill leaves servers behind");
    let output = output(with_servers(temporary.path(), "true"));
    assert!(output.status.success(), "{output:?}");
    assert!(!pids.into_iter().any(is_alive), "the next run has ended them");
    assert!(is_empty(temporary.path()));
}
