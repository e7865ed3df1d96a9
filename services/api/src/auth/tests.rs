//! Who is let in, by all routes.

use axum::http::{Method, StatusCode};
use chrono::TimeDelta;
use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::api_key::command::ApiKeyCommand;
use hatch_domain::ids::TenantId;
use hatch_domain::scope::Scope;
use hatch_domain::tenant::command::TenantCommand;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{Answer, Api, CUSTOMER, MAILBOX, OTHER_MAILBOX, SENDER, TestKey};

const MESSAGES: &str = "/api/v1/messages";
const OTHER_TENANT: TenantId = TenantId(Uuid::from_u128(2));

/// The status and the code of a problem.
fn said(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.body["code"].as_str().unwrap_or_default())
}

fn sms() -> Value {
    json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"})
}

async fn with(api: &Api, values: &[&str]) -> Answer {
    let headers: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
    api.request(Method::GET, MESSAGES, &headers, None).await
}

#[tokio::test]
async fn credentials_that_are_not_valid_are_all_answered_alike() {
    let api = Api::start_closed().await;
    let valid = api.key(TenantId::DEFAULT, &[Scope::MessagesRead], |_| ()).await;
    let ends = api.in_time(TimeDelta::hours(1));
    let expiring =
        api.key(TenantId::DEFAULT, &[Scope::MessagesRead], |key| key.expires_at = Some(ends)).await;
    let revoked = api.key(TenantId::DEFAULT, &[Scope::MessagesRead], |_| ()).await;
    let at = api.in_time(TimeDelta::zero());
    api.change_key(&revoked, &ApiKeyCommand::Revoke { at }).await;
    for key in [&valid, &expiring] {
        let answer = api.by(key, Method::GET, MESSAGES, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    api.advance(TimeDelta::hours(2)).await;
    let bearer = |text: &str| format!("Bearer {text}");
    let damaged = |text: &str| {
        let (start, end) = text.split_at(text.len() - 1);
        format!("{start}{}", if end == "0" { "1" } else { "0" })
    };
    let wrong = [
        String::new(),
        "Bearer".to_owned(),
        "Basic dXNlcjpwYXNz".to_owned(),
        valid.text.clone(),
        bearer("x"),
        bearer(&"x".repeat(4_000)),
        bearer(&damaged(&valid.text)),
        bearer(&valid.with_another_secret()),
        bearer(&valid.text.replacen("hk_live", "hk_test", 1)),
        bearer(&expiring.text),
        bearer(&revoked.text),
    ];
    let nothing = with(&api, &[]).await;
    assert_eq!(said(&nothing), (401, "unauthorized"));
    assert_eq!(nothing.header("www-authenticate"), "Bearer realm=\"hatch\"");
    for value in &wrong {
        let answer = with(&api, &[value]).await;
        assert_eq!(said(&answer), (401, "unauthorized"), "{value}");
        let challenge = "Bearer realm=\"hatch\", error=\"invalid_token\"";
        assert_eq!(answer.header("www-authenticate"), challenge, "{value}");
        assert_eq!(answer.body["detail"], nothing.body["detail"], "{value}");
    }
    let valid = bearer(&valid.text);
    assert_eq!(with(&api, &[&valid, &valid]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(with(&api, &[&valid]).await.status, StatusCode::OK);
    let in_url = api.get(&format!("{MESSAGES}?access_token={}", &valid["Bearer ".len()..])).await;
    assert_eq!(in_url.status, StatusCode::UNAUTHORIZED, "the URL is not read");
}

#[tokio::test]
async fn everybody_may_ask_for_what_is_no_tenants_and_where_nothing_is() {
    let api = Api::start_closed().await;
    for path in ["/health", "/ready", "/api/v1/openapi.json", "/docs/", "/api/v1/docs/"] {
        assert_eq!(api.get(path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(api.get("/api/v1/nothing").await.status, StatusCode::NOT_FOUND);
    for (method, path) in [
        (Method::GET, MESSAGES),
        (Method::HEAD, MESSAGES),
        (Method::DELETE, MESSAGES),
        (Method::POST, MESSAGES),
        (Method::GET, "/api/v1/events"),
        (Method::GET, "/api/conversations"),
        (Method::GET, "/api/v1/projections"),
    ] {
        let answer = api.request(method.clone(), path, &[], None).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
}

#[tokio::test]
async fn in_development_nobody_needs_a_key_and_a_wrong_one_is_wrong() {
    let api = Api::start().await;
    let sent = api.post(MESSAGES, &sms()).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.body);
    assert_eq!(with(&api, &["Bearer hk_live_x"]).await.status, StatusCode::UNAUTHORIZED);
    let key = api.key(OTHER_TENANT, &[Scope::MessagesRead], |_| ()).await;
    let list = api.by(&key, Method::GET, MESSAGES, None).await;
    assert_eq!((list.status, &list.body["data"]), (StatusCode::OK, &json!([])));
    assert_eq!(said(&api.by(&key, Method::POST, MESSAGES, Some(&sms())).await).1, "missing_scope");
}

#[tokio::test]
async fn a_missing_scope_is_named_and_admin_has_all_but_the_installations() {
    let api = Api::start_closed().await;
    let reader = api.key(TenantId::DEFAULT, &[Scope::MessagesRead], |_| ()).await;
    let admin = api.key(TenantId::DEFAULT, &[Scope::Admin], |_| ()).await;
    for (method, path, scope) in [
        (Method::POST, MESSAGES, "messages:write"),
        (Method::GET, "/api/v1/conversations", "conversations:read"),
        (Method::GET, "/api/v1/consent?address=a%40x.com", "contacts:read"),
        (Method::PUT, "/api/v1/consent", "consent:write"),
        (Method::GET, "/api/v1/webhook-log", "webhooks:read"),
        (Method::GET, "/api/v1/projections", "admin"),
    ] {
        let answer = api.by(&reader, method.clone(), path, None).await;
        assert_eq!(said(&answer), (403, "missing_scope"), "{method} {path}");
        assert!(answer.text("detail").contains(scope), "{method} {path}: {}", answer.body);
        let may = api.by(&admin, method.clone(), path, None).await;
        assert_ne!(may.status, StatusCode::FORBIDDEN, "{method} {path}: {}", may.body);
    }
    assert_eq!(api.by(&reader, Method::HEAD, MESSAGES, None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_is_for_its_addresses_its_senders_and_its_channels() {
    let api = Api::start_closed().await;
    let scopes = [Scope::MessagesWrite, Scope::MessagesRead];
    let elsewhere = api
        .key(TenantId::DEFAULT, &scopes, |key| {
            key.ip_ranges = vec!["192.0.2.0/24".parse().expect("a range")];
        })
        .await;
    assert_eq!(
        said(&api.by(&elsewhere, Method::GET, MESSAGES, None).await),
        (403, "ip_not_allowed")
    );
    let texts = api
        .key(TenantId::DEFAULT, &scopes, |key| {
            key.ip_ranges = vec!["127.0.0.1".parse().expect("an address")];
            key.channels = vec![Channel::Sms];
            key.senders = vec![Address::phone(SENDER).expect("a number")];
        })
        .await;
    let everything = api.key(TenantId::DEFAULT, &scopes, |_| ()).await;
    let mail = json!({"from": MAILBOX, "to": OTHER_MAILBOX, "body": "Hello"});
    let other = json!({"from": "+12016660000", "to": CUSTOMER, "body": "Hello"});
    for (body, code) in [(&mail, "channel_not_allowed"), (&other, "sender_not_allowed")] {
        let answer = api.by(&texts, Method::POST, MESSAGES, Some(body)).await;
        assert_eq!(said(&answer), (403, code), "{}", answer.body);
    }
    let length = api.log_length().await;
    let batch = json!({"messages": [mail, sms()]});
    let batch = api.by(&texts, Method::POST, "/api/v1/messages/batch", Some(&batch)).await;
    assert_eq!(batch.status, StatusCode::ACCEPTED, "{}", batch.body);
    assert_eq!(batch.body["data"][0]["error"]["code"], "channel_not_allowed");
    assert_eq!(api.log_length().await, length + 1, "the other one");
    let sent = api.by(&everything, Method::POST, MESSAGES, Some(&mail)).await;
    let cancel = format!("{MESSAGES}/{}/cancel", sent.text("id"));
    let refused = api.by(&texts, Method::POST, &cancel, None).await;
    assert_eq!(said(&refused), (403, "channel_not_allowed"), "{}", refused.body);
    assert_eq!(api.by(&everything, Method::POST, &cancel, None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_refused_send_uses_no_idempotency_key_up() {
    let api = Api::start_closed().await;
    let texts = api
        .key(TenantId::DEFAULT, &[Scope::MessagesWrite], |key| key.channels = vec![Channel::Sms])
        .await;
    let all = api.key(TenantId::DEFAULT, &[Scope::MessagesWrite], |_| ()).await;
    let mail = json!({"from": MAILBOX, "to": OTHER_MAILBOX, "body": "Hello"}).to_string();
    let send = async |key: &str| {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", "order-42")];
        api.request(Method::POST, MESSAGES, &headers, Some(mail.clone())).await
    };
    assert_eq!(said(&send(&texts.text).await), (403, "channel_not_allowed"));
    assert_eq!(send(&all.text).await.status, StatusCode::ACCEPTED);
    // Nor does it learn what another key was answered.
    assert_eq!(said(&send(&texts.text).await), (403, "channel_not_allowed"));
    assert_eq!(send(&all.text).await.header("idempotent-replayed"), "true");
}

#[tokio::test]
async fn tenants_share_keys_cursors_and_ids_with_nobody() {
    let api = Api::start_closed().await;
    let scopes = [Scope::MessagesWrite, Scope::MessagesRead];
    let (ours, theirs) = (
        api.key(TenantId::DEFAULT, &scopes, |_| ()).await,
        api.key(OTHER_TENANT, &scopes, |_| ()).await,
    );
    let send = async |text: &str| {
        let authorization = format!("Bearer {text}");
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", "same")];
        api.request(Method::POST, MESSAGES, &headers, Some(sms().to_string())).await
    };
    let (mine, other) = (send(&ours.text).await, send(&theirs.text).await);
    assert_eq!((mine.status, other.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    assert_ne!(mine.text("id"), other.text("id"));
    assert_ne!(mine.text("conversation_id"), other.text("conversation_id"));
    let position = &mine.body["position"];
    for path in [
        format!("{MESSAGES}/{}", mine.text("id")),
        format!("{MESSAGES}/{}/events", mine.text("id")),
        format!("{MESSAGES}/{}/recipients", mine.text("id")),
        format!("{MESSAGES}/{}?at={position}", mine.text("id")),
        format!("/api/v1/events/{position}"),
    ] {
        assert_eq!(api.by(&ours, Method::GET, &path, None).await.status, StatusCode::OK, "{path}");
        let foreign = api.by(&theirs, Method::GET, &path, None).await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{path}: {}", foreign.body);
    }
    let cancel = format!("{MESSAGES}/{}/cancel", mine.text("id"));
    let foreign = api.by(&theirs, Method::POST, &cancel, None).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{}", foreign.body);
}

#[tokio::test]
async fn events_name_the_key_that_did_it_and_keys_are_not_shown_to_everybody() {
    let api = Api::start_closed().await;
    let scopes = [Scope::MessagesWrite, Scope::MessagesRead];
    let key = api.key(TenantId::DEFAULT, &scopes, |_| ()).await;
    let sent = api.by(&key, Method::POST, MESSAGES, Some(&sms())).await;
    let event = format!("/api/v1/events/{}", sent.body["position"]);
    let event = api.by(&key, Method::GET, &event, None).await;
    assert!(event.body.to_string().contains(&format!("key:{}", key.id)), "{}", event.body);
    let of_the_key = api.by(&key, Method::GET, "/api/v1/events/1", None).await;
    assert_eq!(of_the_key.status, StatusCode::NOT_FOUND, "{}", of_the_key.body);
    let admin = api.key(TenantId::DEFAULT, &[Scope::Admin], |_| ()).await;
    let shown = api.by(&admin, Method::GET, "/api/v1/events/1", None).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.body);
    assert!(!shown.body.to_string().contains("secret_hash"), "{}", shown.body);
}

#[tokio::test]
async fn a_stream_ends_with_its_key_also_where_nothing_happens() {
    let api = Api::start_closed().await;
    let ends = api.in_time(TimeDelta::hours(1));
    let key =
        api.key(TenantId::DEFAULT, &[Scope::MessagesRead], |key| key.expires_at = Some(ends)).await;
    // It is let in before the time goes on.
    let stream = api.by(&key, Method::GET, "/api/v1/events", None);
    let (stream, ()) = tokio::join!(stream, api.advance(TimeDelta::hours(2)));
    assert_eq!(stream.status, StatusCode::OK, "{}", stream.body);
}

#[tokio::test]
async fn nothing_is_done_for_a_suspended_tenant() {
    let api = Api::start_closed().await;
    let at = api.in_time(TimeDelta::zero());
    let create = TenantCommand::Create { name: "other".to_owned(), at };
    api.change_tenant(OTHER_TENANT, &create).await;
    let key = api.key(OTHER_TENANT, &[Scope::Admin], |_| ()).await;
    let ours = api.key(TenantId::DEFAULT, &[Scope::Admin], |_| ()).await;
    let ask = async |key: &TestKey| api.by(key, Method::GET, MESSAGES, None).await;
    assert_eq!(ask(&key).await.status, StatusCode::OK);
    api.change_tenant(OTHER_TENANT, &TenantCommand::Suspend { reason: None, at }).await;
    assert_eq!(said(&ask(&key).await), (403, "tenant_suspended"));
    assert_eq!(ask(&ours).await.status, StatusCode::OK);
    api.change_tenant(OTHER_TENANT, &TenantCommand::Resume { at }).await;
    assert_eq!(ask(&key).await.status, StatusCode::OK);
}
