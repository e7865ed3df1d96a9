//! Mails that no person wrote: automatic replies, bounces, and our own that come back.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Hatch, mail_key, unique};

const OURS: &str = "user@usehatchapp.com";
const ANN: &str = "ann@example.com";
const TIMESTAMP: &str = "1700000000";

/// The unread messages of all conversations.
const UNREAD: &str = "SELECT coalesce(sum(unread_count), 0)::bigint FROM rm.conversations";

/// Posts the mail as Inbound Parse does; `from` is its sender in the envelope.
async fn post(hatch: &Hatch, mail: &str, from: &str) -> StatusCode {
    let envelope = json!({"to": [OURS], "from": from}).to_string();
    let part = |name: &str, content: &str| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    };
    let body = format!("{}{}--B--\r\n", part("email", mail), part("envelope", &envelope));
    let key = SigningKey::from_pkcs8_pem(mail_key()).expect("a key");
    let signature: DerSignature = key.sign(&[TIMESTAMP.as_bytes(), body.as_bytes()].concat());
    let http = hatch::http_client(Duration::from_secs(30)).expect("a client");
    let answer = http
        .post(format!("{}/api/v1/webhooks/sendgrid/inbound", hatch.url))
        .header("content-type", "multipart/form-data; boundary=B")
        .header("x-twilio-email-event-webhook-timestamp", TIMESTAMP)
        .header(
            "x-twilio-email-event-webhook-signature",
            BASE64_STANDARD.encode(signature.as_bytes()),
        )
        .body(body);
    answer.send().await.expect("hatch answers").status()
}

/// A mail of ours that was handed on: the simulator says nothing more of it.
async fn sent(hatch: &Hatch, to: &Value) -> Value {
    let mail = json!({"from": OURS, "to": to, "subject": "Your order", "body": "On its way"});
    let answer = hatch.post("/api/v1/messages", &mail).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    hatch.message_with_status(answer.text("id"), "sent").await
}

/// The newest message that came in, once the conversation has so many messages.
async fn newest(hatch: &Hatch, conversation: &str, count: usize) -> Value {
    hatch
        .eventually("it is in the conversation", async |hatch| {
            let path = format!("/api/v1/conversations/{conversation}/messages");
            let list = hatch.get(&path).await;
            let data = list.body["data"].as_array().cloned().unwrap_or_default();
            (data.len() == count).then(|| data[0].clone())
        })
        .await
}

async fn conversation(hatch: &Hatch, message: &Value) -> Value {
    let id = message["conversation_id"].as_str().expect("an id");
    hatch.get(&format!("/api/v1/conversations/{id}")).await.body
}

/// A report on the mail `original` to `recipient`, as a mail server sends it.
fn report(original: &str, recipient: &str) -> String {
    format!(
        "Return-Path: <>\r\nFrom: Mail Delivery System <MAILER-DAEMON@mx.example.org>\r\nTo: {OURS}\r\n\
         Message-ID: <{}@mx.example.org>\r\nSubject: Undelivered Mail Returned to Sender\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n--b\r\n\
         Content-Type: text/plain\r\n\r\nIt came back.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.example.org\r\n\r\nFinal-Recipient: rfc822; {recipient}\r\nAction: failed\r\n\
         Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 No such user\r\n\r\n--b\r\n\
         Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: {original}\r\n\r\n--b--\r\n",
        unique()
    )
}

#[tokio::test]
async fn an_automatic_reply_is_shown_with_its_signs_and_is_not_unread() {
    let hatch = Hatch::start().await;
    let first = sent(&hatch, &json!("silent+ann@example.com")).await;
    let ours = first["message_id_header"].as_str().expect("a Message-ID");
    let mail = format!(
        "From: silent+ann@example.com\r\nTo: {OURS}\r\nSubject: Automatic reply: Your order\r\n\
         Message-ID: <{}@example.com>\r\nIn-Reply-To: {ours}\r\nAuto-Submitted: auto-replied\r\n\r\nI am away.\r\n",
        unique()
    );
    assert!(post(&hatch, &mail, "").await.is_success());
    let id = first["conversation_id"].as_str().expect("an id");
    let reply = newest(&hatch, id, 2).await;
    assert_eq!(reply["kind"], "auto_reply");
    assert_eq!(reply["signs"], json!(["auto-submitted", "envelope", "subject"]));
    let shown = conversation(&hatch, &first).await;
    assert_eq!(shown["message_count"], 2);
    assert_eq!(hatch.count(UNREAD).await, 0);
    assert_eq!(shown["last_message"]["id"], reply["id"]);
    hatch.finish().await;
}

