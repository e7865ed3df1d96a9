//! API keys, as whoever holds one sees them: what is refused and how, how soon, and what a key shows of its use.

use std::time::Duration;

use chrono::TimeDelta;
use hatch::roles::Role;
use hatch_bus::testing::Server;
use hatch_domain::api_key::{ApiKeyText, KeyId, KeyType};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::harness::{Answer, CUSTOMER, Hatch, SENDER};
use crate::keys::Key;
use crate::openapi;
use crate::time::eventually_within;

/// A second, as is promised, and what a busy machine adds.
const SOON: Duration = Duration::from_secs(3);
const LIST: &str = "/api/v1/messages";

/// What everybody reaches: those that ask whether it is alive, those that read the document, and providers, who sign.
const PUBLIC: [&str; 6] = [
    "/health",
    "/ready",
    "/metrics",
    "/api/v1/openapi.json",
    "/api/webhooks/sms",
    "/api/webhooks/email",
];

/// Whether providers post to `path`, each to paths of its own.
fn is_posted_to(path: &str) -> bool {
    let provider = path.strip_prefix("/api/v1/webhooks/").and_then(|rest| rest.split('/').next());
    provider.is_some_and(|name| name == "{provider}" || hatch_providers::provider(name).is_some())
}

/// What people do who have shown nobody yet who they are.
const PUBLIC_WRITES: [&str; 2] = ["/api/v1/session", "/api/v1/invitations/accept"];

/// Asks with that `Authorization`, or without any.
async fn ask(hatch: &Hatch, authorization: Option<&str>, path: &str) -> Answer {
    let request = hatch.http.get(format!("{}{path}", hatch.url));
    let request = authorization
        .into_iter()
        .fold(request, |request, said| request.header("authorization", said));
    Answer::read(request.send().await.expect("hatch answers")).await
}

/// An answer without what differs between any two requests.
fn shown(mut answer: Answer) -> Value {
    let body = answer.body.as_object_mut().expect("a problem");
    body.retain(|name, _| !["instance", "request_id"].contains(&name.as_str()));
    answer.body
}

fn minted(key_type: KeyType, id: Option<&str>, entropy: u8) -> String {
    let entropy = [entropy; 64];
    let minted = match id {
        Some(id) => {
            let id: KeyId = id.parse().expect("an id");
            ApiKeyText::mint_for(key_type, id, &entropy)
        }
        None => ApiKeyText::mint(key_type, &entropy),
    };
    minted.expect("enough entropy").text
}

