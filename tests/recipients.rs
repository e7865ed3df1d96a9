//! What becomes of each recipient of a mail, by SendGrid's events.

use base64::prelude::{BASE64_STANDARD, Engine};
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{CUSTOMER, Hatch, mail_key, unique};

/// Mails to it are taken, and the simulator says no more of them.
const ANN: &str = "silent+ann@example.com";
const BOB: &str = "silent+bob@example.com";

/// Sends a mail and waits until the provider has taken it.
async fn sent(hatch: &Hatch, to: &[&str]) -> Value {
    let mail = json!({"to": to, "subject": "Hello", "body": "Hello"});
    let answer = hatch.post("/api/v1/messages", &mail).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    hatch.message_with_status(answer.text("id"), "sent").await
}

/// An event of the mail as SendGrid posts it.
fn event(mail: &Value, kind: &str, email: &str, more: &Value) -> Value {
    let mut event = json!({
        "email": email, "event": kind, "timestamp": 1_800_000_000, "sg_event_id": unique(),
        "sg_message_id": format!("{}.recvd-1", mail["provider_message_id"].as_str().expect("an id")),
        "message_id": mail["id"], "attempt": "1", "tenant_id": "00000000-0000-0000-0000-000000000001",
    });
    let object = event.as_object_mut().expect("an object");
    object.extend(more.as_object().expect("an object").clone());
    event
}

fn bounce(mail: &Value, email: &str, status: &str) -> Value {
    let more = json!({"type": "bounce", "status": status, "reason": format!("550 {status} gone")});
    event(mail, "bounce", email, &more)
}

fn delivered(mail: &Value, email: &str) -> Value {
    event(mail, "delivered", email, &json!({"response": "250 OK"}))
}

/// Posts events, signed.
async fn post(hatch: &Hatch, events: &[Value]) {
    let key = SigningKey::from_pkcs8_pem(mail_key()).expect("a key");
    let timestamp = SystemEnvironment.now().timestamp().to_string();
    let body = Value::from(events.to_vec()).to_string();
    let signature: DerSignature = key.sign(&[timestamp.as_bytes(), body.as_bytes()].concat());
    let request = hatch
        .http
        .post(format!("{}/api/v1/webhooks/sendgrid", hatch.url))
        .header("content-type", "application/json")
        .header(
            "x-twilio-email-event-webhook-signature",
            BASE64_STANDARD.encode(signature.as_bytes()),
        )
        .header("x-twilio-email-event-webhook-timestamp", timestamp)
        .body(body);
    let answer = request.send().await.expect("hatch answers");
    assert!(answer.status().is_success(), "{}", answer.status());
}

