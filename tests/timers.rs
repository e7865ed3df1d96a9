//! Timers that meet something odd in the log.

use chrono::{DateTime, TimeDelta, Utc};
use hatch::roles::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::doctor::doctor_with;
use crate::due::{schedule, time};
use crate::halt::append;
use crate::harness::{Hatch, SENDER, set_of};
use crate::kept::metric;
use crate::time::as_in_production;

/// A recipient whose requests are never answered.
const MUTE: &str = "+18045550504";

/// When the first attempt of a message was claimed, once it is.
async fn attempted_at(hatch: &Hatch, id: &str) -> DateTime<Utc> {
    let what = format!("message {id} is attempted");
    hatch
        .eventually(&what, async |hatch| {
            let events = hatch.get(&format!("/api/v1/messages/{id}/events")).await;
            let event = &events.body["data"][1];
            (event["type"] == "hatch.SendAttempted.v1").then(|| time(event, "time"))
        })
        .await
}

/// Waits until a message that is scheduled is attempted, and says how late that was.
async fn sent_late_by(hatch: &Hatch) -> TimeDelta {
    let (id, due) = schedule(hatch, TimeDelta::hours(1)).await;
    hatch.advance_to(due).await;
    attempted_at(hatch, &id).await - due
}

/// Appends an event that is no message's, with a time that is far off yet when all else is over.
async fn append_far_ahead(hatch: &Hatch) {
    append(hatch, "note", "NoteTaken", 1, "now() + interval '9 days'").await;
}

#[tokio::test]
async fn an_event_with_a_time_to_come_holds_up_no_timer() {
    let mut hatch = Hatch::start_with_clock(&Role::ALL, as_in_production).await;
    append_far_ahead(&hatch).await;
    let late = sent_late_by(&hatch).await;
    assert!(late < TimeDelta::seconds(20), "late by {late}");
    append_far_ahead(&hatch).await;
    hatch.stop().await;
    hatch.start_again(&Role::ALL).await;
    let late = sent_late_by(&hatch).await;
    assert!(late < TimeDelta::seconds(20), "late by {late}, after a restart");
    hatch.finish().await;
}

#[tokio::test]
async fn an_event_that_this_build_cannot_read_holds_up_its_own_message_only_and_is_shown() {
    let hatch = Hatch::start_with_clock(&Role::ALL, as_in_production).await;
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

    let said = ["1 message has an event that no dispatcher can read", "the build that knows them"];
    // Right after it was due, the message is overdue, too, and doctor says that first.
    hatch
        .eventually("doctor says what to do", async |hatch| {
            doctor_with(hatch, &[]).await.says("WRONG", "due", &said).then_some(())
        })
        .await;

    // As if a newer build took over.
    let session = hatch.database.connect().await;
    let repair = "ALTER TABLE es.events DISABLE TRIGGER refuse_change;
        UPDATE es.events SET schema_version = 1, payload =
            (SELECT payload FROM es.events WHERE type = 'MessageRequested' AND schema_version = 1)
         WHERE schema_version = 9;
        ALTER TABLE es.events ENABLE TRIGGER refuse_change";
    session.batch_execute(repair).await.expect("repaired");
    session.close().await;
    // The longest wait of who could not read it.
    hatch.advance(TimeDelta::minutes(10)).await;
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
    let hatch = Hatch::start_with_clock(&Role::ALL, |settings| {
        as_in_production(settings);
        set_of(settings, "twilio", "http_timeout_ms", json!(3_000));
        settings.dispatcher.concurrency_max = 4;
    })
    .await;
    let due = hatch.in_time(TimeDelta::hours(1));
    for n in 0..40 {
        let sms = json!({
            "channel": "sms", "from": SENDER, "to": MUTE, "body": format!("number {n}"),
            "priority": "bulk", "send_at": due,
        });
        accepted(&hatch, &sms).await;
    }
    let due = due + TimeDelta::minutes(1);
    let mail = json!({
        "channel": "email", "to": "customer@example.com", "body": "Your code is 1234",
        "priority": "high", "send_at": due,
    });
    let id = accepted(&hatch, &mail).await;
    hatch.advance_to(due - TimeDelta::minutes(1)).await;
    hatch
        .eventually("the provider hangs", async |hatch| {
            let attempted = "SELECT count(*) FROM es.events WHERE type = 'SendAttempted'";
            (hatch.count(attempted).await > 0).then_some(())
        })
        .await;
    hatch.advance_to(due).await;
    let late = attempted_at(&hatch, &id).await - due;
    println!("a mail that was due beside a provider that hangs was late by {late}");
    assert!(late < TimeDelta::seconds(10), "late by {late}");
    hatch.finish().await;
}
