//! Keys as clients make, read, rotate and end them.

use axum::http::{Method, StatusCode};
use chrono::TimeDelta;
use futures::{StreamExt as _, stream};
use hatch_domain::api_key::command::ApiKeyCommand;
use hatch_domain::api_key::{KeyId, read};
use hatch_domain::ids::TenantId;
use hatch_domain::ip_range::BadIpRange;
use hatch_domain::scope::{Scope, UnknownScope};
use hatch_readmodel::configuration;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{Answer, Api, SENDER};

const KEYS: &str = "/api/v1/api-keys";

async fn delete(api: &Api, id: &str) -> Answer {
    api.request(Method::DELETE, &format!("{KEYS}/{id}"), &[], None).await
}

async fn rotate(api: &Api, id: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
    let path = format!("{KEYS}/{id}/rotate");
    api.request(Method::POST, &path, headers, body.map(|body| body.to_string())).await
}

fn id_of(text: &str) -> KeyId {
    read(text).unwrap_or_else(|error| panic!("{text}: {error:?}")).id
}

#[tokio::test]
async fn a_key_is_made_shown_rotated_and_ended() {
    let api = Api::start().await;
    let request = json!({
        "name": " shop ", "type": "live", "scopes": ["messages:write", "messages:write", "messages:read"],
        "senders": ["+1 201 666 1234", SENDER], "channels": ["sms"], "ip_ranges": ["192.0.2.0/24"],
        "expires_at": "2099-01-31T12:00:00Z",
    });
    let made = api.post(KEYS, &request).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.header("hatch-position"), "1");
    let (id, text) = (made.text("id").to_owned(), made.text("key").to_owned());
    assert_eq!(id_of(&text).to_string(), id);
    assert!(text.starts_with(&format!("hk_live_{id}_")), "{text}");
    assert_eq!(made.text("name"), "shop");
    let scopes = made.body["scopes"].as_array().expect("a list");
    assert_eq!(scopes.len(), 2, "{scopes:?}");
    assert_eq!(made.body["senders"], json!([SENDER]));
    assert_eq!((&made.body["channels"], made.text("type")), (&json!(["sms"]), "live"));
    assert_eq!(made.body["ip_ranges"], json!(["192.0.2.0/24"]));
    assert_eq!(made.text("expires_at"), "2099-01-31T12:00:00.000000Z");
    assert_eq!((made.text("created_by"), &made.body["last_used"]), ("api", &json!(null)));

    api.project(&configuration::DEFINITION).await;
    let one = api.get(&format!("{KEYS}/{id}?after=1")).await;
    assert_eq!(one.status, StatusCode::OK, "{}", one.body);
    let mut expected = made.body.clone();
    expected.as_object_mut().expect("an object").remove("key");
    assert_eq!(one.body, expected);
    let list = api.get(KEYS).await;
    assert_eq!(list.body, json!({"data": [expected], "next_cursor": null}));

    let rotated = rotate(&api, &id, &[], Some(json!({"keep_old_for_s": 0}))).await;
    assert_eq!(rotated.status, StatusCode::OK, "{}", rotated.body);
    let new = rotated.text("key").to_owned();
    assert!(new != text && id_of(&new).to_string() == id, "{new}");
    assert!(rotated.body["rotated_at"].is_string(), "{}", rotated.body);
    let unbodied = rotate(&api, &id, &[], None).await;
    assert_eq!(unbodied.status, StatusCode::OK, "a day, where nothing is said: {}", unbodied.body);

    let ended = delete(&api, &id).await;
    assert_eq!(ended.status, StatusCode::OK, "{}", ended.body);
    assert_eq!(ended.header("hatch-position"), "4");
    assert!(ended.body["key"].is_null(), "{}", ended.body);
    let again = delete(&api, &id).await;
    assert_eq!(again.body["revoked_at"], ended.body["revoked_at"]);
    assert_eq!((again.status, again.header("hatch-position")), (StatusCode::OK, "4"));
    let late = rotate(&api, &id, &[], None).await;
    assert_eq!((late.status, late.text("code")), (StatusCode::CONFLICT, "key_ended"));

    // The log has no text of a key, and neither has any answer to who reads.
    let secret = |text: &str| text.rsplit('_').next().expect("a secret").to_owned();
    for payload in api.payloads().await {
        for text in [&text, &new] {
            assert!(!payload.contains(&secret(text)), "{payload}");
        }
    }
}

