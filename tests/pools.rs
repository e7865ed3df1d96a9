//! Pools of senders over real servers: who is written to from one sender goes on to be, until that leaves the pool.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{CUSTOMER, Hatch, SENDER};

const BRITISH: &str = "+447700900000";
const BRITON: &str = "+447700900123";
const POOL: &str = "/api/v1/pools/support";

/// The sender that a message to `to` would have, and why, once that is `expected`.
async fn previewed(hatch: &Hatch, to: &str, expected: (&str, &str)) {
    let body = json!({"to": to, "body": "Hello", "pool": "support"});
    hatch
        .eventually("the pool is known", async |hatch| {
            let answer = hatch.post("/api/v1/messages/preview", &body).await;
            let (from, pool) = (&answer.body["from"], &answer.body["pool"]);
            (*from == expected.0 && pool["reason"] == expected.1).then_some(())
        })
        .await;
}

/// Sends by the pool, and says what the message and its request have.
async fn sent(hatch: &Hatch, to: &str) -> (Value, Value) {
    let body = json!({"to": to, "body": "Hello", "pool": "support"});
    let accepted = hatch.post("/api/v1/messages", &body).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
    let id = accepted.text("id").to_owned();
    let message = hatch.message_with_status(&id, "delivered").await;
    let record = hatch.record().await;
    let line = record.iter().find(|line| line["hatch_message_id"] == id.as_str());
    assert_eq!(line.expect("it was sent")["from"], message["from"], "the provider saw it so");
    let events = hatch.get(&format!("/api/v1/messages/{id}/events")).await;
    let requested = &events.body["data"][0]["data"];
    let reason = requested["options"]["pool"]["reason"].clone();
    let attempts = hatch.get(&format!("/api/v1/messages/{id}/attempts")).await;
    let claimed = attempts.body["data"][0]["reason"].as_str().expect("a reason");
    let by_pool = format!("by the pool support: {}", reason.as_str().expect("a text"));
    assert!(claimed.ends_with(&by_pool), "the claim says so, too: {claimed}");
    (message["from"].clone(), reason)
}

#[tokio::test]
async fn a_recipient_knows_one_sender_of_a_pool_until_that_leaves_it() {
    let hatch = Hatch::start().await;
    let pool = json!({"name": "support", "senders": [SENDER, BRITISH]});
    let made = hatch.post("/api/v1/pools", &pool).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    previewed(&hatch, BRITON, (BRITISH, "country")).await;
    assert_eq!(sent(&hatch, BRITON).await, (json!(BRITISH), json!("country")));
    assert_eq!(sent(&hatch, CUSTOMER).await, (json!(SENDER), json!("country")));
    assert_eq!(sent(&hatch, BRITON).await, (json!(BRITISH), json!("sticky")));

    let without = json!({"senders": [SENDER]}).to_string();
    let changed = hatch.request(Method::PATCH, POOL, &[], Some(without)).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let rehomed = format!("rehomed from {BRITISH}; only_one");
    previewed(&hatch, BRITON, (SENDER, &rehomed)).await;
    assert_eq!(sent(&hatch, BRITON).await, (json!(SENDER), json!(rehomed)));
    assert_eq!(sent(&hatch, BRITON).await, (json!(SENDER), json!("sticky")));
    hatch.finish().await;
}
