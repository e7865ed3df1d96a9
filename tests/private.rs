//! What other users of the machine see of hatch's files: nothing. What a terminal gets of a stranger's text: text.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hatch::roles::Role;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{CUSTOMER, Hatch, SENDER};
use crate::process::{Up, data_folder, output, program};

/// Everything below `folder`, links not followed.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("it is there");
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            if !metadata.is_symlink() {
                found.push(path);
            }
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn no_file_of_hatch_is_open_to_other_users_whatever_the_umask_and_whatever_was_there() {
    let folder = data_folder();
    let data = folder.path().join(".hatch");
    std::fs::create_dir(&data).expect("a folder");
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).expect("the mode");
    for old in ["simulator-messages.ndjson", "hatch.lock"] {
        std::fs::write(data.join(old), "").expect("a file of an earlier build");
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(data.join(old), open).expect("the mode");
    }
    let mut command = program(folder.path(), "sh");
    command.args(["-c", "umask 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_hatch"), "up"]);
    let mut up = Up::start_by(command).await;
    let id = up.send("private").await;
    up.delivered(&id).await;
    let (ok, _, error) = output(folder.path(), &["events", "export", "-o", "log.ndjson"]).await;
    assert!(ok, "{error}");
    assert_eq!(mode(&folder.path().join("log.ndjson")), 0o600);
    assert_eq!(mode(&data), 0o711);
    for path in below(&data) {
        // A server may have removed a file since.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let others = metadata.permissions().mode() & 0o077;
        // PostgreSQL's own socket is a file that asks for a password.
        let is_way = metadata.is_dir() && others == 0o011;
        let is_file = metadata.is_file() || metadata.is_dir();
        assert!(others == 0 || is_way || !is_file, "{others:o} {}", path.display());
    }
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
}

#[tokio::test]
async fn a_lock_that_another_program_holds_is_not_blamed_on_the_last_hatch() {
    let folder = data_folder();
    let data = folder.path().join(".hatch");
    std::fs::create_dir(&data).expect("a folder");
    // Beyond what the system gives: nobody has this number.
    std::fs::write(data.join("hatch.lock"), "4194999").expect("a file");
    let lock = std::fs::File::open(data.join("hatch.lock")).expect("a file");
    lock.lock().expect("it is free");
    let (ok, _, error) = output(folder.path(), &["up"]).await;
    let ours = std::process::id().to_string();
    assert!(!ok && error.contains(&ours) && error.contains("hatch.lock"), "{error}");
    assert!(!error.contains("already running") && !error.contains("4194999"), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
}

/// Clears the screen, renames the window, writes red by C1 alone, goes back in the line, and turns the text around.
const HOSTILE: &str = "a\u{1b}[2Jb\u{1b}]0;owned\u{7}c\u{9b}31md\re\u{7f}f\u{202e}g\u{8}h\u{2028}i";

#[tokio::test]
async fn no_command_sends_a_strangers_control_characters_to_the_terminal() {
    let hatch = Hatch::start_with(&Role::ALL, |_| {}).await;
    let inbound = json!({
        "provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": HOSTILE, "attachments": [],
    });
    assert_eq!(hatch.simulate_inbound(&inbound).await / 100, 2);
    let sent = json!({"to": "+18045550400", "body": HOSTILE});
    let failed = hatch.post("/api/v1/messages", &sent).await;
    let folder = data_folder();
    let found = hatch
        .eventually("the inbound message is read", async |hatch| {
            let list = hatch.get("/api/v1/messages?direction=inbound").await;
            list.body["data"][0]["id"].as_str().map(str::to_owned)
        })
        .await;
    if failed.status == 202 {
        hatch.message_with_status(failed.text("id"), "failed").await;
    }
    for arguments in [
        &["events", "tail", "--no-follow", "-n", "50"][..],
        &["events", "show", &found],
        &["events", "export"],
        &["dead-letters", "list"],
        &["dead-letters", "list", "--json"],
        &["doctor"],
        &["projections", "verify", "messages"],
    ] {
        let mut command = program(folder.path(), env!("CARGO_BIN_EXE_hatch"));
        command.args(arguments).env("HATCH_LOG__FILTER", "trace");
        command.env("HATCH_DATABASE_URL", hatch.database.url());
        command.env("HATCH_NATS_URL", &hatch.bus.settings().url);
        command.env("HATCH_BUS__PREFIX", &hatch.bus.settings().prefix);
        let output = command.output().await.expect("it runs");
        let shown = String::from_utf8([output.stdout.clone(), output.stderr].concat());
        let shown = shown.expect("UTF-8");
        let control = |c: char| {
            c.is_control() && !matches!(c, '\n' | '\t') || ('\u{2028}'..='\u{202e}').contains(&c)
        };
        assert!(!shown.contains(control), "{arguments:?}: {shown:?}");
        if arguments[0] == "events" {
            let text = String::from_utf8(output.stdout).expect("UTF-8");
            let lines = text.lines().map(serde_json::from_str::<Value>);
            let same = lines.filter(|line| {
                let line = line.as_ref().expect("JSON");
                line["payload"]["body"] == HOSTILE || line["data"]["body"] == HOSTILE
            });
            assert!(same.count() > 0, "{arguments:?} says the text itself: {text}");
        }
    }
    hatch.finish().await;
}
