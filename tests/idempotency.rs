//! `Idempotency-Key`: one key and request, one message.

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
async fn a_key_that_is_none_is_refused() {
    let hatch = Hatch::start().await;
    for key in ["", &"k".repeat(256)] {
        let answer = send(&hatch, key, CUSTOMER).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{} characters", key.len());
    }
    let longest = send(&hatch, &"k".repeat(255), CUSTOMER).await;
    assert_eq!(longest.status, StatusCode::ACCEPTED);
    hatch.finish().await;
}
