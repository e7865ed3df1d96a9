//! Bad input: a clear error that names the field, and no event.

use std::time::Duration;

use chrono::TimeDelta;
use hatch::roles::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Answer, CUSTOMER, Hatch, SENDER, from_now};

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

fn pointers(answer: &Answer) -> Vec<&str> {
    let errors = answer.body["errors"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
}

#[tokio::test]
async fn what_is_wrong_within_an_attachment_is_named() {
    let hatch = Hatch::start().await;
    let url = "https://example.com/a.jpg";
    for (attachment, pointer, detail) in [
        (json!({"url": url, "foo": 1}), "/attachments/0/foo", "unknown field"),
        (json!({"url": url, "a/b": "x"}), "/attachments/0/a~1b", "unknown field"),
        (json!({"url": url, "filename": 1}), "/attachments/0/filename", "expected a text"),
        (json!({"url": "ftp://a"}), "/attachments/0/url", "expected an http or https URL"),
        (json!({"filename": null}), "/attachments/0", "expected a url or a content"),
        (json!(1), "/attachments/0", "expected a URL"),
    ] {
        let answer =
            hatch.post("/api/v1/messages", &with("attachments", json!([attachment]))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
        assert_eq!(pointers(&answer), [pointer], "{}", answer.body);
        let said = answer.body["errors"][0]["detail"].as_str().expect("a sentence");
        assert!(said.starts_with(detail), "{said}");
    }
    assert_eq!(hatch.log_length().await, 0);
    hatch.finish().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_with_what_is_taken() {
    let hatch = Hatch::start().await;
    let long = |bytes: usize| "x".repeat(bytes);
    let messages = "/api/v1/messages";
    let fits = hatch.get(&format!("{messages}?participant={}", long(7_900))).await;
    assert_eq!(fits.status, StatusCode::BAD_REQUEST, "{}", fits.body);
    let uri = hatch.get(&format!("{messages}?participant={}", long(8_000))).await;
    let padding = long(32 * 1024);
    let headers = [("x-padding", padding.as_str())];
    let head = hatch.request(Method::POST, messages, &headers, Some(good().to_string())).await;
    for (answer, status, limit) in [
        (uri, StatusCode::URI_TOO_LONG, "8000 bytes"),
        (head, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "32768 bytes"),
    ] {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.body["type"], "urn:hatch:problem:too-large");
        assert!(answer.body["detail"].as_str().is_some_and(|why| why.contains(limit)));
        assert_eq!(answer.body["instance"], answer.header("x-request-id"));
    }
    assert_eq!(hatch.log_length().await, 0);
    hatch.finish().await;
}

#[tokio::test]
async fn each_bad_field_is_named_and_nothing_is_recorded() {
    let hatch = Hatch::start().await;
    let cases = [
        (with("colour", json!("red")), "/colour"),
        (without("to"), "/to"),
        (with("to", json!("8045551234")), "/to"),
        (with("to", json!("+1804")), "/to"),
        (with("to", json!(18_045_551_234_u64)), "/to"),
        (with("to", json!([])), "/to"),
        (with("to", json!([CUSTOMER, "+18045551235"])), "/to"),
        (with("to", json!(SENDER)), "/to"),
        (with("from", json!("somebody")), "/from"),
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
        (with("send_at", json!(from_now(TimeDelta::seconds(-61)))), "/send_at"),
        (with("send_at", json!(from_now(TimeDelta::days(367)))), "/send_at"),
        (with("to", json!(vec![CUSTOMER; 1_001])), "/to"),
        (with("metadata", json!("order 42")), "/metadata"),
        (with("metadata", json!({"note": "a\u{0}b"})), "/metadata"),
        (with("metadata", json!({"note": "x".repeat(20_000)})), "/metadata"),
    ];
    for (request, pointer) in cases {
        let answer = hatch.post("/api/v1/messages", &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{request}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(pointers(&answer), [pointer], "{request}: {}", answer.body);
    }
    assert_eq!(hatch.log_length().await, 0);
    hatch.finish().await;
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
    let hatch = Hatch::start().await;
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
        (json!({"from": "alice", "to": "8045551234", "body": "Hi"}), "/from"),
        (json!({"from": SENDER, "to": "somebody", "body": "Hi"}), "/to"),
        (json!({"to": "8045551234", "body": "Hi"}), "/to"),
    ];
    for (request, pointer) in cases {
        let answer = hatch.post("/api/v1/messages", &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{request}: {}", answer.body);
        assert_eq!(pointers(&answer)[..1], [pointer], "{request}: {}", answer.body);
    }
    assert_eq!(hatch.log_length().await, 0);
    hatch.finish().await;
}

#[tokio::test]
async fn what_is_just_within_a_limit_is_taken() {
    let hatch = Hatch::start_with(&[hatch::roles::Role::Command], |_| {}).await;
    let many: Vec<String> = (0..1_000).map(|n| format!("user{n}@example.com")).collect();
    let cases = [
        with("body", json!("x".repeat(1_600))),
        with("send_at", json!(from_now(TimeDelta::days(364)))),
        with("send_at", json!(from_now(TimeDelta::seconds(-50)))),
        mail("subject", json!("x".repeat(998))),
        mail("to", json!(many)),
        mail("cc", json!(many[..999])),
        mail("topic", json!("x".repeat(255))),
        mail("body", json!("x".repeat(1_000_000))),
        files(json!(vec!["https://example.com/a.jpg"; 10])),
    ];
    for (request, expected) in cases.iter().zip(1..) {
        let answer = hatch.post("/api/v1/messages", request).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{expected}: {}", answer.body);
        assert_eq!(hatch.log_length().await, expected);
    }
    hatch.finish().await;
}

#[tokio::test]
async fn several_bad_fields_are_named_at_once() {
    let hatch = Hatch::start().await;
    let request = json!({"channel": "sms", "from": "x", "to": "y"});
    let answer = hatch.post("/api/v1/messages", &request).await;
    assert_eq!(pointers(&answer), ["/from", "/to", "/body"]);
    assert_eq!(answer.body["instance"], answer.header("x-request-id"));
    hatch.finish().await;
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let hatch = Hatch::start().await;
    let listed = format!("[\"sms\",null,\"{SENDER}\",\"{CUSTOMER}\",\"Hello\"]");
    for body in ["", "{", "[]", &listed, "null", "\"text\"", "{}{}", "{\"to\":1,}"] {
        let answer =
            hatch.request(Method::POST, "/api/v1/messages", &[], Some(body.to_owned())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body:?}: {}", answer.body);
        assert!(answer.body["detail"].is_string(), "{body:?}");
    }
    let twice = format!("{{\"to\":\"{CUSTOMER}\",\"body\":\"one\",\"body\":\"two\"}}");
    let twice = hatch.request(Method::POST, "/api/v1/messages", &[], Some(twice)).await;
    assert_eq!(pointers(&twice), ["/body"], "{}", twice.body);
    let request = hatch.http.post(format!("{}/api/v1/messages", hatch.url));
    let request = request.header("content-type", "application/json").body(vec![b'"', 0xff, b'"']);
    let status = request.send().await.expect("an answer").status();
    assert_eq!(status, StatusCode::BAD_REQUEST, "invalid UTF-8");
    assert_eq!(hatch.log_length().await, 0);
    hatch.finish().await;
}

#[tokio::test]
async fn another_content_type_is_415_and_a_large_body_413() {
    let hatch = Hatch::start().await;
    let url = format!("{}/api/v1/messages", hatch.url);
    let form = hatch.http.post(&url).form(&[("to", CUSTOMER)]).send().await.expect("an answer");
    assert_eq!(form.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);

    let packed = hatch.http.post(&url).header("content-encoding", "gzip");
    let packed = packed.header("content-type", "application/json").body(vec![0x1f, 0x8b, 8, 0]);
    let packed = packed.send().await.expect("an answer").status();
    assert_eq!(packed, StatusCode::UNSUPPORTED_MEDIA_TYPE);

    let large = with("body", json!("x".repeat(1024 * 1024)));
    let answer = hatch.post("/api/v1/messages", &large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");

    let webhook = hatch.http.post(format!("{}/api/webhooks/sms", hatch.url)).body("{}");
    let webhook = webhook.header("content-type", "text/plain").send().await.expect("an answer");
    assert_eq!(webhook.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(hatch.log_length().await, 0);
    hatch.finish().await;
}

/// A request may be within the limit of bodies, and its message larger than what the log takes at once.
#[tokio::test]
async fn of_a_message_that_is_too_large_for_the_log_the_largest_field_is_named() {
    let hatch = Hatch::start_with(&[Role::Command], |_| {}).await;
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
        let answer = hatch.post("/api/v1/messages", &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}: {}", answer.body);
        assert_eq!(pointers(&answer), [pointer]);
    }
    let answer = hatch.post("/api/v1/messages", &mail("html", json!("x".repeat(1_030_000)))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    hatch.finish().await;
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_waited_for() {
    let hatch = Hatch::start().await;
    let address = hatch.url.trim_start_matches("http://");
    let mut client = tokio::net::TcpStream::connect(address).await.expect("connected");
    let head = "POST /api/v1/messages HTTP/1.1\r\nhost: localhost\r\n\
                content-type: application/json\r\ncontent-length: 2000000\r\n\r\n";
    client.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    let read = client.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(30), read).await.expect("in time").expect("read");
    assert_eq!(&answer, b"HTTP/1.1 413");
    hatch.finish().await;
}

/// What a client is answered that sends 20 MB before it reads.
pub(crate) async fn answer_to_much(url: &str) -> String {
    const MUCH_BYTES: usize = 20_000_000;
    let address = url.trim_start_matches("http://");
    let mut client = tokio::net::TcpStream::connect(address).await.expect("connected");
    let head = format!(
        "POST /api/v1/messages HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {MUCH_BYTES}\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.expect("sent");
    client.write_all(&vec![b' '; MUCH_BYTES]).await.expect("all of it is taken");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer, and an end");
    answer
}

#[tokio::test]
async fn who_sends_too_much_before_it_reads_is_told() {
    let hatch = Hatch::start().await;
    let answer = answer_to_much(&hatch.url).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    hatch.finish().await;
}

#[tokio::test]
async fn unknown_paths_ids_and_methods_are_problems_too() {
    let hatch = Hatch::start().await;
    let unknown = "0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11";
    let paths = [
        "/api/v1/nothing".to_owned(),
        "/api/v1/messages/not-a-uuid".to_owned(),
        format!("/api/v1/messages/{unknown}"),
        format!("/api/v1/messages/{unknown}/events"),
        format!("/api/v1/conversations/{unknown}"),
        format!("/api/v1/conversations/{unknown}/messages"),
        "/api/v1/conversations/x/messages".to_owned(),
    ];
    for path in paths {
        let answer = hatch.get(&path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        assert_eq!(answer.body["status"], 404, "{path}");
    }
    let method = hatch.request(Method::DELETE, "/api/v1/messages", &[], None).await;
    assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(method.header("allow"), "GET,HEAD,POST");
    assert_eq!(method.body["status"], 405);
    let page = hatch.request(Method::DELETE, "/docs", &[], None).await;
    assert_eq!(page.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(page.header("allow"), "GET,HEAD");
    hatch.finish().await;
}

#[tokio::test]
async fn bad_parameters_of_a_query_are_named() {
    let hatch = Hatch::start().await;
    let cases = [
        ("limit=0", "?limit"),
        ("limit=201", "?limit"),
        ("limit=1&limit=2", "?limit"),
        ("limit=many", "?limit"),
        ("cursor=garbage", "?cursor"),
        ("channel=pigeon", "?channel"),
        ("direction=sideways", "?direction"),
        ("status=lost", "?status"),
        ("participant=%2B1201", "?participant"),
        ("conversation=x", "?conversation"),
        ("after=yesterday", "?after"),
        ("after=1&wait=31", "?wait"),
        ("colour=red", "?colour"),
    ];
    for path in ["projections", "messages/0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11/events"] {
        let answer = hatch.get(&format!("/api/v1/{path}?limit=1")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.body);
    }
    // Of one that there is elsewhere, nothing is said of its value.
    for path in ["webhook-log?participant=x", "messages?from=42", "dead-letters?conversation=x"] {
        let answer = hatch.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.body);
        let detail = answer.body["errors"][0]["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with("unknown field"), "{path}: {detail}");
    }
    // A key in the wrong place would protect nobody.
    let send = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let misplaced = hatch.post("/api/v1/messages?Idempotency-Key=abc", &send).await;
    assert_eq!(misplaced.status, StatusCode::BAD_REQUEST, "{}", misplaced.body);
    assert_eq!(pointers(&misplaced), ["?Idempotency-Key"]);
    assert_eq!(hatch.log_length().await, 0, "nothing was recorded");
    for (query, parameter) in cases {
        let answer = hatch.get(&format!("/api/v1/messages?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {}", answer.body);
        assert_eq!(pointers(&answer), [parameter], "{query}: {}", answer.body);
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_another_is_replaced() {
    let hatch = Hatch::start().await;
    let with_id = async |id: &str| {
        let answer = hatch.request(Method::GET, "/health", &[("x-request-id", id)], None).await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(with_id("trace-42").await, "trace-42");
    for insane in ["", "a b", "{}", &"x".repeat(129)] {
        let replaced = with_id(insane).await;
        assert_ne!(replaced, insane);
        assert_eq!(replaced.len(), 36, "a UUID");
    }
    hatch.finish().await;
}
