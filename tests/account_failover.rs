//! A message whose account cannot send it goes by the next one at once: over HTTP, with the simulator as the referee.

use hatch::roles::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::doctor::doctor_with;
use crate::harness::{ACCOUNT, CUSTOMER, Hatch, SECOND_ACCOUNT, SECOND_TOKEN};

/// Recipients whom the provider treats so, whichever account asks.
const INVALID: &str = "+18045550400";
const MUTE: &str = "+18045550504";

/// A hatch with two accounts of a provider. Without routes they stand in the order of their names: what `second` cannot
/// send, `twilio` does.
async fn start() -> Hatch {
    let mut hatch = Hatch::start_with(&Role::ALL, |settings| {
        let dispatcher = &mut settings.dispatcher;
        dispatcher.timers_lag_ms = 200;
        dispatcher.delivery_grace_ms = 500;
        dispatcher.account_backoff_ms = [100, 1_000];
        dispatcher.breaker.open_ms = 100;
    })
    .await;
    hatch.stop().await;
    let set = json!({
        "provider": "twilio", "account_sid": SECOND_ACCOUNT, "auth_token": SECOND_TOKEN,
        "http_timeout_ms": 3_000, "connect_timeout_ms": 1_000,
        "base_url": hatch.simulator, "public_url": hatch.url,
    });
    let set = serde_json::from_value(set).expect("settings");
    hatch.settings.accounts.insert("second".to_owned(), set);
    hatch.start_again(&Role::ALL).await;
    hatch
        .eventually("it is ready", async |hatch| {
            (hatch.get("/ready").await.body["status"] == "ready").then_some(())
        })
        .await;
    hatch
}

async fn disturb(hatch: &Hatch, mode: &str) {
    let url = format!("{}/_sim/accounts/{SECOND_ACCOUNT}", hatch.simulator);
    let answer = hatch.http.put(url).json(&json!({"mode": mode})).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
}