#[tokio::test]
async fn a_key_of_each_type_is_made_let_in_and_keeps_its_type() {
    let api = Api::start().await;
    for named in ["live", "test", "team"] {
        let body = json!({"name": "shop", "type": named, "scopes": ["keys:write"]});
        let made = api.post(KEYS, &body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let (id, text) = (made.text("id"), made.text("key"));
        assert!(text.starts_with(&format!("hk_{named}_{id}_")), "{text}");
        assert_eq!(made.text("type"), named);
        let rotated = rotate(&api, id, &[], None).await;
        assert!(rotated.text("key").starts_with(&format!("hk_{named}_{id}_")), "{}", rotated.body);
        for text in [text, rotated.text("key")] {
            let authorization = format!("Bearer {text}");
            let headers = [("authorization", authorization.as_str())];
            let list = api.request(Method::GET, KEYS, &headers, None).await;
            assert_eq!(list.status, StatusCode::OK, "{}", list.body);
        }
    }
}

#[tokio::test]
async fn an_idempotency_key_makes_one_key_and_shows_its_text_once() {
    let api = Api::start().await;
    let header = ("idempotency-key", "the shop's key");
    let ends = api.in_time(TimeDelta::hours(1)).to_rfc3339();
    let body = json!({"name": "shop", "scopes": ["admin"], "expires_at": ends});
    let post = async |body: &Value| {
        api.request(Method::POST, KEYS, &[header], Some(body.to_string())).await
    };
    let first = post(&body).await;
    assert!(first.body["key"].is_string() && !first.headers.contains_key("idempotent-replayed"));
    let id = first.text("id").to_owned();
    delete(&api, &id).await;
    // By then such a key could not be made any more.
    api.advance(TimeDelta::hours(2)).await;
    let again = post(&body).await;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.body);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.header("hatch-position"), first.header("hatch-position"));
    assert!(again.body["key"].is_null(), "a text is shown once: {}", again.body);
    let mut expected = first.body.clone();
    expected["key"] = json!(null);
    assert_eq!(again.body, expected, "the first answer, though the key is ended by now");
    let mut other = body.clone();
    other["name"] = json!("another");
    other["expires_at"] = json!(null);
    assert_eq!(post(&other).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(api.log_length().await, 2);
}

