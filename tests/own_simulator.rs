//! `hatch simulator` beside a `hatch serve`: it says what it takes, and takes what the accounts are set to.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use hatch_bus::testing::TestBus;
use hatch_devservers::free_port;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::harness::{CUSTOMER, database};
use crate::process::{Up, data_folder, program};

const PATIENCE: Duration = Duration::from_secs(120);

/// A simulator with `variables`, its address, and what it says of the variables of a hatch that sends by it.
async fn simulator(
    folder: &Path,
    variables: &[(&str, &str)],
) -> (Child, String, Vec<(String, String)>) {
    let mut command = program(folder, env!("CARGO_BIN_EXE_hatch"));
    command.arg("simulator").envs(variables.iter().copied()).stderr(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut url = String::new();
    let mut exports: Vec<(String, String)> = Vec::new();
    let reading = async {
        // It says them in one go.
        let is_said =
            |exports: &[(String, String)], key: &str| exports.iter().any(|(name, _)| name == key);
        while !["HATCH_TWILIO__AUTH_TOKEN", "HATCH_SENDGRID__API_KEY"]
            .iter()
            .all(|key| is_said(&exports, key))
        {
            let line = lines.next_line().await.expect("readable").expect("a line");
            if let Some(at) = line.strip_prefix("the simulator serves: ") {
                at.clone_into(&mut url);
            } else if let Some((name, value)) =
                line.trim().strip_prefix("export ").and_then(|set| set.split_once('='))
            {
                exports.push((name.to_owned(), value.to_owned()));
            } else if let Some(rest) = line.trim().strip_prefix("# and ") {
                let name = rest.split(' ').next().expect("a name");
                let value = variables.iter().find(|(own, _)| *own == name);
                let (_, value) = value.unwrap_or_else(|| panic!("{name} is not set"));
                exports.push((name.to_owned(), (*value).to_owned()));
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("it says what it takes in time");
    // One account a channel: which of several a message goes by is not what this is about.
    exports.retain(|(name, _)| {
        ["HATCH_TWILIO__", "HATCH_SENDGRID__"].iter().any(|of| name.starts_with(of))
    });
    (child, url, exports)
}

#[tokio::test]
async fn a_simulator_beside_serve_takes_what_it_says_and_what_is_set() {
    let own = [
        ("HATCH_TWILIO__ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
        ("HATCH_TWILIO__AUTH_TOKEN", "a-token-of-our-own"),
        ("HATCH_SENDGRID__API_KEY", "SG.a-key-of-our-own"),
    ];
    for variables in [&[][..], &own[..]] {
        let folder = data_folder();
        let (database, bus) = (database().await, TestBus::create().await);
        let listen = format!("127.0.0.1:{}", free_port().expect("a free port"));
        let public_url = format!("http://{listen}");
        let mut of_simulator = variables.to_vec();
        of_simulator.push(("HATCH_PUBLIC_URL", &public_url));
        let (_simulator, simulator, exports) = simulator(folder.path(), &of_simulator).await;
        let sid = exports.iter().find(|(name, _)| name == "HATCH_TWILIO__ACCOUNT_SID");
        let (_, sid) = sid.expect("the account is said");
        assert_eq!(variables.is_empty(), sid.ends_with("0000"), "{exports:?}");

        let mut command = program(folder.path(), env!("CARGO_BIN_EXE_hatch"));
        command
            .arg("serve")
            .env("HATCH_DATABASE_URL", database.url())
            .env("HATCH_NATS_URL", &bus.settings().url)
            .env("HATCH_BUS__PREFIX", &bus.settings().prefix)
            .env("HATCH_BUS__STREAM_BYTES_MAX", bus.settings().stream_bytes_max.to_string())
            .env("HATCH_LISTEN", &listen)
            .env("HATCH_AUTHENTICATION", "off")
            .env("HATCH_RATE_LIMIT__ENABLED", "false")
            .env("HATCH_DEFAULT_SMS_SENDER", "+12016661234")
            .env("HATCH_DEFAULT_EMAIL_SENDER", "user@usehatchapp.com")
            .envs(exports)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("it starts");
        let http = hatch::http_client(PATIENCE).expect("an HTTP client");
        let serve = Up { child, url: public_url.clone(), http };
        let sms = serve.send("by the simulator").await;
        serve.delivered(&sms).await;
        let mail = json!({"to": "reader@example.com", "subject": "s", "body": "by it, too"});
        let request = serve.http.post(format!("{public_url}/api/v1/messages")).json(&mail);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let answer: Value = answer.json().await.expect("JSON");
        // Its receipts are signed by the key that the simulator named.
        serve.delivered(answer["id"].as_str().expect("an id")).await;
        let inbound =
            json!({"provider": "twilio", "from": CUSTOMER, "to": "+12016661234", "body": "Hi"});
        let request = serve.http.post(format!("{simulator}/_sim/inbound")).json(&inbound);
        let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(answer["status"].as_u64().map(|status| status / 100), Some(2), "{answer}");
    }
}
