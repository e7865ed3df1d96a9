//! `Idempotency-Key`: one key and request, one message.

use chrono::TimeDelta;

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
async fn a_cancel_and_a_retry_are_answered_again_as_they_were() {
    let hatch = Hatch::start().await;
    let change = async |id: &str, what: &str, key: &str| {
        let path = format!("/api/v1/messages/{id}/{what}");
        hatch.request(Method::POST, &path, &[("idempotency-key", key)], None).await
    };
    let at = hatch.in_time(TimeDelta::days(1));
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
