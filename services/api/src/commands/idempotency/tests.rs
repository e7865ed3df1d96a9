//! One key belongs to one request.

use axum::http::{Method, StatusCode};
use chrono::TimeDelta;
use serde_json::json;

use crate::testing::{Answer, Api, CUSTOMER, SENDER};

async fn send(api: &Api, key: &str, to: &str) -> Answer {
    let body = json!({"channel": "sms", "from": SENDER, "to": to, "body": "Hello"}).to_string();
    let headers = [("idempotency-key", key)];
    api.request(Method::POST, "/api/v1/messages", &headers, Some(body)).await
}

#[tokio::test]
async fn a_key_used_for_another_request_is_refused() {
    let api = Api::start().await;
    send(&api, "order-42", CUSTOMER).await;
    let other = send(&api, "order-42", "+18045550000").await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(other.text("detail").contains("Idempotency-Key"), "{}", other.body);
}

#[tokio::test]
async fn low_and_bulk_are_one_request() {
    let api = Api::start().await;
    let send = async |priority: &str| {
        let body = json!({"from": SENDER, "to": CUSTOMER, "body": "x", "priority": priority});
        let headers = [("idempotency-key", "campaign")];
        api.request(Method::POST, "/api/v1/messages", &headers, Some(body.to_string())).await
    };
    let first = send("low").await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    assert_eq!(send("bulk").await.body, first.body);
    assert_eq!(send("high").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_text_that_is_no_key_is_refused() {
    let api = Api::start().await;
    for key in ["", &"k".repeat(256)] {
        let answer = send(&api, key, CUSTOMER).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{} characters", key.len());
    }
    let longest = send(&api, &"k".repeat(255), CUSTOMER).await;
    assert_eq!(longest.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_schedule_that_has_passed_meanwhile_is_answered_again_too() {
    let api = Api::start().await;
    let at = api.in_time(-TimeDelta::seconds(50));
    let body = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello", "send_at": at}).to_string();
    let send = async |key: &str| {
        let headers = [("idempotency-key", key)];
        api.request(Method::POST, "/api/v1/messages", &headers, Some(body.clone())).await
    };
    let first = send("schedule").await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    api.advance(TimeDelta::seconds(20)).await;
    let late = send("another").await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{}", late.body);
    assert_eq!(late.pointers(), ["/send_at"]);
    let again = send("schedule").await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.body);
    assert_eq!(again.body, first.body);
}

#[tokio::test]
async fn a_batch_can_be_repeated() {
    let api = Api::start().await;
    let send = async |bodies: &[&str]| {
        let one = |body: &&str| json!({"from": SENDER, "to": CUSTOMER, "body": body});
        let batch = json!({"messages": bodies.iter().map(one).collect::<Vec<_>>()}).to_string();
        let headers = [("idempotency-key", "newsletter")];
        api.request(Method::POST, "/api/v1/messages/batch", &headers, Some(batch)).await
    };
    let replayed = |answer: &Answer| answer.headers.get("idempotent-replayed").cloned();
    let first = send(&["", "one", "two"]).await;
    assert_eq!((first.status, replayed(&first)), (StatusCode::ACCEPTED, None), "{}", first.body);
    let again = send(&["", "one", "two"]).await;
    assert_eq!(again.body, first.body);
    assert_eq!(again.body["data"][0]["error"]["status"], 400);
    assert_eq!(replayed(&again).expect("said"), "true");
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
    assert_eq!(api.log_length().await, 2);
}

#[tokio::test]
async fn a_mail_is_compared_in_all_its_parts() {
    let api = Api::start().await;
    let send = async |subject: &str, cc: &str| {
        let body = json!({
            "from": "a@example.com", "to": "b@Example.com", "cc": cc, "subject": subject, "body": "x",
        });
        let headers = [("idempotency-key", "mail")];
        api.request(Method::POST, "/api/v1/messages", &headers, Some(body.to_string())).await
    };
    let first = send("Hi", "c@example.com").await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    assert_eq!(send("Hi", "c@EXAMPLE.com").await.body, first.body);
    for other in [send("Ho", "c@example.com").await, send("Hi", "d@example.com").await] {
        assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", other.body);
    }
}
