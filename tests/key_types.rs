//! What keys of the types `test` and `team` send, by programs as an installation runs them: `hatch serve` with an account
//! that is meant and one for tests, both at a simulator that keeps a record of who called by which.

use std::process::Stdio;
use std::time::Duration;

use hatch_bus::testing::TestBus;
use hatch_devservers::free_port;
use hatch_eventstore::testing::TestDatabase;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::harness::{Answer, CUSTOMER, SENDER, database};
use crate::keys::Key;
use crate::process::{data_folder, output_with, program};
use crate::time::eventually_within;

const PATIENCE: Duration = Duration::from_secs(120);
const MESSAGES: &str = "/api/v1/messages";

/// The account that reaches people, were it not at a simulator, and the one for tests.
const MEANT: &str = "AC11111111111111111111111111111111";
const TESTS: &str = "AC22222222222222222222222222222222";

/// A number at which every message fails.
const REFUSED: &str = "+18045550400";

type Variables = Vec<(&'static str, String)>;

/// Servers, a simulator, and the variables by which hatch sends by it.
struct Place {
    folder: TempDir,
    database: TestDatabase,
    bus: TestBus,
    url: String,
    simulator: String,
    http: reqwest::Client,
    _simulator: Child,
}

impl Place {
    async fn start() -> Self {
        let folder = data_folder();
        let (database, bus) = (database().await, TestBus::create().await);
        let address = || format!("127.0.0.1:{}", free_port().expect("a free port"));
        let (listen, simulated) = (address(), address());
        let (url, simulator) = (format!("http://{listen}"), format!("http://{simulated}"));
        let mut command = program(folder.path(), env!("CARGO_BIN_EXE_hatch"));
        command.arg("simulator").env("HATCH_SIMULATOR_LISTEN", &simulated);
        command.env("HATCH_PUBLIC_URL", &url).envs(accounts(&simulator, &[MEANT, TESTS]));
        let child = started(command);
        let http = hatch::http_client(PATIENCE).expect("an HTTP client");
        let place = Self { folder, database, bus, url, simulator, http, _simulator: child };
        eventually_within(PATIENCE, "the simulator serves", async || {
            place.record().await.is_some()
        })
        .await;
        place
    }

    /// `hatch serve` with these accounts, once it is ready. It wants keys.
    async fn serve(&self, sids: &[&str]) -> Child {
        let mut command = program(self.folder.path(), env!("CARGO_BIN_EXE_hatch"));
        command.arg("serve").envs(self.variables(sids));
        let child = started(command);
        eventually_within(PATIENCE, "hatch is ready", async || {
            let asked = self.http.get(format!("{}/ready", self.url)).send().await;
            asked.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
        child
    }

    fn variables(&self, sids: &[&str]) -> Variables {
        let bus = self.bus.settings();
        let mut variables = accounts(&self.simulator, sids);
        variables.extend([
            ("HATCH_DATABASE_URL", self.database.url().to_owned()),
            ("HATCH_NATS_URL", bus.url.clone()),
            ("HATCH_BUS__PREFIX", bus.prefix.clone()),
            ("HATCH_BUS__STREAM_BYTES_MAX", bus.stream_bytes_max.to_string()),
            ("HATCH_LISTEN", self.url["http://".len()..].to_owned()),
            ("HATCH_PUBLIC_URL", self.url.clone()),
            ("HATCH_RATE_LIMIT__ENABLED", "false".to_owned()),
        ]);
        variables
    }

    /// Runs `hatch` with these arguments, and returns what it printed.
    async fn run(&self, arguments: &[&str]) -> String {
        let variables = self.variables(&[]);
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (ended_well, said, complained) =
            output_with(self.folder.path(), arguments, &variables).await;
        assert!(ended_well, "{arguments:?}: {said}{complained}");
        said
    }

    async fn key(&self, key_type: &str) -> Key {
        Key::of(&self.run(&["keys", "create", "--name", "of a test", "--type", key_type]).await)
    }

    async fn ask(&self, key: &Key, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let request = request.header("authorization", key.bearer());
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        Answer::read(request.send().await.expect("hatch answers")).await
    }

    async fn send(&self, key: &Key, to: &str) -> Answer {
        let sms = json!({"from": SENDER, "to": to, "body": "Hello"});
        // A key that was made a moment ago may not be known yet.
        eventually_within(PATIENCE, "the key is known", async || {
            let answer = self.ask(key, Method::POST, MESSAGES, Some(&sms)).await;
            (answer.status != StatusCode::UNAUTHORIZED).then_some(answer)
        })
        .await
    }

    async fn sent(&self, key: &Key, to: &str) -> String {
        let answer = self.send(key, to).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        answer.text("id").to_owned()
    }

    /// The message, once it has the status.
    async fn with_status(&self, key: &Key, id: &str, status: &str) -> Value {
        let path = format!("{MESSAGES}/{id}");
        eventually_within(PATIENCE, &format!("{id} is {status}"), async || {
            let answer = self.ask(key, Method::GET, &path, None).await;
            (answer.body["status"] == status).then_some(answer.body)
        })
        .await
    }

    /// What the simulator accepted; nothing while it does not answer.
    async fn record(&self) -> Option<Vec<Value>> {
        let asked = self.http.get(format!("{}/_sim/messages", self.simulator)).send().await;
        let text = asked.ok()?.text().await.ok()?;
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("NDJSON"));
        Some(lines.collect())
    }

    /// By which account each message of the record came, in its order.
    async fn accounts_of(&self, ids: &[&str]) -> Vec<String> {
        let record = self.record().await.expect("the simulator answers");
        let of = |id: &&str| {
            let line = record.iter().find(|line| line["hatch_message_id"] == *id);
            let line = line.unwrap_or_else(|| panic!("{id} is not in {record:?}"));
            line["account"].as_str().expect("an account").to_owned()
        };
        ids.iter().map(of).collect()
    }
}

fn started(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// The variables that set these accounts.
fn accounts(simulator: &str, sids: &[&str]) -> Variables {
    let meant = [
        ("HATCH_ACCOUNTS__MEANT__PROVIDER", "twilio"),
        ("HATCH_ACCOUNTS__MEANT__ACCOUNT_SID", MEANT),
        ("HATCH_ACCOUNTS__MEANT__AUTH_TOKEN", "a-token-of-the-account-that-is-meant"),
        ("HATCH_ACCOUNTS__MEANT__BASE_URL", simulator),
    ];
    let tests = [
        ("HATCH_ACCOUNTS__TESTS__PROVIDER", "twilio"),
        ("HATCH_ACCOUNTS__TESTS__TRAFFIC", "test"),
        ("HATCH_ACCOUNTS__TESTS__ACCOUNT_SID", TESTS),
        ("HATCH_ACCOUNTS__TESTS__AUTH_TOKEN", "a-token-of-the-account-for-tests"),
        ("HATCH_ACCOUNTS__TESTS__BASE_URL", simulator),
    ];
    let all = meant.iter().filter(|_| sids.contains(&MEANT));
    let all = all.chain(tests.iter().filter(|_| sids.contains(&TESTS)));
    all.map(|(name, value)| (*name, (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_test_goes_all_the_way_by_an_account_for_tests_and_without_one_nowhere() {
    let place = Place::start().await;
    let (test, live) = (place.key("test").await, place.key("live").await);
    let mut serving = place.serve(&[MEANT]).await;
    let refused = place.send(&test, CUSTOMER).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.body);
    assert_eq!(refused.text("code"), "no_account");
    // What is meant goes on meanwhile; by the time that it is there, a test would be as well.
    let meant = place.sent(&live, CUSTOMER).await;
    place.with_status(&live, &meant, "delivered").await;
    assert_eq!(place.accounts_of(&[&meant]).await, [MEANT]);
    assert_eq!(place.record().await.map(|record| record.len()), Some(1), "it shows no test");
    serving.kill().await.expect("it ends");

    let _serving = place.serve(&[MEANT, TESTS]).await;
    let delivered = place.sent(&test, CUSTOMER).await;
    let failed = place.sent(&test, REFUSED).await;
    let meant_again = place.sent(&live, CUSTOMER).await;
    for (id, status, is_test) in [
        (&delivered, "delivered", true),
        (&failed, "failed", true),
        (&meant_again, "delivered", false),
    ] {
        let message = place.with_status(&test, id, status).await;
        assert_eq!(message["test"], is_test, "{message}");
    }
    let went_by = place.accounts_of(&[&delivered, &meant_again]).await;
    assert_eq!(went_by, [TESTS, MEANT]);
    let events = format!("{MESSAGES}/{failed}/events");
    let events = place.ask(&test, Method::GET, &events, None).await;
    assert_eq!(events.body["data"][0]["data"]["test"], true, "{}", events.body);
    assert!(events.body.to_string().contains(TESTS), "it was tried by that: {}", events.body);
    // Sent again by who does not test, it stays a test.
    let again = format!("{MESSAGES}/{failed}/retry");
    let again = place.ask(&live, Method::POST, &again, None).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.body);
    let after = format!("{MESSAGES}/{failed}?after={}&wait=30", again.header("hatch-position"));
    place.ask(&live, Method::GET, &after, None).await;
    place.with_status(&live, &failed, "failed").await;
    let events = place.ask(&live, Method::GET, &format!("{MESSAGES}/{failed}/events"), None).await;
    assert!(!events.body.to_string().contains(MEANT), "{}", events.body);
}

#[tokio::test]
async fn the_team_is_written_to_and_nobody_else() {
    let place = Place::start().await;
    let team = place.key("team").await;
    let _serving = place.serve(&[MEANT, TESTS]).await;
    let refused = place.send(&team, CUSTOMER).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    assert_eq!(refused.text("code"), "recipient_not_on_list");
    let said = place.run(&["tenants", "team", "add", CUSTOMER]).await;
    assert!(said.contains("on the list"), "{said}");
    assert!(place.run(&["tenants", "team", "list"]).await.contains(CUSTOMER));
    let id = eventually_within(PATIENCE, "the list is known", async || {
        let answer = place.send(&team, CUSTOMER).await;
        (answer.status == StatusCode::ACCEPTED).then(|| answer.text("id").to_owned())
    })
    .await;
    let message = place.with_status(&team, &id, "delivered").await;
    assert_eq!(message["test"], false, "it is meant: {message}");
    assert_eq!(place.accounts_of(&[&id]).await, [MEANT]);
    place.run(&["tenants", "team", "remove", CUSTOMER]).await;
    eventually_within(PATIENCE, "the list is known", async || {
        place.send(&team, CUSTOMER).await.status == StatusCode::FORBIDDEN
    })
    .await;
}
