//! What a person says of an attempt in doubt, and what is wrong with that, by field.

use axum::http::{Method, StatusCode};
use hatch_domain::ids::TenantId;
use hatch_domain::scope::Scope;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{Api, in_doubt};

fn said(resolution: &str) -> Value {
    json!({"as": resolution, "reason": "asked their support"})
}

fn path(id: Uuid) -> String {
    format!("/api/v1/messages/{id}/resolve")
}

#[tokio::test]
async fn a_person_says_what_an_attempt_in_doubt_was_once() {
    let api = Api::start().await;
    for (resolution, status, follows) in [
        ("sent", "sent", vec!["DoubtResolved"]),
        ("not_sent", "failed", vec!["DoubtResolved", "SendFailed", "MessageFailed"]),
        ("resend", "retrying", vec!["DoubtResolved", "SendFailed"]),
    ] {
        let id = in_doubt(&api, TenantId::DEFAULT).await;
        let answer = api.post(&path(id), &said(resolution)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(answer.body["status"], status);
        let events = api.get(&format!("/api/v1/messages/{id}/events")).await;
        let types: Vec<_> = events.body["data"].as_array().expect("a list")[3..]
            .iter()
            .map(|event| {
                event["type"]
                    .as_str()
                    .expect("a type")
                    .split('.')
                    .nth(1)
                    .expect("a name")
                    .to_owned()
            })
            .collect();
        assert_eq!(types, follows);
        let resolved = &events.body["data"][3]["data"];
        assert_eq!((&resolved["as"], &resolved["attempt"]), (&json!(resolution), &json!(1)));
        assert_eq!(resolved["reason"], "asked their support");
        let again = api.post(&path(id), &said("sent")).await;
        assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.body);
        let detail = again.body["detail"].as_str().expect("a sentence");
        assert!(detail.contains(status), "{detail}");
    }
}

#[tokio::test]
async fn the_same_key_is_answered_as_the_first_time_and_refused_for_another_word() {
    let api = Api::start().await;
    let id = in_doubt(&api, TenantId::DEFAULT).await;
    let by = async |body: Value| {
        let headers = [("idempotency-key", "case-7")];
        api.request(Method::POST, &path(id), &headers, Some(body.to_string())).await
    };
    let first = by(said("sent")).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let again = by(said("sent")).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other = by(said("resend")).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", other.body);
}

#[tokio::test]
async fn each_bad_field_is_named_and_a_message_of_another_tenant_is_not_there() {
    let api = Api::start_closed().await;
    let key = api.key(TenantId::DEFAULT, &[Scope::MessagesWrite], |_| {}).await;
    let id = in_doubt(&api, TenantId::DEFAULT).await;
    let long = "x".repeat(501);
    for (body, pointer) in [
        (json!({"reason": "r"}), "/as"),
        (json!({"as": "lost", "reason": "r"}), "/as"),
        (json!({"as": "sent"}), "/reason"),
        (json!({"as": "sent", "reason": " "}), "/reason"),
        (json!({"as": "sent", "reason": long}), "/reason"),
        (json!({"as": "sent", "reason": "a\u{0}b"}), "/reason"),
        (json!({"as": "sent", "reason": "r", "colour": 1}), "/colour"),
    ] {
        let answer = api.by(&key, Method::POST, &path(id), Some(&body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
        assert_eq!(answer.pointers(), [pointer], "{}", answer.body);
    }
    let foreign = in_doubt(&api, TenantId(Uuid::from_u128(7))).await;
    for unknown in [foreign, Uuid::from_u128(1)] {
        let answer = api.by(&key, Method::POST, &path(unknown), Some(&said("sent"))).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
    }
}
