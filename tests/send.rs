//! The main path: an SMS goes out and its receipt comes back.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{CUSTOMER, Hatch, SENDER};

#[tokio::test]
async fn an_sms_is_sent_once_and_delivered_in_four_events() {
    let hatch = Hatch::start().await;
    let request = json!({
        "channel": "sms", "from": SENDER, "to": "+1 (804) 555-1234", "body": "Hello",
        "metadata": {"order": "42"},
    });
    let accepted = hatch.post("/api/v1/messages", &request).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
    assert_eq!(accepted.body["status"], "queued");
    assert_eq!(accepted.body["channel"], "sms");
    assert_eq!(accepted.body["conversation_id"], "9a2476e4-4694-8b3f-8121-f933c8b3c73b");
    assert_eq!(accepted.header("hatch-position"), accepted.body["position"].to_string());

    let id = accepted.text("id");
    let message = hatch.message_with_status(id, "delivered").await;
    assert_eq!(message["to"], json!([CUSTOMER]), "normalised");
    assert_eq!(message["metadata"], json!({"order": "42"}));
    assert_eq!(message["attempts"], 1);
    assert_eq!(message["created_at"], accepted.body["created_at"]);
    // The receipt may overtake the answer, which brings the parts.
    hatch
        .eventually("the answer is recorded, too", async |hatch| {
            let message = hatch.get(&format!("/api/v1/messages/{id}")).await.body;
            (message["segments"] == 1 && message["sent_at"].is_string()).then_some(())
        })
        .await;
    let types: BTreeSet<String> = hatch.event_types(id).await.into_iter().collect();
    let expected = ["MessageDelivered", "MessageRequested", "MessageSent", "SendAttempted"];
    assert!(types.iter().eq(expected), "{types:?}");

    let record = hatch.record().await;
    assert_eq!(record.len(), 1);
    assert_eq!(record[0]["hatch_message_id"], id);
    assert_eq!(record[0]["calls"], 1);
    assert_eq!(record[0]["provider_message_id"], message["provider_message_id"]);
    hatch.finish().await;
}

#[tokio::test]
async fn the_alias_the_default_sender_and_the_inferred_channel_send_too() {
    let hatch = Hatch::start().await;
    let request = json!({"to": CUSTOMER, "body": "Hello"});
    let accepted = hatch.post("/api/v1/messages/send", &request).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
    let message = hatch.message_with_status(accepted.text("id"), "delivered").await;
    assert_eq!(message["from"], SENDER);
    assert_eq!(message["channel"], "sms");

    let typed = json!({"type": "sms", "from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let accepted = hatch.post("/api/v1/messages", &typed).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
    hatch.finish().await;
}

#[tokio::test]
async fn each_priority_is_sent() {
    let hatch = Hatch::start().await;
    for priority in ["high", "normal", "bulk", "low"] {
        let request = json!({"to": CUSTOMER, "body": priority, "priority": priority});
        let accepted = hatch.post("/api/v1/messages", &request).await;
        hatch.message_with_status(accepted.text("id"), "delivered").await;
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_long_text_in_another_script_arrives_as_it_was_written() {
    let hatch = Hatch::start().await;
    let body = "Grüße 👋 — 你好, \"quotes\" & <tags> \\ 100 %\n".repeat(20);
    let id = hatch.send_sms(CUSTOMER, &body).await;
    let message = hatch.message_with_status(&id, "delivered").await;
    assert_eq!(message["body"], *body);
    assert!(message["segments"].as_u64() > Some(1), "{}", message["segments"]);
    hatch.finish().await;
}

#[tokio::test]
async fn accepted_messages_are_sent_after_a_restart() {
    use hatch::roles::Role;

    let mut hatch = Hatch::start().await;
    hatch.stop().await;
    hatch.start_again(&[Role::Command, Role::Query]).await;
    let id = hatch.send_sms(CUSTOMER, "while nobody dispatches").await;
    assert_eq!(hatch.event_types(&id).await, ["MessageRequested"]);
    hatch.stop().await;
    hatch.start_again(&Role::ALL).await;
    hatch.message_with_status(&id, "delivered").await;
    assert_eq!(hatch.record().await.len(), 1);
    hatch.finish().await;
}