#[tokio::test]
async fn credentials_that_are_none_are_refused_alike() {
    let hatch = Hatch::closed_with_clock().await;
    let soon_over = hatch.create_key(&["--scope", "messages:read", "--expires-in", "1h"]).await;
    let revoked = hatch.create_key(&["--scope", "messages:read"]).await;
    let good = hatch.create_key(&["--scope", "messages:read"]).await;
    assert_eq!(hatch.get_by(&soon_over, LIST).await.status, StatusCode::OK);
    hatch.advance(TimeDelta::hours(2)).await;
    revoke(&hatch, &revoked).await;
    let wrong_checksum = {
        let mut text = good.text.clone();
        let last = if text.pop() == Some('0') { '1' } else { '0' };
        text + &last.to_string()
    };
    let bearer = |text: &str| format!("Bearer {text}");
    let refused = [
        ("no key", bearer("nonsense")),
        ("no text", "Bearer ".to_owned()),
        ("no secret", bearer(&format!("hk_live_{}_", good.id))),
        ("too long", bearer(&"hk_live_".repeat(500))),
        ("another scheme", format!("Basic {}", good.text)),
        ("no scheme", good.text.clone()),
        ("two keys", format!("{}, {}", good.bearer(), good.bearer())),
        ("wrong checksum", bearer(&wrong_checksum)),
        ("wrong secret", bearer(&minted(KeyType::Live, Some(&good.id), 7))),
        ("unknown id", bearer(&minted(KeyType::Live, None, 9))),
        ("another type", bearer(&minted(KeyType::Test, Some(&good.id), 7))),
        ("revoked", revoked.bearer()),
        ("expired", soon_over.bearer()),
    ];
    let known = ask(&hatch, Some(&refused[0].1), LIST).await;
    assert_eq!(known.text("code"), "unauthorized");
    assert_eq!(known.text("type"), format!("{}/docs/errors/unauthorized", hatch.url));
    let known = shown(known);
    for (what, said) in &refused {
        let answer = ask(&hatch, Some(said), LIST).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {}", answer.body);
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer realm=\"hatch\""), "{what}: {challenge}");
        assert!(challenge.contains("error=\"invalid_token\""), "{what}: {challenge}");
        assert_eq!(shown(answer), known, "{what} is told from others");
    }
    let missing = ask(&hatch, None, LIST).await;
    assert_eq!(missing.status, StatusCode::UNAUTHORIZED);
    assert_eq!(missing.header("www-authenticate"), "Bearer realm=\"hatch\"");
    // What stands in a URL stands in logs, too.
    let in_url = ask(&hatch, None, &format!("{LIST}?access_token={}", good.text)).await;
    assert_eq!(in_url.status, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&hatch, Some(&good.bearer()), LIST).await.status, StatusCode::OK);
    let lower = format!("bearer {}", good.text);
    assert_eq!(ask(&hatch, Some(&lower), LIST).await.status, StatusCode::OK);
    hatch.finish().await;
}

#[tokio::test]
async fn every_route_of_the_document_wants_credentials() {
    let mut hatch = Hatch::closed().await;
    hatch.key = None;
    let before = hatch.log_length().await;
    let mut asked = 0;
    for (method, path, _) in openapi::operations() {
        let sent = path
            .replace("{id}", "00000000-0000-7000-8000-000000000000")
            .replace("{address}", "ann@example.com")
            .replace("{position}", "1")
            .replace("{token}", "none")
            .replace("{name}", "kept")
            .replace("{account}", "kept")
            .replace("{provider}", "twilio");
        assert!(!sent.contains('{'), "{path}: say here what it names");
        // Also a body that would be refused for itself.
        for body in [None, Some("{".to_owned())] {
            let answer = hatch.request(method.clone(), &sent, &[], body).await;
            let wants = answer.status == StatusCode::UNAUTHORIZED
                && answer.body["code"] == "unauthorized"
                && answer.header("www-authenticate") == "Bearer realm=\"hatch\"";
            let is_public = PUBLIC.contains(&path.as_str())
                || is_posted_to(&path)
                || (method == Method::POST && PUBLIC_WRITES.contains(&path.as_str()));
            assert_eq!(wants, !is_public, "{method} {path}: {answer:?}");
            asked += 1;
        }
    }
    let head = hatch.request(Method::HEAD, LIST, &[], None).await;
    assert_eq!(head.status, StatusCode::UNAUTHORIZED);
    assert!(asked > 80, "{asked}");
    assert_eq!(hatch.log_length().await, before);
    hatch.finish().await;
}

/// The problem of a request that is known, and refused all the same.
fn assert_forbidden(answer: &Answer, code: &str, says: &str) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    assert_eq!(answer.text("code"), code);
    assert!(answer.text("detail").contains(says), "{}", answer.body);
}

