//! What every request goes through.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};

use crate::connection_service::without_place;
use crate::testing::Api;

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_with_what_is_taken() {
    let api = Api::start().await;
    let long = |bytes: usize| "x".repeat(bytes);
    let messages = "/api/v1/messages";
    let fits = api.get(&format!("{messages}?participant={}", long(7_900))).await;
    assert_eq!(fits.status, StatusCode::BAD_REQUEST, "{}", fits.body);
    let uri = api.get(&format!("{messages}?participant={}", long(8_000))).await;
    let padding = long(32 * 1024);
    let headers = [("x-padding", padding.as_str())];
    let head = api.request(Method::POST, messages, &headers, Some("{}".to_owned())).await;
    for (answer, status, limit) in [
        (uri, StatusCode::URI_TOO_LONG, "8000 bytes"),
        (head, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "32768 bytes"),
    ] {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.body["type"], "http://localhost/docs/errors/too-large");
        assert!(answer.body["detail"].as_str().is_some_and(|why| why.contains(limit)));
        assert_eq!(answer.body["instance"], answer.header("x-request-id"));
        assert_eq!(answer.body["request_id"], answer.body["instance"]);
    }
    assert_eq!(api.log_length().await, 0);
}

#[tokio::test]
async fn who_finds_no_place_is_told_as_anybody_is() {
    let api = Api::start().await;
    let request = Request::get("/api/v1/messages").header("x-request-id", "mine-1");
    let request = request.body(Body::empty()).expect("a request");
    let answer = api.send(without_place(request)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(answer.header("x-request-id"), "mine-1");
    assert_eq!(answer.body["instance"], "mine-1");
    assert!(answer.body["type"].as_str().is_some_and(|page| page.starts_with("http://localhost/")));
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn unknown_paths_ids_and_methods_are_problems_too() {
    let api = Api::start().await;
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
        let answer = api.get(&path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        assert_eq!(answer.body["status"], 404, "{path}");
    }
    let method = api.request(Method::DELETE, "/api/v1/messages", &[], None).await;
    assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(method.header("allow"), "GET,HEAD,POST");
    assert_eq!(method.body["status"], 405);
    let page = api.request(Method::DELETE, "/docs", &[], None).await;
    assert_eq!(page.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(page.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_another_is_replaced() {
    let api = Api::start().await;
    let with_id = async |id: &str| {
        let answer = api.request(Method::GET, "/health", &[("x-request-id", id)], None).await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(with_id("trace-42").await, "trace-42");
    for insane in ["", "a b", "{}", &"x".repeat(129)] {
        let replaced = with_id(insane).await;
        assert_ne!(replaced, insane);
        assert_eq!(replaced.len(), 36, "a UUID");
    }
}
