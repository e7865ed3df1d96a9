//! `Idempotency-Key`: one key and request, one message.

use chrono::TimeDelta;
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Answer, CUSTOMER, Hatch, SENDER};

async fn send(hatch: &Hatch, key: &str, to: &str) -> Answer {
    let body = json!({"channel": "sms", "from": SENDER, "to": to, "body": "Hello"}).to_string();
    let headers = [("idempotency-key", key)];
    hatch.request(Method::POST, "/api/v1/messages", &headers, Some(body)).await
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_again() {
    let hatch = Hatch::start().await;
    let first = send(&hatch, "order-42", CUSTOMER).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    assert!(first.headers.get("idempotent-replayed").is_none());
    hatch.message_with_status(first.text("id"), "delivered").await;

    let again = send(&hatch, "order-42", "+1 804 555 1234").await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
    assert_eq!(again.body, first.body, "compared after normalising");
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.header("hatch-position"), first.header("hatch-position"));
    assert_eq!(hatch.record().await.len(), 1);
    hatch.finish().await;
}

#[tokio::test]
async fn concurrent_twins_make_one_message() {
    let hatch = Hatch::start().await;
    let twins = (0..10).map(|_| send(&hatch, "twins", CUSTOMER));
    let answers = futures::future::join_all(twins).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::ACCEPTED));
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    hatch.message_with_status(answers[0].text("id"), "delivered").await;
    assert_eq!(hatch.record().await.len(), 1);
    let requests = "SELECT count(*) FROM es.events WHERE type = 'MessageRequested'";
    assert_eq!(hatch.count(requests).await, 1);
    hatch.finish().await;
}

#[tokio::test]
async fn a_key_used_for_another_request_is_refused() {
    let hatch = Hatch::start().await;
    send(&hatch, "order-42", CUSTOMER).await;
    let other = send(&hatch, "order-42", "+18045550000").await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(other.text("detail").contains("Idempotency-Key"), "{}", other.body);
    hatch.finish().await;
}

#[tokio::test]
async fn a_text_that_is_no_key_is_refused() {
    let hatch = Hatch::start().await;
    for key in ["", &"k".repeat(256)] {
        let answer = send(&hatch, key, CUSTOMER).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{} characters", key.len());
    }
    let longest = send(&hatch, &"k".repeat(255), CUSTOMER).await;
    assert_eq!(longest.status, StatusCode::ACCEPTED);
    hatch.finish().await;
}

#[tokio::test]
async fn a_cancel_and_a_retry_are_answered_again_as_they_were() {
    let hatch = Hatch::start().await;
    let change = async |id: &str, what: &str, key: &str| {
        let path = format!("/api/v1/messages/{id}/{what}");
        hatch.request(Method::POST, &path, &[("idempotency-key", key)], None).await
    };
    let at = SystemEnvironment.now() + TimeDelta::days(1);
    let request = json!({"from": SENDER, "to": CUSTOMER, "body": "Later", "send_at": at});
    let later = hatch.post("/api/v1/messages", &request).await;
    let failed = hatch.send_sms("+18045550400", "Hello").await;
    hatch.message_with_status(&failed, "failed").await;
    for (id, what) in [(later.text("id"), "cancel"), (&failed, "retry")] {
        let first = change(id, what, "again").await;
        assert!(first.status.is_success(), "{what}: {}", first.body);
        let again = change(id, what, "again").await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{what}");
        assert_eq!(again.header("idempotent-replayed"), "true", "{what}");
    }
    let other = hatch.send_sms(CUSTOMER, "Hello").await;
    let reused = change(&other, "cancel", "again").await;
    assert_eq!(reused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", reused.body);
    hatch.finish().await;
}

#[tokio::test]
async fn a_schedule_that_has_passed_meanwhile_is_answered_again_too() {
    let hatch = Hatch::start_with(&[hatch::roles::Role::Command], |_| {}).await;
    let at = SystemEnvironment.now() - TimeDelta::milliseconds(59_000);
    let body = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello", "send_at": at}).to_string();
    let send = async |key: &str| {
        let headers = [("idempotency-key", key)];
        hatch.request(Method::POST, "/api/v1/messages", &headers, Some(body.clone())).await
    };
    let first = send("schedule").await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    let mut keys = (0..).map(|n| format!("another {n}"));
    loop {
        let late = send(&keys.next().expect("endless")).await;
        if late.status == StatusCode::BAD_REQUEST {
            assert_eq!(late.body["errors"][0]["pointer"], "/send_at");
            break;
        }
    }
    let again = send("schedule").await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.body);
    assert_eq!(again.body, first.body);
    hatch.finish().await;
}

#[tokio::test]
async fn a_batch_can_be_repeated() {
    let hatch = Hatch::start().await;
    let send = async |bodies: &[&str]| {
        let one = |body: &&str| json!({"from": SENDER, "to": CUSTOMER, "body": body});
        let batch = json!({"messages": bodies.iter().map(one).collect::<Vec<_>>()}).to_string();
        let headers = [("idempotency-key", "newsletter")];
        hatch.request(Method::POST, "/api/v1/messages/batch", &headers, Some(batch)).await
    };
    let replayed = |answer: &Answer| answer.headers.get("idempotent-replayed").cloned();
    let first = send(&["", "one", "two"]).await;
    assert_eq!((first.status, replayed(&first)), (StatusCode::ACCEPTED, None), "{}", first.body);
    let again = send(&["", "one", "two"]).await;
    assert_eq!(again.body, first.body);
    assert_eq!(again.body["data"][0]["error"]["status"], 400);
    assert_eq!(replayed(&again).expect("said"), "true");
    let requested = "SELECT count(*) FROM es.events WHERE type = 'MessageRequested'";
    let others: [&[&str]; 5] = [
        &["", "one", "other"],
        &["", "one"],
        &["", "one", "two", "three"],
        &["zero", "one", "two"],
        &["x"],
    ];
    for other in others {
        let refused = send(other).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{other:?}: {}", refused.body);
    }
    assert_eq!(hatch.count(requested).await, 2);
    hatch.finish().await;
}

#[tokio::test]
async fn a_mail_is_compared_in_all_its_parts() {
    let hatch = Hatch::start().await;
    let send = async |subject: &str, cc: &str| {
        let body = json!({
            "from": "a@example.com", "to": "b@Example.com", "cc": cc, "subject": subject, "body": "x",
        });
        let headers = [("idempotency-key", "mail")];
        hatch.request(Method::POST, "/api/v1/messages", &headers, Some(body.to_string())).await
    };
    let first = send("Hi", "c@example.com").await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    assert_eq!(send("Hi", "c@EXAMPLE.com").await.body, first.body);
    for other in [send("Ho", "c@example.com").await, send("Hi", "d@example.com").await] {
        assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", other.body);
    }
    hatch.finish().await;
}
