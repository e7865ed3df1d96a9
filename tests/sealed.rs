//! Accounts that the log keeps: made by HTTP, they send and take at once, and nobody who reads the database or NATS has
//! their credentials.

use std::time::Duration;

use hatch::roles::Role;
use hatch::settings::Settings;
use hatch_bus::testing::jetstream;
use hatch_providers::Secret;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::doctor::{command, doctor_with, run};
use crate::generations::published;
use crate::harness::{ACCOUNT, AUTH_TOKEN, CUSTOMER, Hatch, MASTER_KEY as FIRST, SENDER};

const ACCOUNTS: &str = "/api/v1/accounts";

/// Another master key.
const SECOND: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// Accounts beside the one that sends.
const OTHERS: usize = 30;

/// No account for text messages in the files.
fn without_an_account(settings: &mut Settings) {
    settings.accounts.remove("twilio");
}

/// An account at the simulator.
fn account(hatch: &Hatch, name: &str, account_sid: &str) -> Value {
    json!({
        "name": name, "provider": "twilio",
        "settings": {
            "account_sid": account_sid, "auth_token": AUTH_TOKEN, "base_url": hatch.simulator,
            "http_timeout_ms": 3_000, "connect_timeout_ms": 1_000,
        },
    })
}

async fn make(hatch: &Hatch, name: &str, account_sid: &str) {
    let made = hatch.post(ACCOUNTS, &account(hatch, name, account_sid)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert!(!made.body.to_string().contains(AUTH_TOKEN), "{}", made.body);
    assert_eq!(made.body["secrets"], json!(["auth_token"]));
}

/// Sends as soon as some account carries it, and waits for the receipt.
async fn delivered(hatch: &Hatch, body: &str) -> String {
    let request = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": body});
    let id = hatch
        .eventually("an account sends it", async |hatch| {
            let answer = hatch.post("/api/v1/messages", &request).await;
            (answer.status == StatusCode::ACCEPTED).then(|| answer.text("id").to_owned())
        })
        .await;
    hatch.message_with_status(&id, "delivered").await;
    id
}

/// How many rows of all tables have it, in clear or as bytes.
async fn rows_with(hatch: &Hatch, secret: &str) -> i64 {
    let tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables \
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let (mut found, mut looked) = (0, 0);
    for table in hatch.rows(tables).await {
        let table: String = table.get(0);
        let sql = format!(
            "SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%{secret}%' OR t::text LIKE '%{hex}%'"
        );
        found += hatch.count(&sql).await;
        looked += 1;
    }
    assert!(looked > 20, "{looked} tables were looked at");
    found
}

/// Fails where NATS has it.
async fn assert_not_on_nats(hatch: &Hatch, secret: &str) {
    published(hatch).await;
    let settings = hatch.bus.settings();
    let jetstream = jetstream(&settings.url).await.expect("NATS");
    let name = format!("{}_EVENTS_1", settings.prefix.to_uppercase());
    let stream = jetstream.get_stream(name).await.expect("there");
    let mut accounts = 0;
    for sequence in 1..=hatch.log_length().await.unsigned_abs() {
        let message = stream.get_raw_message(sequence).await.expect("stored");
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        assert!(!text.contains(secret) && !text.contains("\"secrets\""), "{text}");
        accounts += usize::from(text.contains("hatch.AccountCreated"));
    }
    assert!(accounts > 0, "accounts are told of");
}

async fn rotate(hatch: &Hatch, keys: [&str; 2]) -> (bool, String) {
    let [current, previous] = keys;
    let variables = [("HATCH_MASTER_KEY", current), ("HATCH_MASTER_KEY_PREVIOUS", previous)];
    run(hatch, &["master-key", "rotate"], &variables).await
}

/// Starts all roles again with these master keys.
async fn restart(hatch: &mut Hatch, current: Option<&str>, previous: Option<&str>) {
    hatch.stop().await;
    hatch.settings.master_key = current.map(Secret::new);
    hatch.settings.master_key_previous = previous.map(Secret::new);
    hatch.start_again(&Role::ALL).await;
}

#[tokio::test]
async fn an_account_made_by_http_sends_and_takes_its_receipts_and_its_secret_is_nowhere() {
    let hatch = Hatch::start_with(&Role::ALL, without_an_account).await;
    let refused = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let refused = hatch.post("/api/v1/messages", &refused).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.body);
    assert_eq!(refused.text("code"), "no_account");

    make(&hatch, "a-main", ACCOUNT).await;
    let id = delivered(&hatch, "Hello").await;
    let receipts = format!(
        "SELECT count(*) FROM hatch.webhook_log WHERE outcome = 'applied' AND message_id = '{id}' \
         AND path_and_query LIKE '/api/v1/webhooks/twilio/a-main?%'"
    );
    assert!(hatch.count(&receipts).await > 0, "they come to the account's own path");
    assert_eq!(rows_with(&hatch, AUTH_TOKEN).await, 0);
    assert_not_on_nats(&hatch, AUTH_TOKEN).await;
    let sealed = "SELECT count(*) FROM es.events WHERE type = 'AccountCreated' AND payload::text LIKE '%s1.%'";
    assert_eq!(hatch.count(sealed).await, 1, "the log has it sealed");

    let taken = hatch.post(ACCOUNTS, &account(&hatch, "sendgrid", &sid(1))).await;
    assert_eq!(taken.status, StatusCode::BAD_REQUEST, "{}", taken.body);
    assert_eq!(taken.body["errors"][0]["pointer"], "/name", "the short paths are the operator's");
    hatch
        .eventually("the same account at the provider is refused", async |hatch| {
            let twice = hatch.post(ACCOUNTS, &account(hatch, "twice", ACCOUNT)).await;
            (twice.text("code") == "account_in_use").then_some(())
        })
        .await;

    let path = format!("{ACCOUNTS}/a-main");
    let removed = hatch.request(Method::DELETE, &path, &[], None).await;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.body);
    hatch
        .eventually("nothing is sent by it any more", async |hatch| {
            let request = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": "Bye"});
            let answer = hatch.post("/api/v1/messages", &request).await;
            (answer.status == StatusCode::UNPROCESSABLE_ENTITY).then_some(())
        })
        .await;
    hatch.finish().await;
}

