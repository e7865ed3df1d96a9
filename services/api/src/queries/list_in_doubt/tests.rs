//! Messages in doubt, the newest first, with what becomes of them.

use axum::http::StatusCode;
use hatch_domain::ids::TenantId;
use hatch_readmodel::messages;
use serde_json::Value;
use uuid::Uuid;

use crate::testing::{Api, in_doubt};

fn ids(body: &Value) -> Vec<String> {
    let data = body["data"].as_array().expect("a list");
    data.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn those_in_doubt_are_listed_the_newest_first_and_a_tenant_sees_its_own() {
    let api = Api::start().await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(in_doubt(&api, TenantId::DEFAULT).await.to_string());
    }
    in_doubt(&api, TenantId(Uuid::from_u128(7))).await;
    all.reverse();
    api.project(&messages::DEFINITION).await;
    let first = api.get("/api/v1/in-doubt?limit=2").await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    assert_eq!(ids(&first.body), all[..2]);
    let cursor = first.body["next_cursor"].as_str().expect("more");
    let rest = api.get(&format!("/api/v1/in-doubt?limit=2&cursor={cursor}")).await;
    assert_eq!(ids(&rest.body), all[2..]);
    let doubt = &first.body["data"][0]["doubt"];
    assert_eq!((&doubt["attempt"], &doubt["account"]), (&1.into(), &"nobody".into()));
    // This account's provider cannot be asked.
    assert_eq!((&doubt["policy"], &doubt["left_to_person"]), (&"wait".into(), &false.into()));
    assert!(doubt["since"].is_string() && doubt["next_look_at"].is_null(), "{doubt}");
    for (filter, count) in
        [("channel=sms", 3), ("channel=email", 0), ("account=nobody", 3), ("account=AC9", 0)]
    {
        let answer = api.get(&format!("/api/v1/in-doubt?{filter}")).await;
        assert_eq!(ids(&answer.body).len(), count, "{filter}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_timer_says_how_the_doubt_stands() {
    let api = Api::start().await;
    let id = in_doubt(&api, TenantId::DEFAULT).await;
    api.project(&messages::DEFINITION).await;
    api.sql(&format!(
        "INSERT INTO due.timers (stream_id, kind, tenant_id, due_at, step, position, lane, priority, look_at, looks)
         VALUES ('{id}', 'message', '{}', '2026-01-01T00:00:00Z', 1, 3, 'sms', 'normal', '2026-01-01T01:00:00Z', 2)",
        TenantId::DEFAULT
    ))
    .await;
    let answer = api.get("/api/v1/in-doubt").await;
    let doubt = &answer.body["data"][0]["doubt"];
    assert_eq!(doubt["since"], "2026-01-01T00:00:00.000000Z", "{doubt}");
    assert_eq!(doubt["next_look_at"], "2026-01-01T01:00:00.000000Z", "{doubt}");
    assert_eq!((&doubt["looks"], &doubt["left_to_person"]), (&2.into(), &true.into()));
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let api = Api::start().await;
    for (query, pointer) in [
        ("channel=pigeon", "?channel"),
        ("account=", "?account"),
        ("cursor=garbage", "?cursor"),
        ("limit=0", "?limit"),
        ("status=failed", "?status"),
    ] {
        let answer = api.get(&format!("/api/v1/in-doubt?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {}", answer.body);
        assert_eq!(answer.pointers(), [pointer], "{query}");
    }
}
