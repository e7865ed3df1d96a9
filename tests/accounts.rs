//! What is wrong with an account is never a message's failure: messages wait, people are told, and all go on by
//! themselves.

use std::time::Duration;

use hatch::roles::Role;
use hatch::settings::Settings;
use hatch_eventstore::testing::PATIENCE;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::dispatch::NOBODY_DISPATCHES;
use crate::doctor::doctor_with;
use crate::harness::{ACCOUNT, CUSTOMER, Hatch, SENDER, set_of};
use crate::time::eventually_within;

const MAIL_ACCOUNT: &str = "sendgrid";

/// Messages of each channel, before the rotation and after it.
const BEFORE: usize = 30;
const AFTER: usize = 75;

/// How long the account stays broken, in seconds. Without it: until every message was met by it.
const OUTAGE: &str = "HATCH_TEST_OUTAGE_S";

/// What no message may come to because of its account.
const FAILURES: &str = "SELECT count(*) FROM es.events WHERE type = ANY \
    (ARRAY['SendFailed', 'MessageFailed', 'SendInDoubt', 'MessageUndelivered'])";

/// Waits so short that the timers see each step.
fn hurried(settings: &mut Settings) {
    let dispatcher = &mut settings.dispatcher;
    dispatcher.timers_lag_ms = 200;
    dispatcher.delivery_grace_ms = 500;
    dispatcher.account_backoff_ms = [100, 1_000];
}

/// As [`hurried`], with a token that Twilio does not take.
fn with_a_wrong_token(settings: &mut Settings) {
    hurried(settings);
    set_of(settings, "twilio", "auth_token", json!("a wrong token"));
}

async fn disturb(hatch: &Hatch, account: &str, disturbance: &Value) {
    let url = format!("{}/_sim/accounts/{account}", hatch.simulator);
    let answer = hatch.http.put(url).json(disturbance).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
}

async fn send_mail(hatch: &Hatch, body: &str) -> String {
    let mail = json!({
        "from": "user@usehatchapp.com", "to": "ann@example.com", "subject": "Hello", "body": body,
    });
    let answer = hatch.post("/api/v1/messages", &mail).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    answer.text("id").to_owned()
}

/// Sends so many text messages and as many mails, a few at a time.
async fn send(hatch: &Hatch, ids: &mut Vec<String>, count: usize) {
    for n in 0..count {
        let text = format!("number {n}");
        let (sms, mail) = tokio::join!(hatch.send_sms(CUSTOMER, &text), send_mail(hatch, &text));
        ids.extend([sms, mail]);
    }
}

/// The provider's line of `/ready`, once it is `status`.
async fn ready_says(hatch: &Hatch, provider: &str, status: &str) -> String {
    let what = format!("{provider} is {status}");
    hatch
        .eventually(&what, async |hatch| {
            let ready = hatch.get("/ready").await;
            assert_eq!(ready.status, StatusCode::OK, "{}", ready.body);
            let dependency = &ready.body["dependencies"][provider];
            let detail = dependency["detail"].as_str().unwrap_or_default();
            (dependency["status"] == status).then(|| detail.to_owned())
        })
        .await
}

async fn metrics_say(hatch: &Hatch, sample: &str) {
    hatch
        .eventually(sample, async |hatch| {
            let metrics = hatch.get("/metrics").await;
            let metrics = metrics.body.as_str().expect("text").to_owned();
            metrics.lines().any(|line| line == sample).then_some(())
        })
        .await;
}

/// The message, once it waits for an account.
async fn waits(hatch: &Hatch, id: &str, code: &str) -> Value {
    let what = format!("{id} waits: {code}");
    hatch
        .eventually(&what, async |hatch| {
            let message = hatch.get(&format!("/api/v1/messages/{id}")).await.body;
            (message["error"]["code"] == code).then_some(message)
        })
        .await
}

/// How many messages said that they wait, for whatever reason.
const WAITED: &str = "SELECT count(DISTINCT stream_id) FROM es.events \
    WHERE type IN ('MessageDeferred', 'AttemptAbandoned') AND payload::json->>'expires_at' IS NOT NULL";

/// That so many messages are where nobody looks at them.
async fn wait_apart(hatch: &Hatch, count: i64) {
    let apart = "SELECT count(*) FROM due.timers WHERE lane = 'sms waiting'";
    hatch
        .eventually("all wait apart", async |hatch| {
            (hatch.count(apart).await == count).then_some(())
        })
        .await;
}

