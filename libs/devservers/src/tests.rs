//! These run real servers; `initdb` takes seconds on some machines, so each test does much.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use hatch_process::{Servers, is_alive, signal};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use super::*;
use crate::testing::eventually;

/// A data folder in a place that the servers' account gets to.
fn data_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))
        .expect("the mode");
    folder
}

fn options() -> Options {
    Options { purpose: Purpose::Tests, database_url: None, nats_url: None }
}

async fn start(path: &Path) -> Embedded {
    let folder = Folder::lock(path).expect("the folder is free");
    Embedded::start(&Arc::new(folder), options()).await.expect("the servers start")
}

async fn connect(url: &str) -> Option<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

fn recorded(path: &Path) -> Servers {
    Servers::read(path).expect("a readable record").expect("a record")
}

/// The process id in the record, as soon as it is another than `old`.
async fn restarted(path: &Path, name: &str, old: u32) -> u32 {
    let new = async || recorded(path).pids.get(name).copied().filter(|new| *new != old);
    eventually("a restart", new).await
}

#[tokio::test]
async fn data_survive_a_stop_and_servers_that_are_killed_come_back_on_the_same_port() {
    let temporary = data_folder();
    let path = temporary.path();
    let embedded = start(path).await;
    let client = connect(embedded.database_url()).await.expect("a connection");
    client
        .batch_execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)")
        .await
        .expect("DDL");

    let before = recorded(path);
    let (postgres, nats) = (before.pids["postgres"], before.pids["nats-server"]);
    signal(postgres, Signal::SIGKILL);
    signal(nats, Signal::SIGKILL);
    restarted(path, "nats-server", nats).await;
    restarted(path, "postgres", postgres).await;
    let url = embedded.database_url().to_owned();
    let client = eventually("PostgreSQL answers again", async || connect(&url).await).await;
    let row = client.query_one("SELECT n FROM kept", &[]).await.expect("the row");
    assert_eq!(row.get::<_, i32>(0), 42);
    assert_eq!(recorded(path).nats_url, before.nats_url);

    let last = recorded(path);
    embedded.stop().await;
    assert!(!last.pids.into_values().any(is_alive));
    assert_eq!(Servers::read(path).expect("no record"), None);

    let embedded = start(path).await;
    let client = connect(embedded.database_url()).await.expect("a connection");
    let row = client.query_one("SELECT n FROM kept", &[]).await.expect("the row");
    assert_eq!(row.get::<_, i32>(0), 42);
    embedded.stop().await;
}

#[tokio::test]
async fn nats_asks_for_a_password_that_no_other_account_can_read() {
    let temporary = data_folder();
    let path = temporary.path();
    let embedded = start(path).await;
    let url = embedded.nats_url().to_owned();
    let password = url.split([':', '@']).nth(2).expect("a password").to_owned();
    assert!(password.len() >= 32, "{password}");
    let server = url.rsplit_once('@').expect("a password").1;
    let refused = async_nats::connect(format!("nats://{server}")).await;
    let refused = refused.expect_err("it asks for a password").to_string();
    assert!(refused.contains("authorization"), "{refused}");
    let guessed =
        async_nats::ConnectOptions::with_user_and_password("hatch".into(), "guess".into());
    assert!(guessed.connect(server).await.is_err());
    let options =
        async_nats::ConnectOptions::with_user_and_password("hatch".into(), password.clone());
    options.connect(server).await.expect("with the password");

    // Who looks at the processes does not see it, and the files that hold it are their owner's alone.
    let pid = recorded(path).pids["nats-server"];
    let mut ps = std::process::Command::new("ps");
    let ps = ps.args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output().expect("ps runs");
    assert!(!String::from_utf8_lossy(&ps.stdout).contains(&password));
    let mut holds = 0;
    for file in files(path) {
        if std::fs::read(&file).is_ok_and(|bytes| contains(&bytes, password.as_bytes())) {
            let mode = file.metadata().expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
            holds += 1;
        }
    }
    assert!(holds >= 1, "the record has it");
    embedded.stop().await;

    let again = start(path).await;
    assert!(!again.nats_url().contains(&password), "another at each start");
    again.stop().await;
}

/// The files in `folder` and below, links followed.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_second_hatch_on_a_folder_is_told_in_one_line_who_has_it() {
    let temporary = data_folder();
    let held = Folder::lock(temporary.path()).expect("the folder is free");
    let refusal = Folder::lock(temporary.path()).expect_err("it is taken").to_string();
    let path = temporary.path().canonicalize().expect("the path");
    let who = format!("already running on {} (process {})", path.display(), std::process::id());
    assert!(refusal.contains(&who) && refusal.contains("HATCH_DATA_DIR"), "{refusal}");
    drop(held);
    Folder::lock(temporary.path()).expect("the folder is free again");
}
