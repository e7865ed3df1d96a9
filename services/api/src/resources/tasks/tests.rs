//! Dead letters are sent again by a task: what may be asked for, and what it does, also where its process ends.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use hatch_domain::ids::TenantId;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::Resolution;
use hatch_domain::message::status::Status;
use hatch_domain::scope::Scope;
use hatch_eventstore::Position;
use hatch_readmodel::{MessageFilter, messages};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::testing::{Api, in_doubt, resolved};

const REDRIVE: &str = "/api/v1/dead-letters/redrive";

/// Messages that failed, `count` of them.
async fn failed(api: &Api, count: usize) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = in_doubt(api, TenantId::DEFAULT).await;
        resolved(api, id, Resolution::NotSent).await;
        ids.push(id);
    }
    api.project(&messages::DEFINITION).await;
    ids
}

/// The task, once it is over.
async fn over(api: &Api, id: &Value) -> Value {
    let path = format!("/api/v1/tasks/{}", id.as_str().expect("an id"));
    let (token, mut ticks) =
        (CancellationToken::new(), tokio::time::interval(Duration::from_millis(50)));
    let working = tokio::spawn(super::run(api.store(), api.read_model(), token.clone()));
    let task = loop {
        ticks.tick().await;
        let task = api.get(&path).await.body;
        if task["finished_at"].is_string() {
            break task;
        }
    };
    token.cancel();
    working.await.expect("it ends");
    task
}

async fn status(api: &Api, id: Uuid) -> Value {
    let events = api.get(&format!("/api/v1/messages/{id}/events")).await.body;
    let all = events["data"].as_array().expect("a list");
    all.last().expect("an event")["type"].clone()
}