#[tokio::test]
async fn a_key_does_what_it_was_made_for_and_no_more() {
    let hatch = Hatch::closed().await;
    let elsewhere = hatch.create_key(&["--scope", "admin", "--ip-range", "192.0.2.0/24"]).await;
    assert_forbidden(&hatch.get_by(&elsewhere, LIST).await, "ip_not_allowed", "");
    let here = ["--scope", "admin", "--ip-range", "192.0.2.0/24", "--ip-range", "127.0.0.1"];
    let here = hatch.create_key(&here).await;
    assert_eq!(hatch.get_by(&here, LIST).await.status, StatusCode::OK);

    let reads = hatch.create_key(&["--scope", "messages:read"]).await;
    let sms = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let answer = hatch.post_by(&reads, LIST, &sms).await;
    assert_forbidden(&answer, "missing_scope", "messages:write");
    let answer = hatch.get_by(&reads, "/api/v1/conversations").await;
    assert_forbidden(&answer, "missing_scope", "conversations:read");
    let answer = hatch.get_by(&elsewhere, "/api/v1/tenants").await;
    assert_forbidden(&answer, "ip_not_allowed", "");
    let answer = hatch.get_by(&here, "/api/v1/tenants").await;
    assert_forbidden(&answer, "missing_scope", "platform");

    let narrow = ["--scope", "messages:write", "--channel", "sms", "--sender", SENDER];
    let narrow = hatch.create_key(&narrow).await;
    let before = hatch.log_length().await;
    let other = json!({"from": "+12016665678", "to": CUSTOMER, "body": "Hello"});
    assert_forbidden(&hatch.post_by(&narrow, LIST, &other).await, "sender_not_allowed", "");
    let mail = json!({"to": "ann@example.com", "body": "Hello"});
    assert_forbidden(&hatch.post_by(&narrow, LIST, &mail).await, "channel_not_allowed", "");
    let batch = json!({"messages": [other, mail]});
    let batch = hatch.post_by(&narrow, "/api/v1/messages/batch", &batch).await;
    for (n, code) in ["sender_not_allowed", "channel_not_allowed"].into_iter().enumerate() {
        assert_eq!(batch.body["data"][n]["error"]["code"], code, "{}", batch.body);
    }
    assert_eq!(hatch.log_length().await, before, "nothing of it was recorded");
    let answer = hatch.post_by(&narrow, LIST, &sms).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    hatch.finish().await;
}

