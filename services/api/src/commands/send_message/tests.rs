//! What is sent: what is recorded of it, and what is wrong with it, by field.

mod recorded;

use axum::http::StatusCode;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::testing::{Api, CUSTOMER, SENDER};

fn good() -> Value {
    json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": "Hello"})
}

fn with(field: &str, value: Value) -> Value {
    let mut request = good();
    request[field] = value;
    request
}

fn without(field: &str) -> Value {
    let mut request = good();
    request.as_object_mut().expect("an object").remove(field);
    request
}

#[tokio::test]
async fn what_is_wrong_within_an_attachment_is_named() {
    let api = Api::start().await;
    let url = "https://example.com/a.jpg";
    for (attachment, pointer, detail) in [
        (json!({"url": url, "foo": 1}), "/attachments/0/foo", "unknown field"),
        (json!({"url": url, "a/b": "x"}), "/attachments/0/a~1b", "unknown field"),
        (json!({"url": url, "filename": 1}), "/attachments/0/filename", "expected a text"),
        (json!({"url": "ftp://a"}), "/attachments/0/url", "expected an http or https URL"),
        (json!({"filename": null}), "/attachments/0", "expected a url or a content"),
        (json!(1), "/attachments/0", "expected a URL"),
    ] {
        let answer = api.post("/api/v1/messages", &with("attachments", json!([attachment]))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
        assert_eq!(answer.pointers(), [pointer], "{}", answer.body);
        let said = answer.body["errors"][0]["detail"].as_str().expect("a sentence");
        assert!(said.starts_with(detail), "{said}");
    }
    assert_eq!(api.log_length().await, 0);
}

#[tokio::test]
async fn each_bad_field_is_named_and_nothing_is_recorded() {
    let api = Api::start().await;
    let cases = [
        (with("colour", json!("red")), "/colour"),
        (without("to"), "/to"),
        (with("to", json!("8045551234")), "/to"),
        (with("to", json!("+1804")), "/to"),
        (with("to", json!(18_045_551_234_u64)), "/to"),
        (with("to", json!([])), "/to"),
        (with("to", json!([CUSTOMER, "+18045551235"])), "/to"),
        (with("to", json!(SENDER)), "/to"),
        (with("from", json!("some_body")), "/from"),
        (without("body"), "/body"),
        (with("body", json!("")), "/body"),
        (with("body", json!(" \n\u{a0}")), "/body"),
        (with("body", json!(42)), "/body"),
        (with("body", json!("a\u{0}b")), "/body"),
        (with("body", json!("x".repeat(1_601))), "/body"),
        (with("channel", json!("pigeon")), "/channel"),
        (with("priority", json!("urgent")), "/priority"),
        (with("priority", json!(1)), "/priority"),
        (with("topic", json!("invoice")), "/topic"),
        (with("programme", json!("My news")), "/programme"),
        (with("programme", json!("x".repeat(65))), "/programme"),
        (with("subject", json!("Hi")), "/subject"),
        (with("html", json!("<b>Hi</b>")), "/html"),
        (with("cc", json!([CUSTOMER])), "/cc"),
        (with("bcc", json!(CUSTOMER)), "/bcc"),
        (with("reply_to", json!(SENDER)), "/reply_to"),
        (with("headers", json!({"X-Note": "x"})), "/headers"),
        (with("in_reply_to", json!("<a@example.com>")), "/in_reply_to"),
        (with("type", json!("mms")), "/type"),
        (with("send_at", json!("tomorrow")), "/send_at"),
        (with("send_at", json!(1_893_456_000)), "/send_at"),
        (with("send_at", json!(api.in_time(TimeDelta::seconds(-61)))), "/send_at"),
        (with("send_at", json!(api.in_time(TimeDelta::days(367)))), "/send_at"),
        (with("to", json!(vec![CUSTOMER; 1_001])), "/to"),
        (with("metadata", json!("order 42")), "/metadata"),
        (with("metadata", json!({"note": "a\u{0}b"})), "/metadata"),
        (with("metadata", json!({"note": "x".repeat(20_000)})), "/metadata"),
    ];
    for (request, pointer) in cases {
        let answer = api.post("/api/v1/messages", &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{request}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.pointers(), [pointer], "{request}: {}", answer.body);
    }
    assert_eq!(api.log_length().await, 0);
}

fn mail(field: &str, value: Value) -> Value {
    let mut request = json!({
        "channel": "email", "from": "a@example.com", "to": "b@example.com", "body": "Hello",
    });
    request[field] = value;
    request
}

fn files(files: Value) -> Value {
    json!({"channel": "mms", "from": SENDER, "to": CUSTOMER, "attachments": files})
}

#[tokio::test]
async fn each_bad_field_of_a_mail_is_named_and_nothing_is_recorded() {
    let api = Api::start().await;
    let file = |name: &str, kind: &str, content: &str| json!([{"filename": name, "content_type": kind, "content": content}]);
    let many: Vec<String> = (0..1_001).map(|n| format!("user{n}@example.com")).collect();
    let cases = [
        (mail("to", json!(null)), "/to"),
        (mail("to", json!(CUSTOMER)), "/to"),
        (mail("to", json!(["b@example.com", "nobody"])), "/to/1"),
        (mail("to", json!("b@example.com\r\nBcc: c@example.com")), "/to"),
        (mail("to", json!(many)), "/to"),
        (mail("cc", json!(many[..1_000])), "/cc"),
        (mail("bcc", json!(many[..1_000])), "/bcc"),
        (mail("from", json!(SENDER)), "/from"),
        (mail("body", json!("")), "/body"),
        (json!({"from": "a@example.com", "to": "b@example.com", "html": ""}), "/body"),
        (mail("body", json!("a\u{0}b")), "/body"),
        (mail("html", json!("a\u{0}b")), "/html"),
        (mail("subject", json!("x".repeat(999))), "/subject"),
        (mail("subject", json!("Hi\r\nBcc: c@example.com")), "/subject"),
        (mail("subject", json!(5)), "/subject"),
        (mail("reply_to", json!("nobody")), "/reply_to"),
        (mail("in_reply_to", json!("a message")), "/in_reply_to"),
        (mail("in_reply_to", json!("<a@b>\r\nX: y")), "/in_reply_to"),
        (mail("headers", json!({"To": "c@example.com"})), "/headers/To"),
        (mail("headers", json!({"from": "c@example.com"})), "/headers/from"),
        (mail("headers", json!({"Subject": "Hi"})), "/headers/Subject"),
        (mail("headers", json!({"Content-Type": "text/html"})), "/headers/Content-Type"),
        (mail("headers", json!({"Message-ID": "<a@b>"})), "/headers/Message-ID"),
        (mail("headers", json!({"X-SMTPAPI": "{}"})), "/headers/X-SMTPAPI"),
        (mail("headers", json!({"X-SG-EID": "1"})), "/headers/X-SG-EID"),
        (mail("headers", json!({"X-Mailgun-Variables": "{}"})), "/headers/X-Mailgun-Variables"),
        (mail("headers", json!({"X-Note": "a\r\nBcc: c@example.com"})), "/headers/X-Note"),
        (mail("headers", json!({"X-Note: a\r\nBcc": "c"})), "/headers/X-Note: a\r\nBcc"),
        (mail("headers", json!({"": "c"})), "/headers/"),
        (mail("headers", json!({"X-Note": 5})), "/headers/X-Note"),
        (mail("headers", json!({"X-A": "1", "x-a": "2"})), "/headers/x-a"),
        (mail("topic", json!("a\nb")), "/topic"),
        (mail("topic", json!("x".repeat(256))), "/topic"),
        (mail("attachments", json!(["javascript:alert(1)"])), "/attachments/0"),
        (mail("attachments", json!([{"id": "0199a0c4"}])), "/attachments/0/id"),
        (mail("attachments", json!([{}])), "/attachments/0"),
        (mail("attachments", json!([5])), "/attachments/0"),
        (mail("attachments", file("a.txt", "text/plain", "no base64")), "/attachments/0/content"),
        (mail("attachments", file("a.txt", "text", "aGk=")), "/attachments/0/content_type"),
        (mail("attachments", file("a\r\nb", "text/plain", "aGk=")), "/attachments/0/filename"),
        (mail("attachments", json!([{"content": "aGk="}])), "/attachments/0/filename"),
        (files(json!([])), "/attachments"),
        (files(json!(vec!["https://example.com/a.jpg"; 11])), "/attachments"),
        (files(json!(["https://example.com/a b.jpg"])), "/attachments/0"),
        (files(json!([{"url": "file:///etc/passwd"}])), "/attachments/0/url"),
        (files(json!([{"url": "https://example.com/a", "size": "5"}])), "/attachments/0/size"),
        (files(json!([{"filename": "a", "content": "aGk="}])), "/attachments/0/content"),
        (json!({"channel": "chat", "from": "alice", "to": "bob"}), "/body"),
        (json!({"channel": "chat", "to": "bob", "body": "Hi"}), "/from"),
        (json!({"channel": "chat", "from": "alice", "to": "a\nb", "body": "Hi"}), "/to"),
        (json!({"from": "al_ice", "to": "8045551234", "body": "Hi"}), "/from"),
        (json!({"from": SENDER, "to": "somebody", "body": "Hi"}), "/to"),
        (json!({"to": "8045551234", "body": "Hi"}), "/to"),
    ];
    for (request, pointer) in cases {
        let answer = api.post("/api/v1/messages", &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{request}: {}", answer.body);
        assert_eq!(answer.pointers()[..1], [pointer], "{request}: {}", answer.body);
    }
    assert_eq!(api.log_length().await, 0);
}

#[tokio::test]
async fn what_is_just_within_a_limit_is_taken() {
    let api = Api::start().await;
    let many: Vec<String> = (0..1_000).map(|n| format!("user{n}@example.com")).collect();
    let cases = [
        with("body", json!("x".repeat(1_600))),
        with("send_at", json!(api.in_time(TimeDelta::days(364)))),
        with("send_at", json!(api.in_time(TimeDelta::seconds(-50)))),
        mail("subject", json!("x".repeat(998))),
        mail("to", json!(many)),
        mail("cc", json!(many[..999])),
        mail("topic", json!("x".repeat(255))),
        mail("body", json!("x".repeat(1_000_000))),
        files(json!(vec!["https://example.com/a.jpg"; 10])),
    ];
    for (request, expected) in cases.iter().zip(1..) {
        let answer = api.post("/api/v1/messages", request).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{expected}: {}", answer.body);
        assert_eq!(api.log_length().await, expected);
    }
}

#[tokio::test]
async fn several_bad_fields_are_named_at_once() {
    let api = Api::start().await;
    let request = json!({"channel": "sms", "from": "x_", "to": "y"});
    let answer = api.post("/api/v1/messages", &request).await;
    assert_eq!(answer.pointers(), ["/from", "/to", "/body"]);
    assert_eq!(answer.body["instance"], answer.header("x-request-id"));
}

/// A request may be within the limit of bodies, and its message larger than what the log takes at once.
#[tokio::test]
async fn of_a_message_that_is_too_large_for_the_log_the_largest_field_is_named() {
    let api = Api::start().await;
    let text = "x".repeat(1024 * 1024 - 1_000);
    let file = json!([{"filename": "a.txt", "content_type": "text/plain", "content": "eHh4".repeat(250_000)}]);
    // Each of these is six bytes as JSON.
    let controls = "\u{1}".repeat(173_600);
    for (field, value, pointer) in [
        ("body", json!(text), "/body"),
        ("html", json!(text), "/html"),
        ("html", json!(controls), "/html"),
        ("attachments", file, "/attachments/0/content"),
    ] {
        let mut request = mail(field, value);
        if field == "attachments" {
            request["html"] = json!("y".repeat(41_000));
        }
        let answer = api.post("/api/v1/messages", &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}: {}", answer.body);
        assert_eq!(answer.pointers(), [pointer]);
    }
    let answer = api.post("/api/v1/messages", &mail("html", json!("x".repeat(1_030_000)))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
}
