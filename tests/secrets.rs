//! No secret of the settings is said by an error, a finding, a log line or what a command prints.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::process::Command;

use crate::harness::CUSTOMER;
use crate::process::{Up, data_folder, output, program};

/// Stands in every secret, and nowhere else.
const CANARY: &str = "cAnArYsEcReT42";

/// What a command with these variables says, at the loudest that it can.
async fn said(folder: &Path, arguments: &[&str], variables: &[(&str, String)]) -> String {
    let mut command = program(folder, env!("CARGO_BIN_EXE_hatch"));
    command.args(arguments).env("HATCH_LOG__FILTER", "trace").env("RUST_LOG", "trace");
    command.env("RUST_BACKTRACE", "1").stdout(Stdio::piped());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let ran = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    let output = ran.expect("it ends by itself").expect("it runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn whole() -> Vec<(&'static str, String)> {
    let (sid, url) = (format!("AC{}", "0".repeat(32)), "http://127.0.0.1:1".to_owned());
    vec![
        ("HATCH_DATABASE_URL", format!("postgres://hatch:{CANARY}@127.0.0.1:1/hatch")),
        ("HATCH_NATS_URL", format!("nats://hatch:{CANARY}@127.0.0.1:1")),
        ("HATCH_TWILIO__ACCOUNT_SID", sid),
        ("HATCH_TWILIO__AUTH_TOKEN", CANARY.to_owned()),
        ("HATCH_TWILIO__AUTH_TOKEN_SECONDARY", format!("{CANARY}2")),
        ("HATCH_TWILIO__BASE_URL", url.clone()),
        ("HATCH_SENDGRID__API_KEY", format!("SG.{CANARY}")),
        ("HATCH_SENDGRID__BASE_URL", url),
        ("HATCH_GENERIC__BEARER_SECRET", format!("{CANARY}{CANARY}")),
        ("HATCH_TELEMETRY__OTLP_ENDPOINT", format!("http://u:{CANARY}@127.0.0.1:1")),
    ]
}

#[tokio::test]
async fn commands_that_fail_at_the_loudest_filter_say_no_secret() {
    let folder = data_folder();
    let commands: [&[&str]; 5] = [
        &["doctor"],
        &["doctor", "--json"],
        &["serve"],
        &["events", "tail", "--no-follow"],
        &["migrate"],
    ];
    for arguments in commands {
        for format in ["text", "json"] {
            let mut variables = whole();
            variables.push(("HATCH_LOG__FORMAT", format.to_owned()));
            let said = said(folder.path(), arguments, &variables).await;
            assert!(!said.is_empty() && !said.contains(CANARY), "{arguments:?}: {said}");
        }
    }
}

#[tokio::test]
async fn a_secret_of_a_form_that_is_refused_is_not_said() {
    let folder = data_folder();
    let bad = [
        ("HATCH_DATABASE_URL", format!("postgres://hatch:{CANARY}@[::1/hatch?a={CANARY}")),
        ("HATCH_DATABASE_URL", format!("host=h password={CANARY} {CANARY}")),
        ("HATCH_DATABASE_URL", format!("host=h {CANARY}=1")),
        ("HATCH_NATS_URL", format!("nats://hatch:{CANARY}@[")),
        ("HATCH_NATS_URL", format!("nats://hatch:{CANARY}@h:port")),
        ("HATCH_PUBLIC_URL", format!("ftp://u:{CANARY}@h")),
        ("HATCH_PUBLIC_URL", format!("https://u:{CANARY}@h")),
        ("HATCH_TWILIO__BASE_URL", format!("http://u:{CANARY}@127.0.0.1:1")),
        ("HATCH_TWILIO__BASE_URL", format!("http://u:{CANARY}@127.0.0.1:x")),
        ("HATCH_TWILIO__PUBLIC_URL", format!("http://u:{CANARY}@h")),
        ("HATCH_TWILIO__ACCOUNT_SID", CANARY.to_owned()),
        ("HATCH_SENDGRID__BASE_URL", format!("{CANARY}:{CANARY}@h")),
        ("HATCH_SENDGRID__EVENT_PUBLIC_KEYS", CANARY.to_owned()),
        ("HATCH_GENERIC__BEARER_SECRET", CANARY[..4].to_owned() + "\n"),
        ("HATCH_GENERIC", CANARY.to_owned()),
        ("HATCH_TWILIO__AUTH_TOKEN_FILE", CANARY.to_owned()),
        ("HATCH_TELEMETRY__OTLP_ENDPOINT", format!("http://u:{CANARY}@[")),
    ];
    for (name, value) in bad {
        let mut variables: Vec<_> = whole();
        let own = name.trim_end_matches("_FILE");
        variables.retain(|(other, _)| *other != own);
        variables.push((name, value.clone()));
        for arguments in [&["serve"][..], &["doctor"]] {
            let said = said(folder.path(), arguments, &variables).await;
            let part = &CANARY[..4];
            assert!(!said.is_empty() && !said.contains(part), "{name}={value}: {said}");
        }
    }
    for toml in [
        format!("[twilio]\nauth_token = \"{CANARY}\n"),
        format!("[sendgrid]\napi_key = {CANARY}\n"),
        format!("database_url = [\"{CANARY}\"]\n"),
        format!("{CANARY}\n"),
    ] {
        let file = folder.path().join("hatch.toml");
        std::fs::write(&file, &toml).expect("written");
        let said = said(folder.path(), &["doctor"], &[]).await;
        assert!(said.contains("line ") && !said.contains(CANARY), "{toml}: {said}");
    }
}

#[tokio::test]
async fn up_at_the_loudest_filter_logs_no_secret_text_or_address() {
    let folder = data_folder();
    for format in ["text", "json"] {
        let log = std::fs::File::create(folder.path().join("up.log")).expect("a file");
        let mut command: Command = program(folder.path(), env!("CARGO_BIN_EXE_hatch"));
        command.arg("up").env("HATCH_LOG__FILTER", "trace,tokio_postgres::query=trace,hyper=trace");
        command.env("RUST_LOG", "trace").env("HATCH_LOG__FORMAT", format).stderr(log);
        command.env("HATCH_TWILIO__AUTH_TOKEN", "dev-twilio-auth-token");
        command.env("HATCH_GENERIC__BEARER_SECRET", format!("{CANARY}{CANARY}"));
        let mut up = Up::start_by(command).await;
        let id = up.send(&format!("a-text-that-nobody-logs-{format}")).await;
        up.delivered(&id).await;
        let refused = up.http.post(format!("{}/api/v1/webhooks/generic", up.url));
        let refused = refused.bearer_auth(format!("{CANARY}x")).json(&json!({"to": CUSTOMER}));
        assert_eq!(refused.send().await.expect("an answer").status(), 401);
        let record = std::fs::read_to_string(folder.path().join(".hatch/servers.json"));
        let record: serde_json::Value =
            serde_json::from_str(&record.expect("a record")).expect("JSON");
        let url = record["database_url"].as_str().expect("a URL").to_owned();
        let password = url.split(['@', ':']).nth(2).expect("a password").to_owned();
        let (_, findings, errors) = output(folder.path(), &["doctor"]).await;
        up.signal(Signal::SIGTERM);
        assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
        let log = std::fs::read_to_string(folder.path().join("up.log")).expect("a log");
        assert!(log.contains(&id), "the message is named");
        for secret in [
            CANARY,
            "a-text-that-nobody-logs",
            CUSTOMER,
            "dev-twilio-auth-token",
            "dev-sendgrid-api-key",
            password.as_str(),
        ] {
            for text in [&log, &findings, &errors] {
                let at = text.find(secret);
                let around = at.map(|at| text.get(at.saturating_sub(300)..at + 60));
                assert!(at.is_none(), "{secret}: {around:?}");
            }
        }
    }
}
