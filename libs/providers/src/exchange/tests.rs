//! What is noted of a call, by a server that is really there.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use super::*;
use crate::http_client::{ANSWER_BYTES_MAX, Exchange as Exchanged, client, exchange};

/// A server that repeats what it is told, and by which authorization.
async fn server() -> String {
    let echo = |headers: HeaderMap, body: String| async move {
        let by = headers.get("authorization").and_then(|value| value.to_str().ok());
        (StatusCode::CREATED, format!("{} by {}", body, by.unwrap_or("nobody")))
    };
    let app = Router::new().route("/", post(echo));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/")
}

#[tokio::test]
async fn a_call_is_noted_with_its_times_and_without_its_secret() {
    let url = server().await;
    let client = client(Duration::from_secs(5), Duration::from_secs(10)).expect("a client");
    let call = || {
        let request = client.post(&url).bearer_auth("a-token-of-mine").body("Hello");
        recording(exchange(request, ANSWER_BYTES_MAX))
    };
    let (exchanged, noted) = call().await;
    assert!(matches!(exchanged, Exchanged::Answered(_)));
    assert_eq!(noted.http_status, Some(201));
    assert!(noted.connect_ms.is_some() && noted.first_byte_ms <= noted.total_ms);
    let (sent, answer) = (noted.request.expect("sent"), noted.response.expect("answered"));
    assert_eq!((sent.method.as_str(), sent.body.as_deref()), ("POST", Some("Hello")));
    assert_eq!(sent.url, url);
    assert!(!sent.headers.contains_key("authorization"));
    assert_eq!(answer.body.as_deref(), Some("Hello by Bearer [redacted]"));
    let (_, again) = call().await;
    assert_eq!(again.connect_ms, None, "the same connection");
    assert!(again.total_ms.is_some());
}

#[tokio::test]
async fn a_call_that_nobody_answers_is_noted_and_one_that_nobody_records_is_made() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let client = client(Duration::from_secs(5), Duration::from_secs(10)).expect("a client");
    let request = || client.post(format!("http://{address}/")).body("Hello");
    let (exchanged, noted) = recording(exchange(request(), ANSWER_BYTES_MAX)).await;
    assert!(matches!(exchanged, Exchanged::NotSent { .. }));
    assert!(noted.request.is_some() && noted.total_ms.is_some());
    assert_eq!((noted.response, noted.http_status, noted.connect_ms), (None, None, None));
    let unrecorded = exchange(request(), ANSWER_BYTES_MAX).await;
    assert!(matches!(unrecorded, Exchanged::NotSent { .. }));
}
