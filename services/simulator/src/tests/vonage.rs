//! Vonage: sends, statuses, messages that come in.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use hmac::{Hmac, Mac};
use p256::pkcs8::SecretDocument;
use reqwest::RequestBuilder;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Hatch, Posted, Provider, accounts, answer, id, until};
use crate::clock;

const APPLICATION: &str = "00000000-0000-4000-8000-000000000001";
const TO: &str = "18045551234";
const FROM: &str = "12016661234";

/// A token as an application signs it.
fn token(claims: &Value) -> String {
    let account = accounts().into_iter().find(|account| account.name == "vonage");
    let account = account.expect("an account");
    let pem = account.settings["private_key"].as_str().expect("a key");
    let (_, key) = SecretDocument::from_pem(pem).expect("PEM");
    let key = RsaKeyPair::from_pkcs8(key.as_bytes()).expect("an RSA key");
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "RS256", "typ": "JWT"})), part(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    let random = SystemRandom::new();
    key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).expect("signed");
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn claims() -> Value {
    let now = crate::Clock::default().now().timestamp();
    json!({
        "application_id": APPLICATION, "iat": now, "exp": now + 900,
        "jti": clock::new_id().to_string(),
    })
}

fn message(id: Uuid, to: &str) -> Value {
    json!({
        "channel": "sms", "message_type": "text", "to": to, "from": FROM, "text": "Hi",
        "client_ref": format!("hatch.{}.{}.1", "a".repeat(32), id.simple()),
    })
}

/// The claims of the token that a webhook was posted with, if the account's secret signed it and it is of this body.
fn signed_claims(posted: &Posted) -> Option<Value> {
    let shown = posted.headers["authorization"].to_str().expect("text");
    let (signed, signature) = shown.strip_prefix("Bearer ")?.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64");
    let header: Value = serde_json::from_slice(&part(header)).expect("JSON");
    assert_eq!(header["alg"], "HS256");
    let mut mac =
        Hmac::<Sha256>::new_from_slice(b"dev-vonage-signature-secret").expect("any length");
    mac.update(signed.as_bytes());
    mac.verify_slice(&part(signature)).ok()?;
    let claims: Value = serde_json::from_slice(&part(claims)).expect("JSON");
    let hash: String = Sha256::digest(&posted.body).iter().map(|b| format!("{b:02x}")).collect();
    (claims["payload_hash"] == hash).then_some(claims)
}

impl Provider {
    fn post_vonage(&self, message: &Value) -> RequestBuilder {
        let url = format!("{}/v1/messages", self.url);
        self.client.post(url).bearer_auth(token(&claims())).json(message)
    }

    /// A message that is accepted; returns its UUID.
    async fn taken(&self, id: Uuid, to: &str) -> String {
        let (status, body) = answer(self.post_vonage(&message(id, to))).await;
        assert_eq!(status, 202, "{body}");
        body["message_uuid"].as_str().expect("a UUID").to_owned()
    }
}

impl Hatch {
    /// What was posted about a message, in order.
    fn statuses_of(&self, uuid: &str) -> Vec<Value> {
        let read = |posted: Posted| serde_json::from_slice::<Value>(&posted.body).expect("JSON");
        let all = self.posted().into_iter().map(read);
        all.filter(|status| status["message_uuid"] == uuid).collect()
    }

    async fn has_statuses(&self, uuid: &str, expected: &[&str]) -> Vec<Value> {
        until(|| self.statuses_of(uuid).len() >= expected.len()).await;
        let statuses = self.statuses_of(uuid);
        let names: Vec<_> =
            statuses.iter().filter_map(|status| status["status"].as_str()).collect();
        assert_eq!(names, expected);
        statuses
    }
}

