//! Tenants as who runs the installation makes, reads and suspends them.

use axum::http::{Method, StatusCode};
use hatch_domain::ids::TenantId;
use hatch_readmodel::configuration;
use serde_json::{Value, json};

use crate::testing::{Answer, Api};

const TENANTS: &str = "/api/v1/tenants";

async fn patch(api: &Api, id: &str, body: &Value) -> Answer {
    api.request(Method::PATCH, &format!("{TENANTS}/{id}"), &[], Some(body.to_string())).await
}

#[tokio::test]
async fn a_tenant_is_made_renamed_suspended_and_resumed() {
    let api = Api::start().await;
    let made = api.post(TENANTS, &json!({"name": " Example Ltd "})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let id = made.text("id").to_owned();
    assert_eq!((made.text("name"), &made.body["suspended_at"]), ("Example Ltd", &json!(null)));
    let wanted = json!({"name": "Example", "suspended": true, "reason": "not paid"});
    let changed = patch(&api, &id, &wanted).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    assert_eq!(changed.header("hatch-position"), "3");
    assert_eq!((changed.text("name"), changed.text("suspended_for")), ("Example", "not paid"));
    assert!(changed.body["suspended_at"].is_string());
    assert_eq!(patch(&api, &id, &json!({})).await.body, changed.body);
    assert_eq!(api.log_length().await, 3, "it was so already");
    api.project(&configuration::DEFINITION).await;
    let one = api.get(&format!("{TENANTS}/{id}?after=3")).await;
    assert_eq!(one.body, changed.body);
    let resumed = patch(&api, &id, &json!({"suspended": false})).await;
    assert_eq!(resumed.body["suspended_at"], json!(null));
    assert_eq!(resumed.body["suspended_for"], json!(null));
}

#[tokio::test]
async fn the_default_tenant_is_there_without_an_event_and_can_be_changed() {
    let api = Api::start().await;
    let default = TenantId::DEFAULT.to_string();
    let one = api.get(&format!("{TENANTS}/{default}")).await;
    assert_eq!((one.status, one.text("name")), (StatusCode::OK, "default"));
    let list = api.get(TENANTS).await;
    assert_eq!(list.body["data"], json!([one.body]));
    let changed = patch(&api, &default, &json!({"suspended": true})).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    assert_eq!(changed.text("name"), "default");
    api.project(&configuration::DEFINITION).await;
    let one = api.get(&format!("{TENANTS}/{default}")).await;
    assert_eq!(one.body["suspended_at"], changed.body["suspended_at"]);
    assert_eq!(one.text("name"), "default");
}

#[tokio::test]
async fn an_idempotency_key_makes_one_tenant() {
    let api = Api::start().await;
    let post = async |name: &str| {
        let body = json!({"name": name}).to_string();
        api.request(Method::POST, TENANTS, &[("idempotency-key", "first")], Some(body)).await
    };
    let first = post("Example Ltd").await;
    patch(&api, first.text("id"), &json!({"name": "Other"})).await;
    let again = post("Example Ltd").await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.body, first.body);
    assert_eq!(post("Another").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn each_bad_field_is_named_and_what_is_no_tenant_is_not_found() {
    let api = Api::start().await;
    for body in [json!({}), json!({"name": ""}), json!({"name": "x".repeat(101)})] {
        let answer = api.post(TENANTS, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.pointers(), ["/name"], "{body}: {}", answer.body);
    }
    let default = TenantId::DEFAULT.to_string();
    for (body, pointer, code) in [
        // A name is without blanks around it.
        (json!({"name": "\n"}), "/name", "required"),
        (json!({"reason": "why"}), "/reason", "not_allowed"),
        (json!({"suspended": false, "reason": "why"}), "/reason", "not_allowed"),
        (json!({"suspended": true, "reason": ""}), "/reason", "required"),
        (json!({"suspended": true, "reason": "a\u{7}b"}), "/reason", "forbidden_character"),
        (json!({"suspended": true, "reason": "x".repeat(501)}), "/reason", "too_long"),
        (json!({"suspended": "yes"}), "/suspended", "wrong_type"),
        (json!({"colour": 1}), "/colour", "unknown_field"),
    ] {
        let answer = patch(&api, &default, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.body);
        assert_eq!(answer.pointers(), [pointer], "{body}: {}", answer.body);
        assert_eq!(answer.body["errors"][0]["code"], code, "{body}: {}", answer.body);
    }
    for id in ["0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11", "x"] {
        let path = format!("{TENANTS}/{id}");
        assert_eq!(api.get(&path).await.status, StatusCode::NOT_FOUND, "{id}");
        for body in [json!({}), json!({"suspended": true})] {
            assert_eq!(patch(&api, id, &body).await.status, StatusCode::NOT_FOUND, "{id} {body}");
        }
    }
    assert_eq!(api.log_length().await, 0);
}
