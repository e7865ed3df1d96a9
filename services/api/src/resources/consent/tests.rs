//! A consent as clients put and read it.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::testing::{Answer, Api, CUSTOMER};

async fn put(api: &Api, body: &Value) -> Answer {
    api.request(Method::PUT, "/api/v1/consent", &[], Some(body.to_string())).await
}

#[tokio::test]
async fn a_consent_is_put_once_and_shown_as_it_was() {
    let api = Api::start().await;
    let out = json!({"address": "+1 (804) 555-1234", "state": "opted_out"});
    let first = put(&api, &out).await;
    let position: i64 = first.header("hatch-position").parse().expect("a position");
    assert_eq!((position, first.text("address")), (1, CUSTOMER));
    assert_eq!(put(&api, &out).await.status, StatusCode::OK);
    assert_eq!(api.log_length().await, 1, "it was so already");
    put(&api, &json!({"address": CUSTOMER, "state": "opted_in"})).await;
    let keyed = async |state: &str| {
        let body = json!({"address": CUSTOMER, "state": state, "evidence": "a form"}).to_string();
        let (key, path) = (("idempotency-key", "a form of May"), "/api/v1/consent");
        api.request(Method::PUT, path, &[key], Some(body)).await
    };
    assert_eq!(keyed("opted_out").await.text("state"), "opted_out");
    put(&api, &json!({"address": CUSTOMER, "state": "opted_in"})).await;
    let again = keyed("opted_out").await;
    assert_eq!(again.text("state"), "opted_out", "the first answer, though it is otherwise by now");
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(keyed("opted_in").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let news = json!({"address": CUSTOMER, "programme": "news", "state": "opted_out"});
    assert_eq!(put(&api, &news).await.text("programme"), "news");
    let asked = async |query: &str| {
        let path = format!("/api/v1/consent?address=%2B18045551234{query}");
        api.get(&path).await.body["state"].clone()
    };
    assert_eq!(asked("").await, "opted_in");
    assert_eq!(asked("&at=1").await, "opted_out");
    assert_eq!(asked("&at=0").await, "unknown");
    assert_eq!(asked("&programme=news").await, "opted_out");
    assert_eq!(asked("&programme=other").await, "unknown");
}

#[tokio::test]
async fn each_bad_field_and_parameter_is_named_and_nothing_is_recorded() {
    let api = Api::start().await;
    for (body, pointer) in [
        (json!({"state": "opted_out"}), "/address"),
        (json!({"address": "alice", "state": "opted_out"}), "/programme"),
        (json!({"address": "user@", "state": "opted_out"}), "/address"),
        (json!({"address": CUSTOMER}), "/state"),
        (json!({"address": CUSTOMER, "state": "maybe"}), "/state"),
        (json!({"address": CUSTOMER, "state": "opted_in", "programme": "A b"}), "/programme"),
        (
            json!({"address": CUSTOMER, "state": "opted_in", "evidence": "x".repeat(501)}),
            "/evidence",
        ),
        (json!({"address": CUSTOMER, "state": "opted_in", "colour": 1}), "/colour"),
    ] {
        let answer = put(&api, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.pointers(), [pointer], "{body}: {}", answer.body);
    }
    for (query, pointer) in [
        ("", "?address"),
        ("?address=user@", "?address"),
        ("?address=alice", "?programme"),
        ("?address=%2B18045551234&programme=A", "?programme"),
        ("?address=%2B18045551234&at=never", "?at"),
        ("?address=%2B18045551234&colour=1", "?colour"),
    ] {
        let answer = api.get(&format!("/api/v1/consent{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.pointers(), [pointer], "{query}: {}", answer.body);
    }
    assert_eq!(api.log_length().await, 0);
}