#[tokio::test]
async fn a_message_is_submitted_and_then_delivered_in_signed_statuses() {
    let provider = Provider::start().await;
    let uuid = provider.taken(id(7), TO).await;
    let statuses = provider.hatch.has_statuses(&uuid, &["submitted", "delivered"]).await;
    for status in &statuses {
        assert_eq!((&status["to"], &status["from"]), (&json!(TO), &json!(FROM)));
        assert_eq!(status["client_ref"], message(id(7), TO)["client_ref"]);
        assert_eq!(
            (&status["channel"], &status["sms"]["count_total"]),
            (&json!("sms"), &json!("1"))
        );
        let at = status["timestamp"].as_str().expect("a time");
        assert!(chrono::DateTime::parse_from_rfc3339(at).is_ok(), "{at}");
        assert!(status.get("error").is_none(), "{status}");
    }
    let mut tokens = std::collections::HashSet::new();
    for posted in provider.hatch.posted() {
        assert_eq!(posted.uri, "/api/v1/webhooks/vonage");
        let claims = signed_claims(&posted).expect("signed");
        let expected =
            [("iss", "Vonage"), ("api_key", "dev-vonage"), ("application_id", APPLICATION)];
        for (key, value) in expected {
            assert_eq!(claims[key], value, "{key}");
        }
        assert!(claims["iat"].is_i64() && tokens.insert(claims["jti"].to_string()));
    }
    let line = &provider.record().await[0];
    assert_eq!((&line["provider"], &line["account"]), (&json!("vonage"), &json!("dev-vonage")));
    assert_eq!(
        (&line["to"], &line["from"]),
        (&json!(format!("+{TO}")), &json!(format!("+{FROM}")))
    );
    assert_eq!((&line["hatch_message_id"], &line["calls"]), (&json!(id(7)), &json!(1)));
    assert_eq!(line["provider_message_id"], uuid);
}

#[tokio::test]
async fn a_message_says_where_its_statuses_go_and_how_they_are_written() {
    let provider = Provider::start().await;
    let mut asked = message(id(1), "18045550666");
    let ours = format!("{}/api/v1/webhooks/vonage/other?message_id={}", provider.hatch.url, id(2));
    asked["webhook_url"] = json!(ours);
    asked["webhook_version"] = json!("v0.1");
    asked.as_object_mut().expect("an object").remove("client_ref");
    let (status, body) = answer(provider.post_vonage(&asked)).await;
    assert_eq!(status, 202, "{body}");
    let uuid = body["message_uuid"].as_str().expect("a UUID");
    let statuses = provider.hatch.has_statuses(uuid, &["submitted", "undeliverable"]).await;
    assert_eq!(statuses[1]["error"]["code"], 1260);
    assert!(statuses[1]["error"]["reason"].is_string() && statuses[0].get("client_ref").is_none());
    assert_eq!(provider.hatch.posted()[0].uri.path(), "/api/v1/webhooks/vonage/other");
    assert_eq!(provider.record().await[0]["hatch_message_id"], json!(id(2)));
}

#[tokio::test]
async fn only_an_application_or_its_account_may_send() {
    let provider = Provider::start().await;
    let request = || {
        let url = format!("{}/v1/messages", provider.url);
        provider.client.post(url).json(&message(id(1), TO))
    };
    let with = |key: &str, value: Value| {
        let mut claims = claims();
        claims[key] = value;
        request().bearer_auth(token(&claims))
    };
    let now = crate::Clock::default().now().timestamp();
    let whole = token(&claims());
    let (signed, _) = whole.rsplit_once('.').expect("three parts");
    let strangers = [
        request(),
        request().bearer_auth("a.b.c"),
        request().bearer_auth(format!("{signed}.AAAA")),
        request().basic_auth("dev-vonage", Some("dev-vonage")),
        request().basic_auth("second-key", Some("wrong")),
        with("application_id", json!("00000000-0000-4000-8000-000000000009")),
        with("iat", json!(now + 3_600)),
        with("exp", json!(now - 3_600)),
        with("exp", json!(now + 2 * 24 * 3_600)),
        with("jti", json!("")),
    ];
    for (n, stranger) in strangers.into_iter().enumerate() {
        let (status, problem) = answer(stranger).await;
        assert_eq!((status, &problem["title"]), (401, &json!("Unauthorized")), "number {n}");
        assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with("#unauthorized")));
    }
    assert!(provider.record().await.is_empty());
    // An account by its secret is no application, so that nobody is told of its message.
    let (status, body) = answer(request().basic_auth("second-key", Some("second-secret"))).await;
    assert_eq!(status, 202, "{body}");
    let (status, body) = answer(request().basic_auth("third-key", Some("third-secret"))).await;
    assert_eq!(status, 202, "an account that has none: {body}");
    let told = provider.taken(id(2), TO).await;
    provider.hatch.has_statuses(&told, &["submitted", "delivered"]).await;
    assert_eq!(provider.hatch.posted().len(), 2);
    assert_eq!(provider.record().await[0]["account"], "second-key");
}