#[tokio::test]
async fn a_bounce_is_folded_into_the_message_that_did_not_arrive() {
    let hatch = Hatch::start().await;
    let first = sent(&hatch, &json!("silent+bob@example.com")).await;
    let ours = first["message_id_header"].as_str().expect("a Message-ID");
    // A server sends it without an envelope sender. Others know the Message-ID, too.
    let forged = report(ours, "silent+bob@example.com");
    assert!(post(&hatch, &forged, "evil@example.net").await.is_success());
    let told = hatch.event_types(first["id"].as_str().expect("an id")).await;
    assert!(!told.contains(&"MessageUndelivered".to_owned()), "{told:?}");
    let mail = report(ours, "silent+bob@example.com");
    assert!(post(&hatch, &mail, "").await.is_success());
    let id = first["id"].as_str().expect("an id");
    let message = hatch.message_with_status(id, "undelivered").await;
    assert_eq!(message["error"]["code"], "5.1.1");
    assert_eq!(message["error"]["class"], "invalid_recipient");
    assert_eq!(message["error"]["detail"], "550 5.1.1 No such user");
    let bounce = newest(&hatch, first["conversation_id"].as_str().expect("an id"), 2).await;
    assert_eq!((&bounce["kind"], &bounce["direction"]), (&json!("bounce"), &json!("inbound")));
    assert_eq!(hatch.count(UNREAD).await, 0);

    // Who answers in the conversation answers Bob, and not the server.
    let path = format!(
        "/api/v1/conversations/{}/messages",
        first["conversation_id"].as_str().expect("an id")
    );
    let answer = hatch.post(&path, &json!({"body": "Is this your address?"})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let answer =
        hatch.message_with_status(answer.body["id"].as_str().expect("an id"), "sent").await;
    assert_eq!(answer["to"], json!(["silent+bob@example.com"]));

    // The same again changes nothing.
    let events = hatch.log_length().await;
    assert!(post(&hatch, &mail, "").await.is_success());
    assert_eq!(hatch.log_length().await, events);
    let log = hatch.get("/api/v1/webhook-log?outcome=duplicate").await;
    assert_eq!(log.body["data"].as_array().map(Vec::len), Some(1), "{}", log.body);
    hatch.finish().await;
}

#[tokio::test]
async fn a_bounce_in_words_is_folded_as_well_and_a_warning_is_not() {
    let hatch = Hatch::start().await;
    let first = sent(&hatch, &json!("silent+carl@example.com")).await;
    let ours = first["message_id_header"].as_str().expect("a Message-ID");
    let head = |subject: &str| {
        format!(
            "From: MAILER-DAEMON@mx.example.org\r\nTo: {OURS}\r\nSubject: {subject}\r\n\
             Message-ID: <{}@mx.example.org>\r\n\r\n",
            unique()
        )
    };
    let warning = format!(
        "{}THIS IS A WARNING MESSAGE ONLY.\r\n\r\nDelivery to the following recipient has been delayed:\r\n\r\n    \
         silent+carl@example.com\r\n\r\n----- Original message -----\r\nMessage-ID: {ours}\r\n",
        head("Delivery Status Notification (Delay)")
    );
    assert!(post(&hatch, &warning, "").await.is_success());
    let id = first["conversation_id"].as_str().expect("an id");
    assert_eq!(newest(&hatch, id, 2).await["kind"], "bounce");
    let words = format!(
        "{}Hi. This is the qmail-send program at mx.example.org.\r\nI wasn't able to deliver your message to the \
         following addresses.\r\n\r\n<silent+carl@example.com>:\r\nRemote host said: 550 5.2.1 Mailbox disabled\r\n\r\n\
         --- Below this line is a copy of the message.\r\n\r\nMessage-ID: {ours}\r\n",
        head("failure notice")
    );
    let before = hatch.event_types(first["id"].as_str().expect("an id")).await;
    assert!(!before.contains(&"MessageUndelivered".to_owned()), "{before:?}");
    assert!(post(&hatch, &words, "").await.is_success());
    let message =
        hatch.message_with_status(first["id"].as_str().expect("an id"), "undelivered").await;
    assert_eq!(message["error"]["code"], "5.2.1");
    hatch.finish().await;
}

#[tokio::test]
async fn a_mail_of_ours_that_comes_back_is_dropped_with_a_row() {
    let hatch = Hatch::start().await;
    let first = sent(&hatch, &json!("silent+dora@example.com")).await;
    let ours = first["message_id_header"].as_str().expect("a Message-ID");
    let mail = |from: &str| {
        format!(
            "From: {from}\r\nTo: silent+dora@example.com\r\nCc: {OURS}\r\nSubject: Your order\r\n\
             Message-ID: {ours}\r\n\r\nOn its way\r\n"
        )
    };
    let events = hatch.log_length().await;
    assert!(post(&hatch, &mail(OURS), OURS).await.is_success());
    assert_eq!(hatch.log_length().await, events);
    let log = hatch.get("/api/v1/webhook-log?outcome=ignored").await;
    let row = &log.body["data"][0];
    let id = first["id"].as_str().expect("an id");
    assert_eq!(row["message_id"], id, "{}", log.body);
    assert_eq!(row["detail"], format!("it is our own mail, of the message {id}"));
    // Who only uses its Message-ID has written a mail of his own.
    assert!(post(&hatch, &mail(ANN), ANN).await.is_success());
    assert_eq!(hatch.log_length().await, events + 1);
    hatch.finish().await;
}