/// The accounts of a message's attempts, as its timeline has them.
async fn attempted(hatch: &Hatch, id: &str) -> Vec<String> {
    let events = hatch.get(&format!("/api/v1/messages/{id}/events")).await.body;
    let events = events["data"].as_array().expect("a list").clone();
    let choices = events.iter().map(|event| &event["data"]["choice"]["name"]);
    choices.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// By which account the provider took the message.
async fn taken_by(hatch: &Hatch, id: &str) -> String {
    let record = hatch.record().await;
    let line = record.iter().find(|line| line["hatch_message_id"] == *id).expect("it was taken");
    line["account"].as_str().expect("a text").to_owned()
}

/// That the provider took each of these messages once, by whichever account.
async fn assert_taken_once(hatch: &Hatch, ids: &[String]) {
    let record = hatch.record().await;
    for id in ids {
        let taken = record.iter().filter(|line| line["hatch_message_id"] == **id).count();
        assert_eq!(taken, 1, "{id}");
    }
}

/// The account as `GET /api/v1/providers` shows it, once its breaker is so and the log says it.
async fn breaker_is(hatch: &Hatch, states: &[&str]) -> Value {
    let what = format!("the breaker is {states:?}");
    hatch
        .eventually(&what, async |hatch| {
            let list = hatch.get("/api/v1/providers").await;
            assert_eq!(list.status, StatusCode::OK, "{}", list.body);
            let all = list.body["data"].as_array().expect("a list").clone();
            let account = all.into_iter().find(|account| account["name"] == "second");
            let account = account.expect("it is listed");
            let state = account["breaker"]["state"].as_str().expect("a text").to_owned();
            let is_in_log = state == "closed" || !account["breaker"]["cause"].is_null();
            (is_in_log && states.contains(&state.as_str())).then_some(account)
        })
        .await
}

async fn metric(hatch: &Hatch, begins: &str) -> bool {
    let metrics = hatch.get("/metrics").await;
    let metrics = metrics.body.as_str().expect("text").to_owned();
    metrics.lines().any(|line| line.starts_with(begins) && !line.ends_with(" 0"))
}

#[tokio::test]
async fn a_message_whose_account_is_down_throttled_or_refused_goes_by_the_next_and_is_sent_once() {
    let hatch = start().await;
    let mut all = Vec::new();
    let first = hatch.send_sms(CUSTOMER, "all is well").await;
    hatch.message_with_status(&first, "delivered").await;
    assert_eq!(taken_by(&hatch, &first).await, SECOND_ACCOUNT);
    all.push(first);
    for (mode, class) in
        [("throttled", "rate"), ("down", "unreachable"), ("unauthorized", "account")]
    {
        breaker_is(&hatch, &["closed"]).await;
        disturb(&hatch, mode).await;
        let id = hatch.send_sms(CUSTOMER, mode).await;
        let message = hatch.message_with_status(&id, "delivered").await;
        assert_eq!(message["error"], json!(null), "{mode}: {message}");
        assert_eq!(attempted(&hatch, &id).await, ["second", "twilio"], "{mode}");
        assert_eq!(taken_by(&hatch, &id).await, ACCOUNT, "{mode}");
        let counted = format!(
            "hatch_dispatch_failovers_total{{from=\"second\",to=\"twilio\",class=\"{class}\"}}"
        );
        assert!(metric(&hatch, &counted).await, "{mode}");
        all.push(id);
        disturb(&hatch, "up").await;
        // Whatever was found of it, it is tried again.
        hatch
            .eventually("it is used again", async |hatch| {
                let id = hatch.send_sms(CUSTOMER, "again").await;
                hatch.message_with_status(&id, "delivered").await;
                (taken_by(hatch, &id).await == SECOND_ACCOUNT).then_some(())
            })
            .await;
    }
    assert_taken_once(&hatch, &all).await;
    hatch.finish().await;
}

#[tokio::test]
async fn what_is_no_fault_of_the_account_is_sent_by_no_other() {
    let hatch = start().await;
    let invalid = hatch.send_sms(INVALID, "Hello").await;
    hatch.message_with_status(&invalid, "failed").await;
    assert_eq!(attempted(&hatch, &invalid).await, ["second"]);
    let mute = hatch.send_sms(MUTE, "Hello").await;
    hatch.message_with_status(&mute, "delivered").await;
    assert_eq!(attempted(&hatch, &mute).await, ["second"], "nobody knew whether it was sent");
    assert_eq!(taken_by(&hatch, &mute).await, SECOND_ACCOUNT);
    assert_taken_once(&hatch, &[mute]).await;
    hatch.finish().await;
}

#[tokio::test]
async fn an_account_that_stays_down_has_its_breaker_opened_shown_and_closed() {
    let hatch = start().await;
    disturb(&hatch, "down").await;
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(hatch.send_sms(CUSTOMER, &format!("number {n}")).await);
    }
    let shown = breaker_is(&hatch, &["open", "half_open"]).await;
    assert_eq!(
        (&shown["breaker"]["cause"], &shown["provider"]),
        (&json!("failures"), &json!("twilio"))
    );
    for id in &ids {
        hatch.message_with_status(id, "delivered").await;
    }
    hatch
        .eventually("doctor and /ready say so", async |hatch| {
            let findings = doctor_with(hatch, &[]).await;
            let ready = hatch.get("/ready").await;
            let detail = &ready.body["dependencies"]["second"]["detail"];
            let told = detail.as_str().is_some_and(|detail| detail.contains("calls failed"));
            let health = breaker_is(hatch, &["open", "half_open"]).await["health"].clone();
            let is_down = health["status"] == "down" && health["reason"] == "failing";
            // Who looks from outside may not know the name.
            let names = ["second".to_owned(), format!("twilio/{SECOND_ACCOUNT}")];
            let is_told = |name: &String| findings.says("WRONG", name, &["calls failed"]);
            (told && is_down && names.iter().any(is_told)).then_some(())
        })
        .await;
    let state = "hatch_account_breaker_state{provider=\"twilio\",account=\"";
    assert!(metric(&hatch, state).await);
    disturb(&hatch, "up").await;
    // Somebody has to try it.
    hatch
        .eventually("it closes", async |hatch| {
            let id = hatch.send_sms(CUSTOMER, "a probe").await;
            hatch.message_with_status(&id, "delivered").await;
            let list = hatch.get("/api/v1/providers").await.body;
            let all = list["data"].as_array().expect("a list").clone();
            let second = all.into_iter().find(|account| account["name"] == "second")?;
            (second["breaker"]["state"] == "closed").then_some(())
        })
        .await;
    assert_taken_once(&hatch, &ids).await;
    let transitions =
        "SELECT count(*) FROM es.events WHERE type IN ('BreakerOpened', 'BreakerClosed')";
    assert!(hatch.count(transitions).await <= 6, "transitions alone");
    hatch.finish().await;
}