#[tokio::test]
async fn what_vonage_refuses_is_refused_with_each_of_its_parameters() {
    let provider = Provider::start().await;
    let with = |changes: Value| {
        let mut message = message(id(1), TO);
        let fields = message.as_object_mut().expect("an object");
        fields.extend(changes.as_object().cloned().unwrap_or_default());
        message
    };
    let cases = [
        ("channel", json!({"channel": "pigeon"})),
        ("message_type", json!({"message_type": "image"})),
        ("text", json!({"text": ""})),
        ("text", json!({"text": "x".repeat(1_001)})),
        ("to", json!({"to": format!("+{TO}")})),
        ("from", json!({"from": "a name of more letters"})),
        ("client_ref", json!({"client_ref": "x".repeat(101)})),
        ("webhook_version", json!({"webhook_version": "v9"})),
        ("webhook_url", json!({"webhook_url": "http://127.0.0.1:1/"})),
        ("webhook_url", json!({"webhook_url": "nowhere"})),
        ("sms.encoding_type", json!({"sms": {"encoding_type": "morse"}})),
        ("url", json!({"channel": "mms", "message_type": "image"})),
        ("url", json!({"channel": "mms", "message_type": "image", "image": {"url": "a.jpg"}})),
        (
            "ttl",
            json!({"channel": "mms", "message_type": "image", "ttl": 10,
                "image": {"url": "https://files.example/a.jpg"}}),
        ),
    ];
    for (name, changes) in cases {
        let (status, problem) = answer(provider.post_vonage(&with(changes))).await;
        assert_eq!(status, 422, "{problem}");
        assert_eq!(problem["type"], "https://developer.vonage.com/api-errors/messages#1150");
        let faults = problem["invalid_parameters"].as_array().expect("parameters");
        assert_eq!(faults.len(), 1, "{problem}");
        assert_eq!((&faults[0]["name"], faults[0]["reason"].is_string()), (&json!(name), true));
        assert!(problem["instance"].is_string() && problem["detail"].is_string());
    }
    let url = format!("{}/v1/messages", provider.url);
    let request = || provider.client.post(&url).bearer_auth(token(&claims()));
    let json = ("content-type", "application/json");
    assert_eq!(answer(request().header(json.0, json.1).body("{")).await.0, 400);
    assert_eq!(answer(request().form(&[("a", "b")])).await.0, 415);
    let file = json!({"channel": "mms", "message_type": "image",
        "image": {"url": "https://files.example/a.jpg", "caption": "Look"}});
    assert_eq!(answer(provider.post_vonage(&with(file))).await.0, 202);
    assert_eq!(provider.record().await.len(), 1);
}

#[tokio::test]
async fn each_odd_recipient_has_its_own_answer_and_statuses() {
    let provider = Provider::start().await;
    for (n, ending, failure, code) in [(1, "0429", 429, 1000), (2, "0500", 500, 1030)] {
        let to = format!("1804555{ending}");
        for _ in 0..2 {
            let request = provider.post_vonage(&message(id(n), &to));
            let response = request.send().await.expect("an answer");
            assert_eq!(response.status(), failure);
            let wait = response.headers().get("retry-after").cloned();
            assert_eq!(wait.is_some_and(|wait| wait == "1"), failure == 429);
            let problem: Value = response.json().await.expect("JSON");
            let kind = problem["type"].as_str().expect("a type");
            assert!(kind.ends_with(&format!("#{code}")), "{kind}");
        }
        let uuid = provider.taken(id(n), &to).await;
        provider.hatch.has_statuses(&uuid, &["submitted", "delivered"]).await;
    }
    let (status, problem) = answer(provider.post_vonage(&message(id(3), "18045550400"))).await;
    assert_eq!(status, 422);
    assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with("#1170")), "{problem}");
    let cases: [(&str, &[&str]); 3] = [
        ("0610", &["rejected"]),
        ("0666", &["submitted", "undeliverable"]),
        ("0777", &["delivered", "submitted", "delivered", "submitted"]),
    ];
    let silent = provider.taken(id(4), "18045550888").await;
    for (n, (ending, expected)) in (5..).zip(cases) {
        let uuid = provider.taken(id(n), &format!("1804555{ending}")).await;
        let statuses = provider.hatch.has_statuses(&uuid, expected).await;
        let last = statuses[statuses.len() - 1]["error"]["type"].as_str();
        let code = last.and_then(|kind| kind.rsplit('#').next());
        let expected = [("0610", Some("1240")), ("0666", Some("1260")), ("0777", None)];
        assert!(expected.contains(&(ending, code)), "{ending}: {code:?}");
        if ending == "0777" {
            assert_eq!((&statuses[0], &statuses[1]), (&statuses[2], &statuses[3]));
        }
    }
    assert!(provider.hatch.statuses_of(&silent).is_empty());
    let early = provider.taken(id(9), "18045550222").await;
    assert!(provider.hatch.statuses_of(&early).iter().any(|one| one["status"] == "delivered"));
    until(|| provider.hatch.statuses_of(&early).len() == 3).await;
    let recorded = provider.record().await.len();
    for (n, ending) in [(10, "0504"), (11, "0503")] {
        let message = message(id(n), &format!("1804555{ending}"));
        provider.unanswered(provider.post_vonage(&message), recorded + 1).await;
    }
    let record = provider.record().await;
    assert_eq!(record.len(), recorded + 1, "the hole records nothing");
    let uuid = record[recorded]["provider_message_id"].as_str().expect("a UUID");
    provider.hatch.has_statuses(uuid, &["submitted", "delivered"]).await;
    provider.stop().await;
}