#[tokio::test]
async fn a_key_makes_none_that_may_do_more_than_itself() {
    let hatch = Hatch::closed().await;
    let maker = hatch.create_key(&["--scope", "keys:write", "--scope", "messages:read"]).await;
    let request = |scopes: Value| json!({"name": "made", "scopes": scopes});
    let made = hatch.post_by(&maker, "/api/v1/api-keys", &request(json!(["messages:read"]))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    for scopes in [json!(["messages:write"]), json!(["admin"]), json!(["platform"])] {
        let answer = hatch.post_by(&maker, "/api/v1/api-keys", &request(scopes)).await;
        assert_forbidden(&answer, "stronger_key", "");
    }
    let live = hatch.create_key(&["--scope", "keys:write"]).await;
    let live = format!("/api/v1/api-keys/{}", live.id);
    for (own, other) in [("test", "team"), ("test", "live"), ("team", "live")] {
        let maker = hatch.create_key(&["--type", own, "--scope", "keys:write"]).await;
        let mut request = json!({"name": "made", "type": own, "scopes": ["keys:write"]});
        let answer = hatch.post_by(&maker, "/api/v1/api-keys", &request).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        request["type"] = other.into();
        let answer = hatch.post_by(&maker, "/api/v1/api-keys", &request).await;
        assert_forbidden(&answer, "stronger_key", "type");
        let rotated = hatch.post_by(&maker, &format!("{live}/rotate"), &json!({})).await;
        assert_forbidden(&rotated, "stronger_key", "type");
        let ended = hatch.request_by(&maker, Method::DELETE, &live, None).await;
        assert_forbidden(&ended, "stronger_key", "type");
    }
    // What was made is let in, is shown without its text, and did not leave it in the log.
    let key = Key::of(made.text("key"));
    hatch
        .eventually("the key is known", async |hatch| {
            (hatch.get_by(&key, LIST).await.status == StatusCode::OK).then_some(())
        })
        .await;
    let shown = hatch.get(&format!("/api/v1/api-keys/{}", key.id)).await;
    assert_eq!(shown.text("created_by"), format!("key:{}", maker.id));
    let (_, secret) = key.text.rsplit_once('_').expect("a secret");
    assert!(!shown.body.to_string().contains(secret));
    let sql = format!("SELECT count(*) FROM es.events WHERE payload::text LIKE '%{secret}%'");
    assert_eq!(hatch.count(&sql).await, 0);
    hatch.finish().await;
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_until_it_is_resumed() {
    let hatch = Hatch::closed().await;
    let platform = hatch.create_key(&["--scope", "platform"]).await;
    let tenant = hatch.create_tenant("second").await;
    let key = hatch.create_key(&["--tenant", &tenant, "--scope", "admin"]).await;
    for (suspended, status) in [(true, StatusCode::FORBIDDEN), (false, StatusCode::OK)] {
        let path = format!("/api/v1/tenants/{tenant}");
        let body = json!({"suspended": suspended});
        let answer = hatch.request_by(&platform, Method::PATCH, &path, Some(&body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let answer = eventually_within(SOON, "it is so", async || {
            let answer = hatch.get_by(&key, LIST).await;
            (answer.status == status).then_some(answer)
        })
        .await;
        if suspended {
            assert_forbidden(&answer, "tenant_suspended", "");
        }
        assert_eq!(hatch.get(LIST).await.status, StatusCode::OK, "the other one is not");
    }
    hatch.finish().await;
}

async fn revoke(hatch: &Hatch, key: &Key) {
    let path = format!("/api/v1/api-keys/{}", key.id);
    let answer = hatch.request(Method::DELETE, &path, &[], None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    eventually_within(SOON, "the key is refused", async || {
        hatch.get_by(key, LIST).await.status == StatusCode::UNAUTHORIZED
    })
    .await;
}

#[tokio::test]
async fn a_new_secret_is_good_at_once_and_the_old_one_for_as_long_as_was_said() {
    let hatch = Hatch::closed_with_clock().await;
    let status = async |key: &Key| hatch.get_by(key, LIST).await.status;
    let rotate = async |key: &Key, body: &Value| {
        let path = format!("/api/v1/api-keys/{}/rotate", key.id);
        let answer = hatch.post(&path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let new = Key::of(answer.text("key"));
        assert_eq!(new.id, key.id);
        assert_ne!(new.text, key.text);
        eventually_within(SOON, "the new one is good", async || {
            status(&new).await == StatusCode::OK
        })
        .await;
        new
    };
    let first = hatch.create_key(&["--scope", "messages:read"]).await;
    let second = rotate(&first, &json!({"keep_old_for_s": 3600})).await;
    assert_eq!(status(&first).await, StatusCode::OK, "the old one still is");
    hatch.advance(TimeDelta::minutes(61)).await;
    assert_eq!(status(&first).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&second).await, StatusCode::OK);

    // A secret that leaked is gone at once.
    let third = rotate(&second, &json!({"keep_old_for_s": 0})).await;
    assert_eq!(status(&second).await, StatusCode::UNAUTHORIZED);
    revoke(&hatch, &third).await;
    let answer = hatch.post(&format!("/api/v1/api-keys/{}/rotate", third.id), &json!({})).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
    hatch.finish().await;
}

#[tokio::test]
async fn a_key_shows_when_from_where_and_by_what_it_was_last_used() {
    let hatch = Hatch::closed().await;
    let path = "/api/v1/api-keys";
    let made = json!({"name": "of the shop", "scopes": ["messages:read"]});
    let made = hatch.post(path, &made).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let key = Key::of(made.text("key"));
    let path = format!("{path}/{}", key.id);
    assert_eq!(hatch.get(&path).await.body["last_used"], Value::Null);
    let used = hatch
        .eventually("its use is shown", async |hatch| {
            let bearer = key.bearer();
            let headers = [("authorization", bearer.as_str()), ("user-agent", "shop/2.0")];
            hatch.request(Method::GET, LIST, &headers, None).await;
            let mut shown = hatch.get(&path).await.body;
            let used = shown["last_used"].take();
            (!used.is_null()).then_some(used)
        })
        .await;
    assert_eq!((&used["ip"], &used["user_agent"]), (&json!("127.0.0.1"), &json!("shop/2.0")));
    assert!(used["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{used}");
    let list = hatch.get("/api/v1/api-keys").await;
    let listed = list.body["data"].as_array().expect("a list").iter();
    assert!(listed.clone().any(|one| one["last_used"]["user_agent"] == "shop/2.0"), "{list:?}");
    // Reading says nothing of what a key can be made from.
    assert!(listed.clone().all(|one| one.get("key").is_none() && one.get("secret_hash").is_none()));
    hatch.finish().await;
}

/// The key of who did it is in each event, and that of `up` is nobody's.
#[tokio::test]
async fn events_say_by_which_key_they_came() {
    let actors =
        "SELECT DISTINCT metadata->>'actor' FROM es.events WHERE type = 'MessageRequested'";
    let hatch = Hatch::closed().await;
    let key = hatch.create_key(&["--scope", "messages:write"]).await;
    let chat = json!({"channel": "chat", "from": "alice", "to": "bob", "body": "Hello"});
    let answer = hatch.post_by(&key, LIST, &chat).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let rows = hatch.rows(actors).await;
    let actors: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(actors, [format!("key:{}", key.id)]);
    hatch.finish().await;
}

/// In `up` nobody needs a key, and a key that is sent counts.
#[tokio::test]
async fn where_nobody_needs_a_key_one_that_is_sent_is_checked() {
    let hatch = Hatch::start_with(&[Role::Command, Role::Query], |_| {}).await;
    assert_eq!(hatch.get(LIST).await.status, StatusCode::OK);
    let answer = ask(&hatch, Some("Bearer nonsense"), LIST).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    let key = hatch.create_key(&["--scope", "contacts:read"]).await;
    assert_forbidden(&hatch.get_by(&key, LIST).await, "missing_scope", "messages:read");
    hatch.finish().await;
}

/// Also while NATS is away: the processes look at the log itself.
#[tokio::test]
async fn a_revoked_key_is_refused_soon_by_every_process_with_and_without_nats() {
    let mut nats = Server::start().await;
    let settings =
        [("HATCH_NATS_URL", nats.url()), ("HATCH_AUTHENTICATION", "required".to_owned())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let fleet = Fleet::start(2, &settings).await;
    let members =
        [fleet.api(0, "command,query,relay,projector").await, fleet.api(1, "query").await];
    let asked = async |n: usize, key: &Key| {
        let request = fleet.http.get(format!("{}{LIST}", members[n].url));
        let answer = request.header("authorization", key.bearer()).send().await;
        answer.expect("an answer").status()
    };
    let create = async |scope: &str| {
        let key = fleet.run(&["keys", "create", "--name", "of a test", "--scope", scope]).await;
        let key = Key::of(&key);
        for n in 0..members.len() {
            eventually_within(SOON, "the key is let in", async || {
                asked(n, &key).await == StatusCode::OK
            })
            .await;
        }
        key
    };
    let admin = create("admin").await;
    for is_away in [false, true] {
        if is_away {
            nats.kill();
        }
        let key = create("messages:read").await;
        let url = format!("{}/api/v1/api-keys/{}", members[0].url, key.id);
        let request = fleet.http.delete(url).header("authorization", admin.bearer());
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "NATS is away: {is_away}");
        for n in 0..members.len() {
            eventually_within(SOON, "the key is refused", async || {
                asked(n, &key).await == StatusCode::UNAUTHORIZED
            })
            .await;
        }
    }
}
