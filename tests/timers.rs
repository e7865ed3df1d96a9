//! Timers that meet something odd in the log.

use chrono::{DateTime, TimeDelta, Utc};
use hatch::roles::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::doctor::doctor_with;
use crate::due::{hurried, schedule, time};
use crate::halt::append;
use crate::harness::{Hatch, SENDER, from_now};
use crate::kept::metric;

/// A recipient whose requests are never answered.
const MUTE: &str = "+18045550504";

/// When the first attempt of a message was claimed, once it is.
async fn attempted_at(hatch: &Hatch, id: &str) -> DateTime<Utc> {
    let what = format!("message {id} is attempted");
    hatch
        .eventually(&what, async |hatch| {
            let events = hatch.get(&format!("/api/v1/messages/{id}/events")).await;
            let event = &events.body["data"][1];
            (event["type"] == "SendAttempted").then(|| time(event, "recorded_at"))
        })
        .await
}

/// Waits until a message that is scheduled now is attempted, and says how late that was.
async fn sent_late_by(hatch: &Hatch) -> TimeDelta {
    let (id, due) = schedule(hatch, TimeDelta::seconds(2)).await;
    attempted_at(hatch, &id).await - due
}

/// Appends an event that is no message's, with the time of an hour from now.
async fn append_an_hour_ahead(hatch: &Hatch) {
    append(hatch, "note", "NoteTaken", 1, "now() + interval '1 hour'").await;
}

#[tokio::test]
async fn an_event_with_a_time_to_come_holds_up_no_timer() {
    let mut hatch = Hatch::start_with(&Role::ALL, hurried).await;
    append_an_hour_ahead(&hatch).await;
    let late = sent_late_by(&hatch).await;
    assert!(late < TimeDelta::seconds(20), "late by {late}");
    append_an_hour_ahead(&hatch).await;
    hatch.stop().await;
    hatch.start_again(&Role::ALL).await;
    let late = sent_late_by(&hatch).await;
    assert!(late < TimeDelta::seconds(20), "late by {late}, after a restart");
    hatch.finish().await;
}

#[tokio::test]
async fn an_event_that_this_build_cannot_read_holds_up_its_own_message_only_and_is_shown() {
    let hatch = Hatch::start_with(&Role::ALL, hurried).await;
    let unread = append(&hatch, "message", "MessageRequested", 9, "now()").await;
    let late = sent_late_by(&hatch).await;
    assert!(late < TimeDelta::seconds(20), "late by {late}");
    let timers = async |hatch: &Hatch, status: &str, count: f64| {
        let ready = hatch.get("/ready").await;
        let shown = ready.body["dependencies"]["timers"]["status"] == status;
        let counted = metric(hatch, "hatch_timers_undecodable").await;
        (shown && (counted - count).abs() < 0.5).then_some(ready)
    };
    let ready =
        hatch.eventually("it is shown", async |hatch| timers(hatch, "down", 1.0).await).await;
    assert_eq!((ready.status, &ready.body["status"]), (StatusCode::OK, &json!("degraded")));

    let findings = doctor_with(&hatch, &[]).await;
    let said = "1 message has an event that no dispatcher can read";
    findings.assert_says("WRONG", "due", &[said, "the build that knows them"]);

    // As if a newer build took over.
    let session = hatch.database.connect().await;
    let repair = "ALTER TABLE es.events DISABLE TRIGGER refuse_change;
        UPDATE es.events SET schema_version = 1, payload =
            (SELECT payload FROM es.events WHERE type = 'MessageRequested' AND schema_version = 1)
         WHERE schema_version = 9;
        ALTER TABLE es.events ENABLE TRIGGER refuse_change";
    session.batch_execute(repair).await.expect("repaired");
    session.close().await;
    attempted_at(&hatch, &unread).await;
    hatch.eventually("it is over", async |hatch| timers(hatch, "up", 0.0).await).await;
    hatch.finish().await;
}

async fn accepted(hatch: &Hatch, request: &Value) -> String {
    let answer = hatch.post("/api/v1/messages", request).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    answer.text("id").to_owned()
}

#[tokio::test]
async fn a_provider_that_hangs_holds_up_no_due_message_of_another() {
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        settings.twilio.as_mut().expect("an account").http_timeout_ms = 3_000;
        settings.sendgrid.as_mut().expect("an account").http_timeout_ms = 3_000;
        settings.dispatcher.lease_ms = 6_000;
        settings.dispatcher.timers_lag_ms = 200;
        settings.dispatcher.concurrency_max = 4;
    })
    .await;
    let due = from_now(TimeDelta::seconds(3));
    for n in 0..40 {
        let sms = json!({
            "channel": "sms", "from": SENDER, "to": MUTE, "body": format!("number {n}"),
            "priority": "low", "send_at": due,
        });
        accepted(&hatch, &sms).await;
    }
    let due = due + TimeDelta::seconds(1);
    let mail = json!({
        "channel": "email", "to": "customer@example.com", "body": "Your code is 1234",
        "priority": "high", "send_at": due,
    });
    let id = accepted(&hatch, &mail).await;
    let late = attempted_at(&hatch, &id).await - due;
    println!("a mail that was due beside a provider that hangs was late by {late}");
    assert!(late < TimeDelta::seconds(10), "late by {late}");
    hatch.finish().await;
}
