//! Every channel's own: what it takes, what is recorded, and where it is shown.

use chrono::{DateTime, TimeDelta, Utc};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, CUSTOMER, Hatch, SENDER, set_of};

const SEND: &str = "/api/v1/messages";
const MAILBOX: &str = "user@usehatchapp.com";
const OTHER_MAILBOX: &str = "contact@gmail.com";

async fn accepted(hatch: &Hatch, request: &Value) -> Answer {
    let answer = hatch.post("/api/v1/messages", request).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{request}: {}", answer.body);
    assert_eq!(answer.header("hatch-position"), answer.body["position"].to_string());
    answer
}

/// What the log holds of the request.
async fn requested(hatch: &Hatch, answer: &Answer) -> Value {
    let events = hatch.get(&format!("/api/v1/messages/{}/events", answer.text("id"))).await;
    assert_eq!(events.body["data"][0]["type"], "hatch.MessageRequested.v1", "{}", events.body);
    events.body["data"][0]["data"].clone()
}

fn mail() -> Value {
    json!({"from": MAILBOX, "to": OTHER_MAILBOX, "subject": "Hello", "body": "A text"})
}

#[tokio::test]
async fn an_email_without_a_subject_has_the_one_of_its_account() {
    let hatch = Hatch::start_with(&hatch::roles::Role::ALL, |settings| {
        set_of(settings, "sendgrid", "default_subject", json!("News"));
    })
    .await;
    let answer =
        accepted(&hatch, &json!({"from": MAILBOX, "to": OTHER_MAILBOX, "body": "x"})).await;
    assert_eq!(requested(&hatch, &answer).await["email"]["subject"], "News");
    hatch.finish().await;
}

#[tokio::test]
async fn a_chat_is_stored_and_shown_and_sent_to_nobody() {
    let hatch = Hatch::start().await;
    let request = json!({
        "channel": "chat", "from": "alice", "to": ["bob", "carol"], "body": "Hi", "topic": "lunch",
    });
    let answer = accepted(&hatch, &request).await;
    assert_eq!(answer.body["channel"], "chat");
    let message = hatch.message_with_status(answer.text("id"), "delivered").await;
    assert_eq!(message["body"], "Hi");
    assert_eq!(hatch.event_types(answer.text("id")).await, ["MessageRequested"]);
    let named = json!({"channel": "chat", "from": SENDER, "to": OTHER_MAILBOX, "body": "Hi"});
    accepted(&hatch, &named).await;
    assert!(hatch.record().await.is_empty());
    hatch.finish().await;
}

#[tokio::test]
async fn a_message_of_later_is_scheduled_until_it_is_called_off() {
    let hatch = Hatch::start().await;
    let at = hatch.in_time(TimeDelta::hours(1));
    let request = json!({"from": SENDER, "to": CUSTOMER, "body": "Later", "send_at": at});
    let answer = accepted(&hatch, &request).await;
    assert_eq!(answer.body["status"], "scheduled");
    let id = answer.text("id");
    hatch.message_with_status(id, "scheduled").await;
    assert_eq!(time(&requested(&hatch, &answer).await["send_at"]), at);

    // What says something that nothing reads is no cancel that anybody meant.
    let cancel = format!("{SEND}/{id}/cancel");
    let refused = hatch.post(&cancel, &json!({"reason": "too late"})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    assert_eq!(refused.body["errors"][0]["pointer"], "/reason");
    let form = hatch.http.post(format!("{}{cancel}", hatch.url)).form(&[("reason", "late")]);
    let refused = form.send().await.expect("an answer").status();
    assert_eq!(refused, StatusCode::UNSUPPORTED_MEDIA_TYPE);

    let canceled = hatch.post(&cancel, &json!(null)).await;
    assert_eq!(canceled.status, StatusCode::OK, "{}", canceled.body);
    assert_eq!(canceled.body["id"], id);
    assert_eq!(canceled.body["status"], "canceled");
    assert_eq!(canceled.header("hatch-position"), canceled.body["position"].to_string());
    hatch.message_with_status(id, "canceled").await;
    let again = hatch.post(&cancel, &json!({})).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.text("detail").contains("canceled"), "{}", again.body);
    hatch.finish().await;
}