fn sid(n: usize) -> String {
    format!("AC{n:032}")
}

#[tokio::test]
async fn a_master_key_is_replaced_while_everything_runs_on_also_by_who_was_killed() {
    let mut hatch = Hatch::start_with(&Role::ALL, without_an_account).await;
    make(&hatch, "a-main", ACCOUNT).await;
    for n in 1..=OTHERS {
        make(&hatch, &format!("b-{n}"), &sid(n)).await;
    }
    restart(&mut hatch, Some(SECOND), Some(FIRST)).await;
    delivered(&hatch, "under the first, with both").await;

    let wrapped = "SELECT count(*) FROM es.events WHERE type = 'AccountSecretsRewrapped'";
    let variables = [("HATCH_MASTER_KEY", SECOND), ("HATCH_MASTER_KEY_PREVIOUS", FIRST)];
    let mut rotating =
        command(&hatch, &["master-key", "rotate"], &variables).spawn().expect("it runs");
    hatch
        .eventually("it has begun", async |hatch| (hatch.count(wrapped).await > 0).then_some(()))
        .await;
    rotating.kill().await.expect("it is killed");
    let before = hatch.count(wrapped).await;
    let (done, said) = rotate(&hatch, [SECOND, FIRST]).await;
    assert!(done, "{said}");
    assert!(said.contains("no secret is under") && !said.contains(SECOND), "{said}");
    let all = i64::try_from(OTHERS + 1).expect("few");
    assert_eq!(hatch.count(wrapped).await, all, "each once, of which {before} before the end");
    let (done, said) = rotate(&hatch, [SECOND, FIRST]).await;
    assert!(done && said.contains("0 secrets wrapped anew"), "{said}");
    assert_eq!(hatch.count(wrapped).await, all);
    delivered(&hatch, "under the second, with both").await;

    restart(&mut hatch, Some(SECOND), None).await;
    delivered(&hatch, "under the second alone").await;
    assert_eq!(rows_with(&hatch, AUTH_TOKEN).await, 0);
    assert_not_on_nats(&hatch, AUTH_TOKEN).await;
    hatch.finish().await;
}

#[tokio::test]
async fn an_account_whose_master_key_is_missing_is_left_out_and_named() {
    let mut hatch = Hatch::start_with(&Role::ALL, without_an_account).await;
    make(&hatch, "a-main", ACCOUNT).await;
    delivered(&hatch, "with the key").await;
    for key in [None, Some(SECOND)] {
        restart(&mut hatch, key, None).await;
        hatch
            .eventually("it is counted", async |hatch| {
                let ready = hatch.get("/ready").await;
                let accounts = &ready.body["dependencies"]["kept_accounts"];
                let detail = accounts["detail"].as_str().unwrap_or_default();
                // Anybody may ask: who it is, doctor says below.
                assert!(!detail.contains("a-main"), "{detail}");
                detail.starts_with("1 of the log not used, 1 of them").then_some(())
            })
            .await;
        let request = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": "without"});
        let refused = hatch.post("/api/v1/messages", &request).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.body);
        let variables = key.map(|key| ("HATCH_MASTER_KEY", key));
        let variables: Vec<_> = variables.into_iter().collect();
        let found = doctor_with(&hatch, &variables).await;
        assert!(!found.healthy);
        found.assert_says("WRONG", "master key", &["a-main", "HATCH_MASTER_KEY_FILE"]);
    }
    let (done, said) = rotate(&hatch, [SECOND, SECOND]).await;
    assert!(!done && said.contains("account a-main"), "{said}");
    restart(&mut hatch, Some(FIRST), None).await;
    delivered(&hatch, "with the key again").await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_new_master_key_is_printed_alone_with_how_to_set_it() {
    let hatch = Hatch::start_with(&[Role::Query], |_| {}).await;
    let output = command(&hatch, &["master-key", "create"], &[]).output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await;
    let output = output.expect("in time").expect("it runs");
    let key = String::from_utf8(output.stdout).expect("text");
    assert_eq!((key.lines().count(), key.trim().len()), (1, 44), "{key}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("HATCH_MASTER_KEY_FILE") && !said.contains(key.trim()), "{said}");
    let (done, said) = run(&hatch, &["master-key", "rotate"], &[]).await;
    assert!(!done && said.contains("hatch master-key create"), "{said}");
    hatch.finish().await;
}
