//! The paths of older systems: their clients' requests and answers, and hatch's behaviour.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{CUSTOMER, Hatch, SENDER};

const MAILBOX: &str = "user@usehatchapp.com";
const OTHER_MAILBOX: &str = "contact@gmail.com";

async fn event(hatch: &Hatch, id: &str) -> Value {
    let events = hatch.get(&format!("/api/v1/messages/{id}/events")).await;
    assert_eq!(events.status, StatusCode::OK, "{}", events.body);
    events.body["data"][0]["data"].clone()
}

#[tokio::test]
async fn the_sms_path_takes_sms_and_mms() {
    let hatch = Hatch::start().await;
    let sms = json!({
        "from": SENDER, "to": CUSTOMER, "type": "sms", "body": "Hello", "attachments": null,
        "timestamp": "2024-11-01T14:00:00Z",
    });
    let answer = hatch.post("/api/messages/sms", &sms).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    assert_eq!(answer.body["channel"], "sms");
    assert_eq!(answer.header("hatch-position"), answer.body["position"].to_string());
    let message = hatch.message_with_status(answer.text("id"), "delivered").await;
    assert_eq!(message["metadata"], json!({"timestamp": "2024-11-01T14:00:00Z"}));
    assert_eq!(message["created_at"], answer.body["created_at"], "the timestamp orders nothing");

    let mms = json!({
        "from": SENDER, "to": CUSTOMER, "type": "mms", "body": "Look",
        "attachments": ["https://example.com/a.jpg"], "timestamp": "2024-11-01T14:00:00Z",
    });
    let answer = hatch.post("/api/messages/sms", &mms).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    assert_eq!(answer.body["channel"], "mms");
    let event = event(&hatch, answer.text("id")).await;
    assert_eq!(event["attachments"], json!([{"url": "https://example.com/a.jpg"}]));
    hatch.finish().await;
}

#[tokio::test]
async fn send_message_and_send_email_say_success_and_the_id() {
    let hatch = Hatch::start().await;
    let request = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let answer = hatch.post("/api/send_message", &request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let id = answer.text("message_id");
    assert_eq!(answer.body, json!({"success": true, "message_id": id}));
    hatch.message_with_status(id, "delivered").await;
    let without = hatch.post("/api/send_message", &json!({"to": CUSTOMER, "body": "Hello"})).await;
    assert_eq!(without.status, StatusCode::OK, "the default sender fills in: {}", without.body);

    let request = json!({
        "to_email": OTHER_MAILBOX, "subject": "Hi", "body": "text", "from_email": MAILBOX,
        "html_content": "<b>text</b>", "cc": ["cc@example.com"], "bcc": "bcc@example.com",
        "reply_to": "answers@example.com",
    });
    let answer = hatch.post("/api/send_email", &request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let id = answer.text("email_id");
    assert_eq!(answer.body, json!({"success": true, "email_id": id}));
    let event = event(&hatch, id).await;
    assert_eq!(event["to"], json!([OTHER_MAILBOX]));
    assert_eq!(event["email"]["subject"], "Hi");
    assert_eq!(event["email"]["html"], "<b>text</b>");
    assert_eq!(event["email"]["cc"], json!(["cc@example.com"]));
    assert_eq!(event["email"]["bcc"], json!(["bcc@example.com"]));
    assert_eq!(event["email"]["reply_to"], "answers@example.com");
    hatch.finish().await;
}

#[tokio::test]
async fn conversations_and_their_messages_are_those_of_v1() {
    let hatch = Hatch::start().await;
    let mut last = String::new();
    for to in [CUSTOMER, "+18045551235", "+18045551236"] {
        last = hatch.send_sms(to, "Hello").await;
        hatch.message_with_status(&last, "delivered").await;
    }
    let old = hatch.get("/api/conversations").await;
    assert_eq!(old.status, StatusCode::OK, "{}", old.body);
    let new = hatch.get("/api/v1/conversations").await;
    assert_eq!(old.body["conversations"], new.body["data"]);
    let page = hatch.get("/api/conversations?limit=2").await;
    assert_eq!(page.body["conversations"].as_array().map(Vec::len), Some(2));
    let cursor = page.body["next_cursor"].as_str().expect("a cursor");
    let rest = hatch.get(&format!("/api/conversations?limit=2&cursor={cursor}")).await;
    assert_eq!(rest.body["conversations"].as_array().map(Vec::len), Some(1));

    let conversation = &old.body["conversations"][0]["id"].as_str().expect("an id");
    let new = hatch.get(&format!("/api/v1/conversations/{conversation}/messages")).await;
    for path in ["conversations", "conversation"] {
        let old = hatch.get(&format!("/api/{path}/{conversation}/messages")).await;
        assert_eq!(old.status, StatusCode::OK, "{}", old.body);
        assert_eq!(old.body["messages"], new.body["data"]);
        assert_eq!(old.body["messages"][0]["id"], last);
    }
    hatch.finish().await;
}