#[tokio::test]
async fn a_time_just_gone_by_is_now() {
    let hatch = Hatch::start().await;
    let at = hatch.in_time(-TimeDelta::seconds(30));
    let request = json!({"from": SENDER, "to": CUSTOMER, "body": "Now", "send_at": at});
    let answer = accepted(&hatch, &request).await;
    assert_eq!(answer.body["status"], "queued");
    hatch.message_with_status(answer.text("id"), "delivered").await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_message_that_failed_or_did_not_arrive_is_retried_and_others_are_not() {
    let hatch = Hatch::start().await;
    let change = async |id: &str, what: &str| {
        hatch.request(Method::POST, &format!("{SEND}/{id}/{what}"), &[], None).await
    };
    let failed = hatch.send_sms("+18045550400", "Hello").await;
    hatch.message_with_status(&failed, "failed").await;
    let conflict = change(&failed, "cancel").await;
    assert_eq!(conflict.status, StatusCode::CONFLICT);
    assert!(conflict.text("detail").contains("failed"), "{}", conflict.body);
    let retried = change(&failed, "retry").await;
    assert_eq!(retried.status, StatusCode::ACCEPTED, "{}", retried.body);
    assert_eq!(retried.body["status"], "queued");
    let types = hatch.event_types(&failed).await;
    assert!(types.iter().any(|event| event == "RetryRequested"), "{types:?}");

    let undelivered = hatch.send_sms("+18045550666", "Hello").await;
    hatch.message_with_status(&undelivered, "undelivered").await;
    let retried = change(&undelivered, "retry").await;
    assert_eq!(retried.status, StatusCode::ACCEPTED, "{}", retried.body);
    hatch
        .eventually("it was sent again and came back again", async |hatch| {
            let message = hatch.get(&format!("{SEND}/{undelivered}")).await.body;
            (message["status"] == "undelivered" && message["attempts"] == 2).then_some(())
        })
        .await;

    let delivered = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&delivered, "delivered").await;
    let conflict = change(&delivered, "retry").await;
    assert_eq!(conflict.status, StatusCode::CONFLICT);
    assert!(conflict.text("detail").contains("delivered"), "{}", conflict.body);
    for id in ["0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11", "not-a-uuid"] {
        for what in ["cancel", "retry"] {
            assert_eq!(change(id, what).await.status, StatusCode::NOT_FOUND, "{id}/{what}");
        }
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_message_that_came_in_is_neither_canceled_nor_retried() {
    let hatch = Hatch::start().await;
    let inbound = json!({"provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": "Hi"});
    let status = hatch.simulate_inbound(&inbound).await;
    assert!((200..300).contains(&status), "{status}");
    let received = hatch
        .eventually("the message is shown", async |hatch| {
            let list = hatch.get("/api/v1/messages?direction=inbound").await;
            list.body["data"][0]["id"].as_str().map(str::to_owned)
        })
        .await;
    for what in ["cancel", "retry"] {
        let path = format!("{SEND}/{received}/{what}");
        let answer = hatch.request(Method::POST, &path, &[], None).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
        assert!(answer.text("detail").contains("received"), "{}", answer.body);
    }
    hatch.finish().await;
}

#[tokio::test]
async fn of_a_cancel_and_a_claim_exactly_one_wins() {
    let hatch = Hatch::start().await;
    let mut canceled = 0;
    for n in 0..30 {
        let id = hatch.send_sms(CUSTOMER, &format!("race {n}")).await;
        let path = format!("{SEND}/{id}/cancel");
        let answer = hatch.request(Method::POST, &path, &[], None).await;
        let status = match answer.status {
            StatusCode::OK => "canceled",
            StatusCode::CONFLICT => "delivered",
            other => panic!("{other}: {}", answer.body),
        };
        canceled += usize::from(status == "canceled");
        hatch.message_with_status(&id, status).await;
        let types = hatch.event_types(&id).await;
        let claimed = types.iter().any(|event| event == "SendAttempted");
        assert_eq!(claimed, status == "delivered", "{types:?}");
    }
    assert_eq!(hatch.record().await.len(), 30 - canceled);
    hatch.finish().await;
}

#[tokio::test]
async fn a_batch_answers_each_message_for_itself() {
    let hatch = Hatch::start().await;
    let batch = json!({"messages": [
        {"from": SENDER, "to": CUSTOMER, "body": "one"},
        {"from": SENDER, "to": "+1804", "body": "two"},
        "three",
        {"from": SENDER, "to": CUSTOMER, "body": "four", "colour": "red"},
        mail(),
    ]});
    let answer = hatch.post("/api/v1/messages/batch", &batch).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let data = answer.body["data"].as_array().expect("a list");
    assert_eq!(data.len(), 5);
    assert_eq!(data[0]["status"], "queued");
    assert_eq!(data[1]["error"]["errors"][0]["pointer"], "/to");
    assert_eq!(data[2]["error"]["status"], 400);
    assert_eq!(data[3]["error"]["errors"][0]["pointer"], "/colour");
    assert_eq!(data[4]["channel"], "email");
    hatch.message_with_status(data[0]["id"].as_str().expect("an id"), "delivered").await;
    let requests = "SELECT count(*) FROM es.events WHERE type = 'MessageRequested'";
    assert_eq!(hatch.count(requests).await, 2);
    hatch.finish().await;
}

/// So that a time can be compared however it is written.
fn time(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    DateTime::parse_from_rfc3339(text).expect("RFC 3339").to_utc()
}
