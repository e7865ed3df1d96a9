//! Attempts by the log, with what is kept of them beside it.

use axum::http::{Method, StatusCode};
use hatch_domain::ids::TenantId;
use hatch_domain::scope::Scope;
use uuid::Uuid;

use crate::testing::{Api, in_doubt};

#[tokio::test]
async fn an_attempt_is_told_from_the_log_and_its_request_to_whom_may_see_it() {
    let api = Api::start_closed().await;
    let reader = api.key(TenantId::DEFAULT, &[Scope::MessagesRead], |_| {}).await;
    let raw = api.key(TenantId::DEFAULT, &[Scope::MessagesRead, Scope::RawRead], |_| {}).await;
    let id = in_doubt(&api, TenantId::DEFAULT).await;
    let path = format!("/api/v1/messages/{id}/attempts");
    let bare = api.by(&raw, Method::GET, &path, None).await;
    assert_eq!(bare.status, StatusCode::OK, "{}", bare.body);
    let attempt = &bare.body["data"][0];
    assert_eq!((&attempt["attempt"], &attempt["round"]), (&1.into(), &1.into()));
    assert_eq!((&attempt["account"], &attempt["outcome"]), (&"nobody".into(), &"in_doubt".into()));
    assert_eq!(attempt["detail"], "no answer in time");
    for absent in
        ["called_at", "connect_ms", "total_ms", "http_status", "request", "response", "class"]
    {
        assert!(attempt.get(absent).is_some_and(serde_json::Value::is_null), "{absent}: {attempt}");
    }
    api.sql(&format!(
        "INSERT INTO dispatch.attempts (tenant_id, message_id, attempt, called_at, connect_ms, first_byte_ms,
                total_ms, http_status, request, response)
         VALUES ('{}', '{id}', 1, '2026-01-01T00:00:00Z', 12, 30, 31, 504,
                '{{\"method\": \"POST\", \"url\": \"http://x/\", \"headers\": {{}}, \"body\": \"Hello\"}}',
                '{{\"status\": 504, \"headers\": {{}}, \"body\": null}}')",
        TenantId::DEFAULT
    ))
    .await;
    let seen = api.by(&raw, Method::GET, &path, None).await;
    let attempt = &seen.body["data"][0];
    assert_eq!((&attempt["connect_ms"], &attempt["http_status"]), (&12.into(), &504.into()));
    assert_eq!(attempt["request"]["body"], "Hello", "{attempt}");
    assert_eq!(attempt["response"]["status"], 504, "{attempt}");
    let unseen = api.by(&reader, Method::GET, &path, None).await;
    let attempt = &unseen.body["data"][0];
    assert_eq!(attempt["total_ms"], 31, "{attempt}");
    assert!(attempt["request"].is_null() && attempt["response"].is_null(), "{attempt}");
}

#[tokio::test]
async fn attempts_have_pages_as_every_list_has() {
    let api = Api::start().await;
    let id = in_doubt(&api, TenantId::DEFAULT).await;
    let path = format!("/api/v1/messages/{id}/attempts");
    let only = api.get(&format!("{path}?limit=1")).await;
    assert_eq!(only.body["data"][0]["attempt"], 1, "{}", only.body);
    assert!(only.body["next_cursor"].is_null(), "{}", only.body);
    for (query, pointer) in [("limit=201", "?limit"), ("cursor=x", "?cursor")] {
        let refused = api.get(&format!("{path}?{query}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
        assert_eq!(refused.pointers(), [pointer]);
    }
}

#[tokio::test]
async fn a_message_of_another_tenant_is_not_there() {
    let api = Api::start_closed().await;
    let reader = api.key(TenantId::DEFAULT, &[Scope::MessagesRead], |_| {}).await;
    let foreign = in_doubt(&api, TenantId(Uuid::from_u128(7))).await;
    for id in [foreign, Uuid::from_u128(1)] {
        let path = format!("/api/v1/messages/{id}/attempts");
        let answer = api.by(&reader, Method::GET, &path, None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
    }
}
