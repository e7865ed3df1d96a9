//! Messages from outside.

use serde_json::json;

use crate::harness::{CUSTOMER, Hatch, SENDER, unique};

#[tokio::test]
async fn a_reply_joins_the_conversation_and_counts_as_unread() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    let sent = hatch.message_with_status(&id, "delivered").await;
    let conversation = sent["conversation_id"].as_str().expect("an id").to_owned();

    let reply = json!({"provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": "Hi!"});
    assert_eq!(hatch.simulate_inbound(&reply).await / 100, 2);
    let path = format!("/api/v1/conversations/{conversation}");
    let found = hatch
        .eventually("the reply counts", async |hatch| {
            let answer = hatch.get(&path).await;
            (answer.body["message_count"] == 2).then_some(answer.body)
        })
        .await;
    assert_eq!(found["participants"], json!([SENDER, CUSTOMER]));
    assert_eq!(found["channels"], json!(["sms"]));
    assert_eq!(found["last_message"]["direction"], "inbound");
    assert_eq!(found["last_message"]["preview"], "Hi!");

    let messages = hatch.get(&format!("{path}/messages")).await;
    let data = messages.body["data"].as_array().expect("a list");
    assert_eq!(data.len(), 2);
    assert_eq!(data[0]["direction"], "inbound", "newest first");
    assert_eq!(data[0]["status"], "received");
    assert_eq!(data[1]["id"], *id);
    hatch.finish().await;
}

#[tokio::test]
async fn the_same_webhook_again_is_answered_alike_and_adds_nothing() {
    let hatch = Hatch::start().await;
    let sid = format!("SM{}", unique());
    let inbound = |body: &str| {
        json!({
            "provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": body,
            "provider_message_id": sid,
        })
    };
    let first = hatch.simulate_inbound(&inbound("Hi!")).await;
    let again = hatch.simulate_inbound(&inbound("Hi!")).await;
    let changed = hatch.simulate_inbound(&inbound("whatever else the repeat says")).await;
    assert_eq!([again, changed], [first, first]);
    assert_eq!(first / 100, 2);
    assert_eq!(hatch.log_length().await, 1);
    hatch.finish().await;
}

#[tokio::test]
async fn concurrent_first_messages_open_one_conversation() {
    let hatch = Hatch::start().await;
    let inbound = json!({"provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": "Hi!"});
    let both = (0..8).map(|_| hatch.simulate_inbound(&inbound));
    for status in futures::future::join_all(both).await {
        assert_eq!(status / 100, 2);
    }
    hatch
        .eventually("all eight are in one conversation", async |hatch| {
            let list = hatch.get("/api/v1/conversations").await;
            let data = list.body["data"].as_array().cloned().unwrap_or_default();
            (data.len() == 1 && data[0]["message_count"] == 8).then_some(())
        })
        .await;
    hatch.finish().await;
}
