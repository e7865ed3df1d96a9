//! Settings that are read again while hatch runs.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use hatch::reload::Reload;
use hatch::roles::Role;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStderr;

use crate::doctor::command;
use crate::harness::{CUSTOMER, Hatch, set_of};
use crate::process::data_folder;

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn an_account_whose_token_is_mended_sends_again_without_a_restart() {
    let mut hatch = Hatch::start().await;
    hatch.stop().await;
    let good = hatch.settings.clone();
    set_of(&mut hatch.settings, "twilio", "auth_token", json!("a wrong token"));
    let (again, reload) = Reload::of(hatch.settings.clone());
    hatch.reload = Some(reload);
    hatch.start_again(&Role::ALL).await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch
        .eventually("it waits for its account", async |hatch| {
            let message = hatch.get(&format!("/api/v1/messages/{id}")).await.body;
            (message["error"]["code"] == "20003").then_some(())
        })
        .await;

    again.send_replace(Arc::new(good));
    hatch.message_with_status(&id, "delivered").await;
    hatch
        .eventually("the account is up", async |hatch| {
            let ready = hatch.get("/ready").await.body;
            (ready["dependencies"]["twilio"]["status"] == "up").then_some(())
        })
        .await;
    // What came in meanwhile is believed by the new token, too.
    let inbound =
        json!({"provider": "twilio", "from": CUSTOMER, "to": "+12016661234", "body": "Hi"});
    assert_eq!(hatch.simulate_inbound(&inbound).await / 100, 2);
    hatch.finish().await;
}

/// Reads until a line has all `words`.
async fn line_with(lines: &mut Lines<BufReader<ChildStderr>>, words: &[&str]) -> String {
    let reading = async {
        loop {
            let line = lines.next_line().await.expect("readable").expect("it goes on");
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("no line: {words:?}"))
}

#[tokio::test]
async fn a_process_reads_its_file_at_sighup_and_a_bad_one_changes_nothing() {
    let hatch = Hatch::start_with(&[Role::Relay], |_| {}).await;
    let folder = data_folder();
    let file = folder.path().join("hatch.toml");
    let account = |sid: char| {
        let sid = format!("AC{}", sid.to_string().repeat(32));
        format!(
            "[accounts.second]\nprovider = \"twilio\"\naccount_sid = \"{sid}\"\nauth_token = \"CANARY\"\n"
        )
    };
    std::fs::write(&file, account('1')).expect("written");
    let mut serve = command(
        &hatch,
        &["serve", "--roles", "query"],
        &[("HATCH_LISTEN", "127.0.0.1:0"), ("HATCH_AUTHENTICATION", "off")],
    );
    serve.current_dir(folder.path()).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = serve.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    line_with(&mut lines, &["listening"]).await;
    let pid = Pid::from_raw(i32::try_from(child.id().expect("it runs")).expect("a pid"));
    let hang_up = || kill(pid, Signal::SIGHUP).expect("a signal");

    std::fs::write(&file, "[accounts.second]\naccount_sid = \"CANARY\n").expect("written");
    hang_up();
    let said = line_with(&mut lines, &["they stay as they were"]).await;
    assert!(said.contains("hatch.toml") && !said.contains("CANARY"), "{said}");
    std::fs::write(&file, account('x')).expect("written");
    hang_up();
    let said = line_with(&mut lines, &["they stay as they were"]).await;
    assert!(said.contains("accounts.second") && said.contains("account_sid"), "{said}");

    // A key of the right form, which nobody has.
    let limit = "[rate_limit.keys]\n7Qm2xVb9Lk4R = 7\n";
    let good = format!("deployment = \"other\"\n{}{limit}[log]\nfilter = \"warn\"\n", account('2'));
    std::fs::write(&file, good).expect("written");
    hang_up();
    line_with(&mut lines, &["the settings were read again"]).await;
    let said = line_with(&mut lines, &["take effect at the next start"]).await;
    assert!(said.contains("deployment") && !said.contains("accounts"), "{said}");
    line_with(&mut lines, &["7Qm2xVb9Lk4R", "they limit nothing"]).await;
    kill(pid, Signal::SIGTERM).expect("a signal");
    assert!(child.wait().await.expect("it ends").success());
    hatch.finish().await;
}