#[tokio::test]
async fn an_account_that_is_disturbed_answers_as_vonage_does() {
    let provider = Provider::start().await;
    let cases = [
        ("down", 503, "#1030"),
        ("throttled", 429, "#1000"),
        ("unauthorized", 401, "#unauthorized"),
        ("suspended", 403, "#forbidden"),
        ("no_credit", 402, "#low-balance"),
    ];
    for (mode, status, end) in cases {
        assert_eq!(provider.disturb("dev-vonage", json!({"mode": mode})).await, 200);
        let (answered, problem) = answer(provider.post_vonage(&message(id(1), TO))).await;
        assert_eq!(answered, status, "{mode}");
        assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with(end)), "{problem}");
    }
    assert!(provider.record().await.is_empty());
    provider.disturb("vonage", json!({"mode": "mute"})).await;
    provider.unanswered(provider.post_vonage(&message(id(2), TO)), 1).await;
    provider.disturb("vonage", json!({"mode": "up"})).await;
    provider.taken(id(3), TO).await;
    provider.stop().await;
}

#[tokio::test]
async fn due_statuses_outlive_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("record.ndjson");
    let provider = Provider::start_with(Hatch::start().await, Some(path.clone())).await;
    *provider.hatch.statuses.lock().expect("not held") = vec![503; 1_000];
    let due = provider.taken(id(1), TO).await;
    until(|| !provider.hatch.statuses_of(&due).is_empty()).await;
    let hatch = provider.stop().await;
    hatch.posted.lock().expect("not held").clear();
    hatch.statuses.lock().expect("not held").clear();
    let provider = Provider::start_with(hatch, Some(path)).await;
    let statuses = provider.hatch.has_statuses(&due, &["submitted", "delivered"]).await;
    assert_eq!(statuses[0]["client_ref"], message(id(1), TO)["client_ref"]);
}

#[tokio::test]
async fn a_message_that_comes_in_is_a_signed_webhook() {
    let provider = Provider::start().await;
    let mut request = json!({
        "provider": "vonage", "from": "+18045551234", "to": "+12016661234", "body": "Stop it",
    });
    let (status, said) = provider.inbound(request.clone()).await;
    assert_eq!((status, &said["status"]), (200, &json!(204)), "{said}");
    request["attachments"] =
        json!([{"url": "https://files.example/a.mp4", "content_type": "video/mp4"}]);
    request["provider_message_id"] = said["provider_message_id"].clone();
    assert_eq!(provider.inbound(request.clone()).await.0, 200);
    let posted = provider.hatch.posted();
    let bodies: Vec<Value> =
        posted.iter().map(|posted| serde_json::from_slice(&posted.body).expect("JSON")).collect();
    for (posted, body) in posted.iter().zip(&bodies) {
        assert_eq!(posted.uri, "/api/v1/webhooks/vonage");
        assert!(signed_claims(posted).is_some());
        assert_eq!((&body["from"], &body["to"]), (&json!(TO), &json!(FROM)));
        assert_eq!(body["message_uuid"], said["provider_message_id"]);
        assert!(body.get("status").is_none());
    }
    let text = &bodies[0];
    assert_eq!((&text["channel"], &text["message_type"]), (&json!("sms"), &json!("text")));
    assert_eq!((&text["text"], &text["sms"]["keyword"]), (&json!("Stop it"), &json!("STOP")));
    let file = &bodies[1];
    assert_eq!((&file["channel"], &file["message_type"]), (&json!("mms"), &json!("video")));
    assert_eq!(file["video"]["url"], "https://files.example/a.mp4");
    assert_eq!(file["video"]["caption"], "Stop it");
    let more = json!(["https://files.example/a.jpg", "https://files.example/b.jpg"]);
    request["attachments"] = more;
    assert_eq!(provider.inbound(request.clone()).await.0, 400, "one file a message");
    request["account"] = json!("nobody");
    assert_eq!(provider.inbound(request).await.0, 400);
}