async fn outage(hatch: &Hatch) {
    if let Some(seconds) = std::env::var(OUTAGE).ok().and_then(|seconds| seconds.parse().ok()) {
        let lasted = format!(
            "SELECT count(*) FROM es.events WHERE type = 'AttemptAbandoned' \
                AND recorded_at < now() - make_interval(secs => {seconds})"
        );
        let patience = Duration::from_secs(seconds) + PATIENCE;
        eventually_within(patience, "it has lasted", async || hatch.count(&lasted).await > 0).await;
    }
    let all = i64::try_from(2 * AFTER).expect("few");
    hatch
        .eventually("each message was met by it", async |hatch| {
            (hatch.count(WAITED).await >= all).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_botched_rotation_of_keys_under_load_costs_no_message_and_sends_none_twice() {
    let hatch = Hatch::start_with(&Role::ALL, hurried).await;
    let mut ids = Vec::new();
    send(&hatch, &mut ids, BEFORE).await;
    for account in [ACCOUNT, MAIL_ACCOUNT] {
        let rotated = json!({"mode": "up", "credential": "the one that hatch does not have"});
        disturb(&hatch, account, &rotated).await;
    }
    send(&hatch, &mut ids, AFTER).await;
    let detail = ready_says(&hatch, "twilio", "down").await;
    for part in [ACCOUNT, "20003", "credentials", "read them again"] {
        assert!(detail.contains(part), "{detail}");
    }
    let detail = ready_says(&hatch, "sendgrid", "down").await;
    assert!(detail.contains("401") && detail.contains("revoked"), "{detail}");
    let gauge = format!("hatch_account_up{{provider=\"twilio\",account=\"{ACCOUNT}\",reason=");
    metrics_say(&hatch, &format!("{gauge}\"credentials\"}} 0.0")).await;
    let waiting = waits(&hatch, &ids[ids.len() - 2], "20003").await;
    assert_eq!(waiting["error"]["class"], "account", "{waiting}");
    assert_eq!(
        (&waiting["error"]["permanent"], &waiting["next_attempt_at"]),
        (&json!(false), &json!(null))
    );
    let status = waiting["status"].as_str().expect("a status");
    assert!(["queued", "retrying"].contains(&status), "{waiting}");
    outage(&hatch).await;
    assert_eq!(hatch.count(FAILURES).await, 0);

    for account in [ACCOUNT, MAIL_ACCOUNT] {
        disturb(&hatch, account, &json!({"mode": "up"})).await;
    }
    for id in &ids {
        let message = hatch.message_with_status(id, "delivered").await;
        assert_eq!(message["error"], json!(null), "{message}");
    }
    hatch.assert_each_sent_once(&ids).await;
    assert_eq!(hatch.count(FAILURES).await, 0);
    assert_eq!(hatch.get("/api/v1/dead-letters").await.body["data"], json!([]));
    for provider in ["twilio", "sendgrid"] {
        ready_says(&hatch, provider, "up").await;
    }
    metrics_say(&hatch, &format!("{gauge}\"-\"}} 1.0")).await;
    metrics_say(&hatch, "hatch_messages_waiting_for_account{channel=\"sms\"} 0.0").await;
    // Each waits by one event, and few were tried.
    let waits =
        "SELECT count(*) FROM es.events WHERE type IN ('MessageDeferred', 'AttemptAbandoned')";
    assert!(hatch.count(waits).await <= 3 * i64::try_from(ids.len()).expect("few"));
    hatch.finish().await;
}

#[tokio::test]
async fn whatever_is_wrong_with_an_account_is_named_with_what_to_do() {
    let hatch = Hatch::start_with(&Role::ALL, hurried).await;
    for (mode, reason, code) in [
        ("unauthorized", "credentials", "20003"),
        ("suspended", "suspended", "20005"),
        ("no_credit", "suspended", "20005"),
    ] {
        disturb(&hatch, ACCOUNT, &json!({"mode": mode})).await;
        let id = hatch.send_sms(CUSTOMER, mode).await;
        waits(&hatch, &id, code).await;
        let gauge = format!("hatch_account_up{{provider=\"twilio\",account=\"{ACCOUNT}\",reason=");
        metrics_say(&hatch, &format!("{gauge}\"{reason}\"}} 0.0")).await;
        hatch
            .eventually("doctor says so, too", async |hatch| {
                let findings = doctor_with(hatch, &[]).await;
                let told = findings.says("WRONG", "twilio", &["is down", code, ", since 20"]);
                (told && findings.says("warning", "waiting", &["1 message waits", "sms 1"]))
                    .then_some(())
            })
            .await;
        disturb(&hatch, ACCOUNT, &json!({"mode": "up"})).await;
        hatch.message_with_status(&id, "delivered").await;
    }
    hatch
        .eventually("doctor says that all is well", async |hatch| {
            let findings = doctor_with(hatch, &[]).await;
            let well = findings.says("ok", "twilio", &[ACCOUNT, "by which messages are sent"]);
            (well && findings.says("ok", "waiting", &["no message"])).then_some(())
        })
        .await;
    assert_eq!(hatch.count(FAILURES).await, 0);
    hatch.finish().await;
}

#[tokio::test]
async fn of_a_provider_that_does_not_answer_doctor_says_what_ready_does() {
    let hatch = Hatch::start_with(&Role::ALL, hurried).await;
    disturb(&hatch, ACCOUNT, &json!({"mode": "down"})).await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    let detail = ready_says(&hatch, "twilio", "down").await;
    assert!(detail.contains("calls failed"), "{detail}");
    hatch
        .eventually("doctor says so, too", async |hatch| {
            let findings = doctor_with(hatch, &[]).await;
            findings.says("WRONG", "twilio", &[ACCOUNT, "calls failed"]).then_some(())
        })
        .await;
    disturb(&hatch, ACCOUNT, &json!({"mode": "up"})).await;
    hatch.message_with_status(&id, "delivered").await;
    ready_says(&hatch, "twilio", "up").await;
    hatch.finish().await;
}

#[tokio::test]
async fn messages_that_wait_survive_restarts_and_go_on_by_any_dispatcher_with_good_credentials() {
    let mut hatch = Hatch::start_with(NOBODY_DISPATCHES, hurried).await;
    let good = hatch.settings.clone();
    with_a_wrong_token(&mut hatch.settings);
    hatch.start_more(&[Role::Dispatcher]).await;
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(hatch.send_sms(CUSTOMER, &format!("number {n}")).await);
    }
    wait_apart(&hatch, 30).await;
    let bad = std::mem::replace(&mut hatch.settings, good.clone());
    hatch.stop().await;
    hatch.start_again(NOBODY_DISPATCHES).await;
    let attempts = "SELECT count(*) FROM es.events WHERE type = 'SendAttempted'";
    let before = hatch.count(attempts).await;
    hatch.settings = bad;
    hatch.start_more(&[Role::Dispatcher]).await;
    hatch
        .eventually("the new dispatcher has tried the account", async |hatch| {
            (hatch.count(attempts).await > before).then_some(())
        })
        .await;
    wait_apart(&hatch, 30).await;
    assert!(hatch.record().await.is_empty());

    // Dispatchers are given the new token one after the other.
    hatch.settings = good;
    hatch.start_more(&[Role::Dispatcher]).await;
    for id in &ids {
        hatch.message_with_status(id, "delivered").await;
    }
    hatch.assert_each_sent_once(&ids).await;
    assert_eq!(hatch.count(FAILURES).await, 0);
    hatch.finish().await;
}

#[tokio::test]
async fn a_message_that_waits_for_longer_than_it_is_valid_expires() {
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        with_a_wrong_token(settings);
        settings.dispatcher.validity_ms = 2_000;
    })
    .await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    let other = hatch.send_sms(CUSTOMER, "Hello again").await;
    for id in [&id, &other] {
        let message = hatch.message_with_status(id, "failed").await;
        assert_eq!(message["error"]["class"], "expired", "{message}");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_message_that_finds_no_account_any_more_says_so_and_is_sent_when_there_is_one() {
    let mut hatch = Hatch::start_with(NOBODY_DISPATCHES, hurried).await;
    let sendgrid = hatch.settings.accounts.remove("sendgrid").expect("an account");
    hatch.start_more(&[Role::Dispatcher]).await;
    let id = send_mail(&hatch, "Hello").await;
    let message = waits(&hatch, &id, "waiting_for_account").await;
    assert_eq!(
        (&message["status"], &message["error"]["class"]),
        (&json!("queued"), &json!("account"))
    );
    hatch
        .eventually("doctor says so, too", async |hatch| {
            let findings = doctor_with(hatch, &[]).await;
            findings.says("warning", "waiting", &["1 message waits", "email 1"]).then_some(())
        })
        .await;
    hatch.settings.accounts.insert("sendgrid".to_owned(), sendgrid);
    hatch.start_more(&[Role::Dispatcher]).await;
    let message = hatch.message_with_status(&id, "delivered").await;
    assert_eq!(message["error"], json!(null));
    let sms = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let answer = hatch.post("/api/v1/messages", &sms).await;
    hatch.message_with_status(answer.text("id"), "delivered").await;
    hatch.finish().await;
}