/// Each recipient of a message with its status.
async fn recipients(hatch: &Hatch, id: &str) -> Vec<(String, String)> {
    let answer = hatch.get(&format!("/api/v1/messages/{id}/recipients")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let rows = answer.body["data"].as_array().expect("a list");
    rows.iter().map(|one| (text(&one["address"]), text(&one["status"]))).collect()
}

fn both(ann: &str, bob: &str) -> Vec<(String, String)> {
    [(ANN, ann), (BOB, bob)].map(|(one, status)| (one.to_owned(), status.to_owned())).to_vec()
}

#[tokio::test]
async fn a_mail_that_comes_back_after_its_delivery_says_so() {
    let hatch = Hatch::start().await;
    let mail = sent(&hatch, &[ANN]).await;
    let id = mail["id"].as_str().expect("an id");
    post(&hatch, &[delivered(&mail, ANN)]).await;
    hatch.message_with_status(id, "delivered").await;
    post(&hatch, &[bounce(&mail, ANN, "5.0.0")]).await;
    let back = hatch.message_with_status(id, "undelivered").await;
    assert_eq!(back["error"]["code"], "5.0.0", "{back}");
    assert!(back["delivered_at"].is_string(), "it had arrived: {back}");
    let types = hatch.event_types(id).await;
    assert_eq!(types.last().map(String::as_str), Some("MessageUndelivered"));
    // Repeated, and in the other order, it stays so.
    let before = hatch.log_length().await;
    post(&hatch, &[delivered(&mail, ANN), bounce(&mail, ANN, "5.0.0")]).await;
    assert_eq!(hatch.log_length().await, before);
    hatch.finish().await;
}

#[tokio::test]
async fn what_became_of_each_of_several_is_shown_whatever_came_first() {
    let hatch = Hatch::start().await;
    for delivery_first in [true, false] {
        let mail = sent(&hatch, &[ANN, BOB]).await;
        let id = mail["id"].as_str().expect("an id");
        assert_eq!(recipients(&hatch, id).await, both("sent", "sent"));
        let mut told = [delivered(&mail, ANN), bounce(&mail, BOB, "5.1.1")];
        if !delivery_first {
            told.reverse();
        }
        post(&hatch, &told[..1]).await;
        post(&hatch, &told[1..]).await;
        let partly = hatch.message_with_status(id, "partly_delivered").await;
        assert_eq!(partly["error"]["code"], "5.1.1", "{partly}");
        assert_eq!(partly["recipients"][1]["error"]["code"], "5.1.1", "{partly}");
        assert_eq!(recipients(&hatch, id).await, both("delivered", "undelivered"));
        let events = hatch.get(&format!("/api/v1/messages/{id}/events")).await;
        let events = events.body["data"].as_array().expect("a list").clone();
        let named = events.iter().filter(|event| event["data"]["recipient"].is_string());
        assert_eq!(named.count(), 2, "each says of whom: {events:#?}");
        let earlier = events[events.len() - 2]["position"].as_i64().expect("a position");
        let past = hatch.get(&format!("/api/v1/messages/{id}/recipients?at={earlier}")).await;
        let pending = past.body["data"].as_array().expect("a list").iter();
        assert_eq!(pending.filter(|one| one["status"] == "sent").count(), 1, "{}", past.body);
        let retry = format!("/api/v1/messages/{id}/retry");
        let retry = hatch.request(Method::POST, &retry, &[], None).await;
        assert_eq!(retry.status, StatusCode::CONFLICT, "one has it: {}", retry.body);
    }
    let list = hatch.get("/api/v1/messages?status=partly_delivered").await;
    assert_eq!(list.body["data"].as_array().map(Vec::len), Some(2), "{}", list.body);
    hatch.finish().await;
}

#[tokio::test]
async fn complaints_and_unsubscribes_are_events_of_the_mail() {
    let hatch = Hatch::start().await;
    let mail = sent(&hatch, &[ANN, BOB]).await;
    let id = mail["id"].as_str().expect("an id");
    let wish = |kind, email| event(&mail, kind, email, &json!({}));
    let read = [wish("open", ANN), wish("open", BOB)];
    post(&hatch, &read).await;
    hatch.message_with_status(id, "read").await;
    let wishes =
        [wish("spamreport", BOB), wish("group_unsubscribe", ANN), wish("unsubscribe", ANN)];
    post(&hatch, &wishes).await;
    let types = hatch.event_types(id).await;
    let told: Vec<_> = types.iter().filter(|name| name.starts_with("Recipient")).collect();
    assert_eq!(told, ["RecipientComplained", "RecipientUnsubscribed"], "each once");
    let path = format!("/api/v1/messages/{id}/recipients");
    hatch
        .eventually("both are shown", async |hatch| {
            let rows = hatch.get(&path).await.body["data"].clone();
            let unsubscribed = rows[0]["unsubscribed_at"].is_string();
            (unsubscribed && rows[1]["complained_at"].is_string()).then_some(())
        })
        .await;
    assert_eq!(recipients(&hatch, id).await, both("read", "read"), "it changes no status");
    let consent = hatch.get(&format!("/api/v1/consent?address={}", BOB.replace('+', "%2B"))).await;
    assert_eq!(consent.body["allowed"], false, "{}", consent.body);
    hatch.finish().await;
}

#[tokio::test]
async fn the_simulator_decides_for_each_recipient() {
    let hatch = Hatch::start().await;
    let mail = json!({"to": ["ok@example.com"], "cc": ["bounce@example.com"], "subject": "Hello",
        "body": "Hello"});
    let sent = hatch.post("/api/v1/messages", &mail).await;
    let partly = hatch.message_with_status(sent.text("id"), "partly_delivered").await;
    let shown = |n: usize| (&partly["recipients"][n]["role"], &partly["recipients"][n]["status"]);
    assert_eq!(shown(0), (&json!("to"), &json!("delivered")), "{partly}");
    assert_eq!(shown(1), (&json!("cc"), &json!("undelivered")), "{partly}");
    hatch.finish().await;
}

#[tokio::test]
async fn a_message_to_one_has_one_recipient_by_any_channel() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    let message = hatch.message_with_status(&id, "delivered").await;
    assert_eq!(message["recipients"], json!([]));
    assert_eq!(recipients(&hatch, &id).await, [(CUSTOMER.to_owned(), "delivered".to_owned())]);
    hatch.finish().await;
}