#[tokio::test]
async fn what_is_answered_holds_from_then_on() {
    let api = Api::start().await;
    let ask = async |text: &str| {
        let authorization = format!("Bearer {text}");
        let headers = [("authorization", authorization.as_str())];
        api.request(Method::GET, KEYS, &headers, None).await.status
    };
    let made = api.post(KEYS, &json!({"name": "shop", "scopes": ["admin"]})).await;
    let (id, first) = (made.text("id"), made.text("key"));
    assert_eq!(ask(first).await, StatusCode::OK);
    let rotated = rotate(&api, id, &[], Some(json!({"keep_old_for_s": 0}))).await;
    let second = rotated.text("key");
    assert_eq!((ask(first).await, ask(second).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
    delete(&api, id).await;
    assert_eq!(ask(second).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_ends_itself_and_those_that_have_no_other_scopes() {
    let api = Api::start_closed().await;
    let key = async |scopes: &[Scope]| api.key(TenantId::DEFAULT, scopes, |_| ()).await;
    let weak = key(&[Scope::KeysWrite]).await;
    let other = key(&[Scope::KeysWrite]).await;
    let reader = key(&[Scope::KeysWrite, Scope::MessagesRead]).await;
    let admin = key(&[Scope::Admin]).await;
    let operator = key(&[Scope::KeysWrite, Scope::Platform]).await;
    for (by, ended, status) in [
        (&weak, &reader, StatusCode::FORBIDDEN),
        (&weak, &admin, StatusCode::FORBIDDEN),
        (&weak, &other, StatusCode::OK),
        (&admin, &operator, StatusCode::FORBIDDEN),
        (&admin, &reader, StatusCode::OK),
        (&weak, &weak, StatusCode::OK),
        (&operator, &admin, StatusCode::FORBIDDEN),
        (&operator, &operator, StatusCode::OK),
    ] {
        let path = format!("{KEYS}/{}", ended.id);
        let answer = api.by(by, Method::DELETE, &path, None).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        if status == StatusCode::FORBIDDEN {
            assert_eq!(answer.text("code"), "stronger_key");
        }
    }
}

#[tokio::test]
async fn a_rotation_is_repeated_without_another_text() {
    let api = Api::start().await;
    let made = api.post(KEYS, &json!({"name": "shop", "scopes": ["admin"]})).await;
    let (id, header) = (made.text("id").to_owned(), ("idempotency-key", "of May"));
    let first = rotate(&api, &id, &[header], None).await;
    assert!(first.body["key"].is_string(), "{}", first.body);
    let again = rotate(&api, &id, &[header], Some(json!({}))).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert!(again.body["key"].is_null(), "{}", again.body);
    assert_eq!(again.body["rotated_at"], first.body["rotated_at"]);
    let other = rotate(&api, &id, &[header], Some(json!({"keep_old_for_s": 1}))).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(api.log_length().await, 2);
}

#[tokio::test]
async fn a_tenant_makes_a_thousand_keys_and_another_when_one_has_ended() {
    let api = Api::start().await;
    let body = json!({"name": "shop", "scopes": ["messages:read"]});
    let post = async |idempotency_key: &str| {
        let header = ("idempotency-key", idempotency_key);
        api.request(Method::POST, KEYS, &[header], Some(body.to_string())).await
    };
    assert_eq!(post("the first").await.status, StatusCode::CREATED);
    let made = stream::iter(1..999).map(|_| api.post(KEYS, &body)).buffer_unordered(100);
    let made: Vec<Answer> = made.collect().await;
    assert!(made.iter().all(|answer| answer.status == StatusCode::CREATED), "{made:?}");
    // Whoever knows this one knows all before it.
    let last = api.key(TenantId::DEFAULT, &[Scope::MessagesRead], |_| ()).await;
    let refused = post("one more").await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    assert_eq!(refused.text("code"), "too_many_keys");
    assert_eq!(post("the first").await.header("idempotent-replayed"), "true");
    let other_tenant = TenantId(Uuid::from_u128(2));
    let other = api.key(other_tenant, &[Scope::Admin], |_| ()).await;
    let theirs = api.by(&other, Method::POST, KEYS, Some(&body)).await;
    assert_eq!(theirs.status, StatusCode::CREATED, "{}", theirs.body);
    let at = api.in_time(TimeDelta::zero());
    api.change_key(&last, &ApiKeyCommand::Revoke { at }).await;
    assert_eq!(post("one more").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn each_bad_field_is_named_and_nothing_is_made() {
    let api = Api::start().await;
    let of = |field: &str, value: Value| {
        let mut body = json!({"name": "n", "scopes": ["admin"]});
        body[field] = value;
        body
    };
    let many = |text: &str, n: usize| json!(vec![text; n]);
    for (body, pointer) in [
        (json!({"scopes": ["admin"]}), "/name"),
        (of("name", json!(" ")), "/name"),
        (of("name", json!("x".repeat(101))), "/name"),
        (of("name", json!("a\u{7}b")), "/name"),
        (of("type", json!("trial")), "/type"),
        (of("type", json!("test")), "/scopes/0"),
        (of("type", json!("team")), "/scopes/0"),
        (
            json!({"name": "n", "type": "team", "scopes": ["messages:read", "platform"]}),
            "/scopes/1",
        ),
        (json!({"name": "n"}), "/scopes"),
        (of("scopes", json!([])), "/scopes"),
        (of("scopes", json!(["admin", "messages:delete"])), "/scopes/1"),
        (of("scopes", many("admin", 33)), "/scopes"),
        (of("senders", json!(["user@"])), "/senders/0"),
        (of("senders", many(SENDER, 101)), "/senders"),
        (of("channels", json!(["pigeon"])), "/channels/0"),
        (of("ip_ranges", json!(["10.0.0.0/8", "10.0.0.0/33"])), "/ip_ranges/1"),
        (of("ip_ranges", many("10.0.0.1", 101)), "/ip_ranges"),
        (of("expires_at", json!("tomorrow")), "/expires_at"),
        (of("expires_at", json!("2001-01-31T12:00:00Z")), "/expires_at"),
        (of("colour", json!(1)), "/colour"),
    ] {
        let answer = api.post(KEYS, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.body);
        assert_eq!(answer.pointers(), [pointer], "{body}: {}", answer.body);
    }
    // As the program says it of its flags.
    for (body, code, detail) in [
        (of("scopes", json!(["messages:delete"])), "unknown_value", UnknownScope.to_string()),
        (of("ip_ranges", json!(["10.0.0.0/33"])), "invalid_value", BadIpRange.to_string()),
    ] {
        let answer = api.post(KEYS, &body).await;
        let said = &answer.body["errors"][0];
        assert_eq!((&said["code"], &said["detail"]), (&json!(code), &json!(detail)), "{body}");
    }
    assert_eq!(api.log_length().await, 0);
    let whole = of("scopes", many("admin", 32));
    assert_eq!(api.post(KEYS, &whole).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_is_no_key_is_not_found_and_a_wait_has_bounds() {
    let api = Api::start().await;
    for id in ["7Qm2xVb9Lk4R", "7Qm2xVb9Lk4", "-", "0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11", "%00"] {
        let path = format!("{KEYS}/{id}");
        assert_eq!(api.get(&path).await.status, StatusCode::NOT_FOUND, "{id}");
        assert_eq!(delete(&api, id).await.status, StatusCode::NOT_FOUND, "{id}");
        assert_eq!(rotate(&api, id, &[], None).await.status, StatusCode::NOT_FOUND, "{id}");
    }
    let made = api.post(KEYS, &json!({"name": "shop", "scopes": ["admin"]})).await;
    for seconds in [json!(-1), json!(604_801)] {
        let body = json!({"keep_old_for_s": seconds});
        let answer = rotate(&api, made.text("id"), &[], Some(body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{seconds}");
        assert_eq!(answer.pointers(), ["/keep_old_for_s"], "{}", answer.body);
    }
    for (body, status) in [("[]", 400), ("{\"colour\": 1}", 400), ("{}", 200), ("null", 200)] {
        let path = format!("{KEYS}/{}/rotate", made.text("id"));
        let answer = api.request(Method::POST, &path, &[], Some(body.to_owned())).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.body);
    }
    let typed = [("content-type", "text/plain")];
    let path = format!("{KEYS}/{}/rotate", made.text("id"));
    let answer = api.request(Method::POST, &path, &typed, Some("{}".to_owned())).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
