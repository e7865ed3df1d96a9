//! Bodies that are none of ours.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::testing::{Answer, Api, CUSTOMER, SENDER};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn post(api: &Api, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::post("/api/v1/messages").header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(body.into()).expect("a request")).await
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let api = Api::start().await;
    let listed = format!("[\"sms\",null,\"{SENDER}\",\"{CUSTOMER}\",\"Hello\"]");
    for body in ["", "{", "[]", &listed, "null", "\"text\"", "{}{}", "{\"to\":1,}"] {
        let answer =
            api.request(Method::POST, "/api/v1/messages", &[], Some(body.to_owned())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body:?}: {}", answer.body);
        assert!(answer.body["detail"].is_string(), "{body:?}");
    }
    let twice = format!("{{\"to\":\"{CUSTOMER}\",\"body\":\"one\",\"body\":\"two\"}}");
    let twice = api.request(Method::POST, "/api/v1/messages", &[], Some(twice)).await;
    assert_eq!(twice.pointers(), ["/body"], "{}", twice.body);
    let answer = post(&api, &[JSON], vec![b'"', 0xff, b'"']).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "invalid UTF-8");
    assert_eq!(api.log_length().await, 0);
}

#[tokio::test]
async fn another_content_type_is_415_and_a_large_body_413() {
    let api = Api::start().await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let form = post(&api, &[form], "to=%2B18045551234").await;
    assert_eq!(form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);

    let packed = ("content-encoding", "gzip");
    let packed = post(&api, &[JSON, packed], vec![0x1f, 0x8b, 8, 0]).await;
    assert_eq!(packed.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);

    let large = json!({"from": SENDER, "to": CUSTOMER, "body": "x".repeat(1024 * 1024)});
    let answer = api.post("/api/v1/messages", &large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(api.log_length().await, 0);
}
