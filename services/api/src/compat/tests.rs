//! The paths of older systems: what the API does by itself.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::testing::{Answer, Api, CUSTOMER, MAILBOX, OTHER_MAILBOX, SENDER};

async fn event(api: &Api, id: &str) -> Value {
    let events = api.get(&format!("/api/v1/messages/{id}/events")).await;
    assert_eq!(events.status, StatusCode::OK, "{}", events.body);
    events.body["data"][0]["data"].clone()
}

#[tokio::test]
async fn the_email_path_takes_addresses_as_editors_paste_them() {
    let api = Api::start().await;
    let request = json!({
        "from": "[user@usehatchapp.com](mailto:user@usehatchapp.com)", "to": OTHER_MAILBOX,
        "body": "Hello with <b>HTML</b>", "attachments": ["https://example.com/a.pdf"],
        "timestamp": "2024-11-01T14:00:00Z",
    });
    let answer = api.post("/api/messages/email", &request).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let event = event(&api, answer.text("id")).await;
    assert_eq!(event["channel"], "email");
    assert_eq!(event["from"], MAILBOX);
    assert_eq!(event["email"]["subject"], "(no subject)");
    assert_eq!(event["attachments"], json!([{"url": "https://example.com/a.pdf"}]));
    assert_eq!(event["metadata"], json!({"timestamp": "2024-11-01T14:00:00Z"}));
}

#[tokio::test]
async fn wrong_fields_are_named_as_the_client_wrote_them() {
    let api = Api::start().await;
    let sms = |change: Value| {
        let mut request = json!({"from": SENDER, "to": CUSTOMER, "type": "sms", "body": "Hello"});
        request.as_object_mut().expect("one").extend(change.as_object().expect("one").clone());
        ("/api/messages/sms", request)
    };
    let email = |change: Value| {
        let mut request =
            json!({"to_email": OTHER_MAILBOX, "from_email": MAILBOX, "body": "Hello"});
        request.as_object_mut().expect("one").extend(change.as_object().expect("one").clone());
        ("/api/send_email", request)
    };
    let cases = [
        (sms(json!({"type": "email"})), "/type"),
        (sms(json!({"type": "pigeon"})), "/type"),
        (sms(json!({"to": "+1804"})), "/to"),
        (sms(json!({"body": ""})), "/body"),
        (sms(json!({"subject": "Hi"})), "/subject"),
        (sms(json!({"type": "mms", "attachments": ["ftp://example.com/a.jpg"]})), "/attachments/0"),
        (sms(json!({"timestamp": 5})), "/timestamp"),
        (sms(json!({"timestamp": "a\u{0}b"})), "/timestamp"),
        (("/api/messages/email", json!({"from": MAILBOX, "to": "x", "body": "Hello"})), "/to"),
        (("/api/messages/email", json!({"from": MAILBOX, "to": OTHER_MAILBOX})), "/body"),
        (("/api/send_message", json!({"from": SENDER, "to": CUSTOMER})), "/body"),
        (("/api/send_message", json!({"to": CUSTOMER, "body": "x", "type": "sms"})), "/type"),
        (email(json!({"to_email": "nobody"})), "/to_email"),
        (email(json!({"to_email": ["a@example.com", "nobody"]})), "/to_email/1"),
        (email(json!({"from_email": "nobody"})), "/from_email"),
        (email(json!({"html_content": "a\u{0}b"})), "/html_content"),
        (email(json!({"subject": "x".repeat(999)})), "/subject"),
        (email(json!({"cc": [CUSTOMER]})), "/cc"),
    ];
    for ((path, request), pointer) in cases {
        let answer = api.post(path, &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {request}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let errors = answer.body["errors"].as_array().expect("errors");
        let pointers: Vec<_> = errors.iter().map(|error| &error["pointer"]).collect();
        assert_eq!(pointers, [pointer], "{path} {request}: {}", answer.body);
    }
    assert_eq!(api.log_length().await, 0);
}

#[tokio::test]
async fn keys_are_honoured_and_each_path_has_its_own() {
    let api = Api::start().await;
    let send = async |path: &str| -> Answer {
        let request = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"}).to_string();
        let key = [("idempotency-key", "order-42")];
        api.request(Method::POST, path, &key, Some(request)).await
    };
    for path in ["/api/send_message", "/api/messages/sms"] {
        let first = send(path).await;
        let again = send(path).await;
        assert_eq!(again.body, first.body, "{path}");
        assert_eq!(again.status, first.status, "{path}");
        assert_eq!(again.header("idempotent-replayed"), "true", "{path}");
    }
    assert_ne!(send("/api/v1/messages").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(api.log_length().await, 3);
}

#[tokio::test]
async fn an_unknown_conversation_of_whatever_form_is_404() {
    let api = Api::start().await;
    let ids = ["0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11", "1", "not-a-uuid", "%ff", "a%20b", "-1"];
    for id in ids {
        for path in ["conversations", "conversation"] {
            let answer = api.get(&format!("/api/{path}/{id}/messages")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}/{id}: {}", answer.body);
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
    }
    for query in ["limit=0", "limit=x", "cursor=garbage", "colour=red"] {
        let answer = api.get(&format!("/api/conversations?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {}", answer.body);
    }
}