#[tokio::test]
async fn those_of_a_filter_get_a_new_round_and_nothing_says_that_they_are_sent() {
    let api = Api::start().await;
    let ids = failed(&api, 3).await;
    api.advance(chrono::TimeDelta::seconds(5)).await;
    let asked =
        json!({"filter": {"code": "resolved_not_sent", "account": "nobody"}, "rate_per_s": 1000});
    let answer = api.post(REDRIVE, &asked).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    assert_eq!((&answer.body["status"], &answer.body["done"]), (&"queued".into(), &0.into()));
    let head = api.log_length().await.to_string();
    assert_eq!(answer.header("hatch-position"), head, "as every write has one");
    let task = over(&api, &answer.body["id"]).await;
    let counts = (&task["status"], &task["total"], &task["done"], &task["failed"]);
    assert_eq!(counts, (&"done".into(), &3.into(), &3.into(), &0.into()), "{task}");
    for id in ids {
        assert_eq!(status(&api, id).await, "hatch.RetryRequested.v1");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_again_is_said_and_a_part_that_is_repeated_is_done_once() {
    let api = Api::start().await;
    let ids = failed(&api, 1).await;
    let open = in_doubt(&api, TenantId::DEFAULT).await;
    let asked = json!({"ids": [ids[0], open], "reason": "the provider is back"});
    let answer = api.post(REDRIVE, &asked).await;
    let id = answer.body["id"].as_str().expect("an id").to_owned();
    // A process began with both, sent one of them again, and died.
    let task = over(&api, &answer.body["id"]).await;
    assert_eq!((&task["done"], &task["failed"]), (&1.into(), &1.into()), "{task}");
    assert_eq!(task["errors"][0]["id"], open.to_string(), "{task}");
    api.sql(&format!(
        "UPDATE hatch.tasks SET status = 'running', finished_at = NULL, done = 0, failed = 0, errors = '[]', place = 2,
                page = ARRAY['{}', '{open}']::uuid[] WHERE id = '{id}'",
        ids[0]
    ))
    .await;
    let again = over(&api, &answer.body["id"]).await;
    assert_eq!((&again["done"], &again["failed"]), (&1.into(), &1.into()), "{again}");
    let events = api.get(&format!("/api/v1/messages/{}/events", ids[0])).await.body;
    let rounds = events["data"].as_array().expect("a list").iter();
    assert_eq!(rounds.filter(|event| event["type"] == "hatch.RetryRequested.v1").count(), 1);
}

#[tokio::test]
async fn the_same_key_makes_one_task_and_a_tenant_has_few_at_a_time() {
    let api = Api::start().await;
    let by = async |key: &str, body: Value| {
        let headers = [("idempotency-key", key)];
        api.request(Method::POST, REDRIVE, &headers, Some(body.to_string())).await
    };
    let first = by("monday", json!({"all": true})).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    let again = by("monday", json!({"all": true})).await;
    assert_eq!(again.body["id"], first.body["id"]);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other = by("monday", json!({"all": true, "rate_per_s": 5})).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", other.body);
    for n in 1..10 {
        let one = by(&format!("key {n}"), json!({"all": true})).await;
        assert_eq!(one.status, StatusCode::ACCEPTED, "{}", one.body);
    }
    let beyond = by("one more", json!({"all": true})).await;
    assert_eq!(beyond.status, StatusCode::TOO_MANY_REQUESTS, "{}", beyond.body);
}

#[tokio::test]
async fn each_bad_field_is_named_and_a_task_of_another_tenant_is_not_there() {
    let api = Api::start_closed().await;
    let scopes = [Scope::MessagesWrite, Scope::MessagesRead];
    let key = api.key(TenantId::DEFAULT, &scopes, |_| {}).await;
    let id = Uuid::from_u128(1);
    for (body, pointer) in [
        (json!({}), "/ids"),
        (json!({"ids": []}), "/ids"),
        (json!({"ids": ["x"]}), "/ids/0"),
        (json!({"ids": [id], "all": true}), "/filter"),
        (json!({"filter": {}}), "/filter"),
        (json!({"filter": {"channel": "pigeon"}}), "/filter/channel"),
        (json!({"filter": {"class": "bad"}}), "/filter/class"),
        (json!({"filter": {"from": "monday"}}), "/filter/from"),
        (json!({"filter": {"participant": "+1201CALL"}}), "/filter/participant"),
        (json!({"all": true, "rate_per_s": 0}), "/rate_per_s"),
        (json!({"all": true, "reason": "x".repeat(501)}), "/reason"),
    ] {
        let answer = api.by(&key, Method::POST, REDRIVE, Some(&body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.body);
        assert_eq!(answer.pointers(), [pointer], "{body}");
    }
    let made = api.by(&key, Method::POST, REDRIVE, Some(&json!({"all": true}))).await;
    let path = format!("/api/v1/tasks/{}", made.body["id"].as_str().expect("an id"));
    assert_eq!(api.by(&key, Method::GET, &path, None).await.status, StatusCode::OK);
    let other = api.key(TenantId(Uuid::from_u128(7)), &scopes, |_| {}).await;
    let answer = api.by(&other, Method::GET, &path, None).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
}

#[tokio::test]
async fn a_key_that_sends_some_messages_names_those_that_it_sends_again() {
    let api = Api::start_closed().await;
    let ids = failed(&api, 1).await;
    let scopes = [Scope::MessagesWrite];
    let key = api
        .key(TenantId::DEFAULT, &scopes, |key| key.channels = vec![hatch_domain::Channel::Email])
        .await;
    let all = api.by(&key, Method::POST, REDRIVE, Some(&json!({"all": true}))).await;
    assert_eq!(all.pointers(), ["/ids"], "{}", all.body);
    let others = api.by(&key, Method::POST, REDRIVE, Some(&json!({"ids": ids}))).await;
    assert_eq!(others.status, StatusCode::FORBIDDEN, "{}", others.body);
    let retried = MessageCommand::Retry { at: api.in_time(chrono::TimeDelta::zero()) };
    api.change_message(TenantId::DEFAULT, ids[0], &retried).await;
}

#[tokio::test]
async fn slow_tasks_keep_no_other_from_being_done() {
    let api = Api::start().await;
    let ids = failed(&api, 3).await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let asked = json!({"ids": ids[..2], "rate_per_s": 0.1});
        slow.push(api.post(REDRIVE, &asked).await.body["id"].clone());
    }
    api.advance(chrono::TimeDelta::seconds(5)).await;
    let quick = api.post(REDRIVE, &json!({"ids": ids[2..]})).await;
    let task = over(&api, &quick.body["id"]).await;
    assert_eq!((&task["status"], &task["done"]), (&"done".into(), &1.into()), "{task}");
    for id in slow {
        let path = format!("/api/v1/tasks/{}", id.as_str().expect("an id"));
        let task = api.get(&path).await.body;
        assert!(task["finished_at"].is_null(), "{task}");
    }
}

#[tokio::test]
async fn what_a_newer_build_asks_for_is_left_to_that() {
    let api = Api::start().await;
    let ids = failed(&api, 1).await;
    let id = Uuid::from_u128(9);
    api.sql(&format!(
        "INSERT INTO hatch.tasks (id, tenant_id, kind, status, request, request_hash, actor, created_at)
         VALUES ('{id}', '{}', 'moon.land', 'queued', '{{}}', '', 'somebody', '2026-01-01T00:00:00Z')",
        TenantId::DEFAULT
    ))
    .await;
    let known = api.post(REDRIVE, &json!({"ids": ids})).await;
    over(&api, &known.body["id"]).await;
    let task = api.get(&format!("/api/v1/tasks/{id}")).await.body;
    assert_eq!(task["status"], "queued", "{task}");
}

#[tokio::test]
async fn of_very_many_that_failed_some_are_looked_at_at_a_time() {
    let api = Api::start().await;
    let mut newest_first = failed(&api, 3).await;
    newest_first.reverse();
    let read = api.read_model();
    let filter = MessageFilter { status: Some(Status::Failed), ..MessageFilter::default() };
    let (mut before, mut seen) = (Position(i64::MAX), Vec::new());
    let oldest = async |before| {
        let of = read.oldest_of_some(TenantId::DEFAULT, Status::Failed, before, 2).await;
        of.expect("PostgreSQL answers")
    };
    while let Some(from) = oldest(before).await {
        let some = read.message_ids(TenantId::DEFAULT, &filter, (from, before), 9).await;
        let some = some.expect("PostgreSQL answers");
        seen.push(some.into_iter().map(|(_, id)| id.0).collect::<Vec<_>>());
        before = from;
    }
    assert_eq!(seen, [&newest_first[..2], &newest_first[2..]]);
}
