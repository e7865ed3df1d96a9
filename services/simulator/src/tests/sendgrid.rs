//! SendGrid: sends, events, mail that comes in.

use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Hatch, PUBLIC_KEY, Posted, Provider, answer, id, until};

const API_KEY: &str = "dev-sendgrid-api-key";
const SENDER: &str = "user@usehatchapp.com";
const CUSTOMER: &str = "customer@example.com";

fn mail(id: Uuid, to: &str) -> Value {
    json!({
        "personalizations": [{"to": [{"email": to}]}],
        "from": {"email": SENDER},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hi"}],
        "headers": {"Message-ID": "<1@hatch>"},
        "custom_args": {"message_id": id, "attempt": "1", "tenant_id": "t"},
    })
}

/// Whether SendGrid's account signed what arrived.
fn is_signed(posted: &Posted) -> bool {
    let header = |name: &str| {
        posted.headers[&format!("x-twilio-email-event-webhook-{name}")].as_bytes().to_vec()
    };
    let signature = BASE64_STANDARD.decode(header("signature")).expect("base64");
    let signature = Signature::from_der(&signature).expect("DER");
    let key = VerifyingKey::from_public_key_pem(PUBLIC_KEY).expect("a key");
    key.verify(&[&header("timestamp")[..], &posted.body].concat(), &signature).is_ok()
}

impl Provider {
    fn post_mail(&self, mail: &Value) -> RequestBuilder {
        self.client.post(format!("{}/v3/mail/send", self.url)).bearer_auth(API_KEY).json(mail)
    }

    /// A mail that is accepted; returns its X-Message-Id.
    async fn mailed(&self, id: Uuid, to: &str) -> String {
        let response = self.post_mail(&mail(id, to)).send().await.expect("an answer");
        assert_eq!(response.status(), 202);
        let id = response.headers()["x-message-id"].to_str().expect("text").to_owned();
        assert!(response.bytes().await.expect("a body").is_empty());
        id
    }
}

impl Hatch {
    /// Every event that was posted, in order.
    fn events(&self) -> Vec<Value> {
        let events = |posted: Posted| -> Vec<Value> {
            serde_json::from_slice(&posted.body).expect("an array of events")
        };
        self.posted().into_iter().flat_map(events).collect()
    }

    fn events_of(&self, x_message_id: &str) -> Vec<String> {
        let prefix = format!("{x_message_id}.");
        let of = |event: &Value| {
            event["sg_message_id"].as_str().is_some_and(|id| id.starts_with(&prefix))
        };
        let name = |event: &Value| event["event"].as_str().unwrap_or_default().to_owned();
        self.events().iter().filter(|event| of(event)).map(name).collect()
    }

    async fn has_events(&self, x_message_id: &str, expected: &[&str]) {
        until(|| self.events_of(x_message_id).len() >= expected.len()).await;
        assert_eq!(self.events_of(x_message_id), expected);
    }
}

#[tokio::test]
async fn a_mail_is_processed_and_then_delivered_in_signed_events() {
    let provider = Provider::start().await;
    let mut mail = mail(id(7), CUSTOMER);
    mail["personalizations"][0]["cc"] = json!([{"email": "cc@example.com"}]);
    let response = provider.post_mail(&mail).send().await.expect("an answer");
    let x_message_id = response.headers()["x-message-id"].to_str().expect("text");
    assert_eq!(x_message_id.len(), 22);
    let expected = ["processed", "processed", "delivered", "delivered"];
    provider.hatch.has_events(x_message_id, &expected).await;
    for posted in provider.hatch.posted() {
        assert_eq!(posted.uri, "/api/v1/webhooks/sendgrid");
        assert!(is_signed(&posted));
        assert!(posted.body.ends_with(b"]\r\n"));
    }
    let events = provider.hatch.events();
    let recipients: Vec<_> = events.iter().map(|event| event["email"].clone()).collect();
    assert_eq!(recipients, [CUSTOMER, "cc@example.com", CUSTOMER, "cc@example.com"]);
    for event in &events {
        let ours = json!([event["message_id"], event["attempt"], event["tenant_id"]]);
        assert_eq!(ours, json!([id(7), "1", "t"]));
        assert_eq!(event["smtp-id"], "<1@hatch>");
        assert!(event["timestamp"].is_i64());
    }
    let ids: std::collections::HashSet<_> =
        events.iter().map(|event| event["sg_event_id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), 4, "each event has an id of its own");
}

#[tokio::test]
async fn only_the_account_itself_may_send() {
    let provider = Provider::start().await;
    let request = || {
        let url = format!("{}/v3/mail/send", provider.url);
        provider.client.post(url).json(&mail(id(1), CUSTOMER))
    };
    for stranger in
        [request(), request().bearer_auth("wrong"), request().basic_auth("apikey", Some(API_KEY))]
    {
        let (status, body) = answer(stranger).await;
        assert_eq!(status, 401);
        assert!(body["errors"][0]["message"].is_string());
    }
    assert!(provider.record().await.is_empty());
}

#[tokio::test]
async fn what_sendgrid_refuses_is_refused_with_its_field() {
    let provider = Provider::start().await;
    let with = |pointer: &str, value: Value| {
        let mut mail = mail(id(1), CUSTOMER);
        *mail.pointer_mut(pointer).expect("a field") = value;
        mail
    };
    let more = |field: &str, value: Value| {
        let mut mail = mail(id(1), CUSTOMER);
        mail[field] = value;
        mail
    };
    let text = |value: &str| json!({"type": "text/plain", "value": value});
    let html = json!({"type": "text/html", "value": "x"});
    let cases = [
        ("personalizations", with("/personalizations", json!([]))),
        ("personalizations.0.to", with("/personalizations/0/to", json!([]))),
        ("personalizations.0.to.0.email", with("/personalizations/0/to/0/email", json!("nobody"))),
        (
            "personalizations.0",
            with(
                "/personalizations/0",
                json!({
                    "to": [{"email": CUSTOMER}], "cc": [{"email": "Customer@example.com"}],
                }),
            ),
        ),
        ("from.email", with("/from", json!({}))),
        ("reply_to.email", more("reply_to", json!({"email": "x"}))),
        ("subject", with("/subject", json!(""))),
        ("content", with("/content", json!([]))),
        ("content", with("/content", json!([html, text("x")]))),
        ("content.0.value", with("/content", json!([text("")]))),
        ("attachments.0.content", more("attachments", json!([{"content": "?", "filename": "a"}]))),
        ("attachments.0.filename", more("attachments", json!([{"content": "QQ=="}]))),
        ("headers.Subject", more("headers", json!({"Subject": "x"}))),
        ("custom_args", more("custom_args", json!({"a": "x".repeat(10_001)}))),
    ];
    for (field, mail) in cases {
        let (status, body) = answer(provider.post_mail(&mail)).await;
        assert_eq!((status, &body["errors"][0]["field"]), (400, &json!(field)), "{mail}");
        assert!(body["errors"][0]["message"].is_string());
    }
    let url = format!("{}/v3/mail/send", provider.url);
    let request = || provider.client.post(&url).bearer_auth(API_KEY);
    let json = ("content-type", "application/json");
    assert_eq!(answer(request().header(json.0, json.1).body("{")).await.0, 400);
    assert_eq!(answer(request().form(&[("a", "b")])).await.0, 415);
    assert!(provider.record().await.is_empty());
}

#[tokio::test]
async fn a_large_mail_is_taken() {
    let provider = Provider::start().await;
    let mut mail = mail(id(1), CUSTOMER);
    let content = BASE64_STANDARD.encode(vec![7; 3 * 1024 * 1024]);
    mail["attachments"] = json!([{"content": content, "filename": "a.bin"}]);
    assert_eq!(answer(provider.post_mail(&mail)).await.0, 202);
}

#[tokio::test]
async fn throttling_and_outages_end_with_the_third_call_for_a_mail() {
    let provider = Provider::start().await;
    for (n, local, failure) in [(1, "throttle+a", 429), (2, "outage", 500)] {
        let to = format!("{local}@example.com");
        for _ in 0..2 {
            let response = provider.post_mail(&mail(id(n), &to)).send().await.expect("an answer");
            assert_eq!(response.status(), failure);
            let retry_after = response.headers().get("retry-after").cloned();
            assert_eq!(retry_after.is_some_and(|wait| wait == "1"), failure == 429);
            let body: Value = response.json().await.expect("JSON");
            assert!(body["errors"][0]["message"].is_string());
        }
        let x_message_id = provider.mailed(id(n), &to).await;
        provider.hatch.has_events(&x_message_id, &["processed", "delivered"]).await;
    }
    let record = provider.record().await;
    let calls: Vec<_> = record.iter().map(|line| line["calls"].clone()).collect();
    assert_eq!(calls, [3, 3]);
}

#[tokio::test]
async fn each_odd_recipient_has_its_own_events() {
    let provider = Provider::start().await;
    let silent = provider.mailed(id(1), "silent@example.com").await;
    let cases: [(&str, &[&str]); 4] = [
        ("disorder+1", &["delivered", "processed", "delivered", "processed"]),
        ("bounce", &["processed", "bounce"]),
        ("invalid", &["dropped"]),
        ("optout", &["dropped"]),
    ];
    for (n, (local, events)) in (2..).zip(cases) {
        let x_message_id = provider.mailed(id(n), &format!("{local}@example.com")).await;
        provider.hatch.has_events(&x_message_id, events).await;
    }
    let events = provider.hatch.events();
    let of = |local: &str, key: &str| -> Vec<Value> {
        let email = format!("{local}@example.com");
        let about = events.iter().filter(|event| event["email"] == email);
        about.map(|event| event[key].clone()).collect()
    };
    let ids = of("disorder+1", "sg_event_id");
    assert_eq!((&ids[0], &ids[1]), (&ids[2], &ids[3]), "a repeated event says the same");
    assert_eq!(of("bounce", "type"), [Value::Null, json!("bounce")]);
    assert_eq!(of("invalid", "reason"), [json!("Invalid")]);
    assert_eq!(of("optout", "reason"), [json!("Unsubscribed Address")]);
    assert!(provider.hatch.events_of(&silent).is_empty());
    assert_eq!(provider.record().await.len(), 5, "what is dropped was accepted");
}

#[tokio::test]
async fn an_early_event_overtakes_the_answer() {
    let provider = Provider::start().await;
    let x_message_id = provider.mailed(id(1), "early@example.com").await;
    assert!(provider.hatch.events_of(&x_message_id).contains(&"delivered".to_owned()));
    until(|| provider.hatch.events_of(&x_message_id).len() == 3).await;
}

#[tokio::test]
async fn a_mute_recipient_gets_the_mail_and_the_sender_no_answer() {
    let provider = Provider::start().await;
    for (n, local) in [(1, "mute"), (2, "hole")] {
        let mail = mail(id(n), &format!("{local}@example.com"));
        provider.unanswered(provider.post_mail(&mail), 1).await;
    }
    let record = provider.record().await;
    assert_eq!(record.len(), 1, "the hole records nothing");
    let accepted_at = record[0]["accepted_at"].clone();
    let x_message_id = record[0]["provider_message_id"].as_str().expect("an id");
    let line = json!({
        "provider": "sendgrid", "account": "sendgrid", "provider_message_id": x_message_id,
        "hatch_message_id": id(1), "from": SENDER, "to": "mute@example.com",
        "accepted_at": accepted_at, "calls": 1,
    });
    assert_eq!(record[0], line);
    provider.hatch.has_events(x_message_id, &["processed", "delivered"]).await;
    assert_eq!(provider.hatch.events().len(), 2);
    provider.stop().await;
}

#[tokio::test]
async fn events_are_posted_together_and_until_they_are_taken() {
    let provider = Provider::start().await;
    *provider.hatch.statuses.lock().expect("not held") = vec![401, 503];
    let messages = 300;
    let sends = (0..messages).map(|n| {
        let request = provider.post_mail(&mail(id(n), CUSTOMER));
        tokio::spawn(async move { answer(request).await.0 })
    });
    for send in sends.collect::<Vec<_>>() {
        assert_eq!(send.await.expect("no panic"), 202);
    }
    let distinct = || {
        let events = provider.hatch.events();
        let ids: std::collections::HashSet<String> =
            events.iter().map(|event| event["sg_event_id"].to_string()).collect();
        ids.len() as u128
    };
    until(|| distinct() == 2 * messages).await;
    let requests = provider.hatch.posted().len() as u128;
    assert!(requests < 2 * messages, "{requests} requests");
    assert!(provider.hatch.posted().iter().all(is_signed));
}

#[tokio::test]
async fn due_events_outlive_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("record.ndjson");
    let provider = Provider::start_with(Hatch::start().await, Some(path.clone())).await;
    *provider.hatch.statuses.lock().expect("not held") = vec![503; 1_000];
    let due = provider.mailed(id(1), CUSTOMER).await;
    until(|| !provider.hatch.events_of(&due).is_empty()).await;
    let hatch = provider.stop().await;
    hatch.posted.lock().expect("not held").clear();
    hatch.statuses.lock().expect("not held").clear();

    let provider = Provider::start_with(hatch, Some(path.clone())).await;
    provider.hatch.has_events(&due, &["processed", "delivered"]).await;
    assert_eq!(provider.hatch.events()[0]["message_id"], json!(id(1)));
    until(|| std::fs::read_to_string(&path).expect("the file").contains("\"settled\"")).await;
}

#[tokio::test]
async fn an_account_can_be_down_throttled_slow_and_up_again() {
    let provider = Provider::start().await;
    let disturb = async |disturbance: Value| {
        let url = format!("{}/_sim/accounts/sendgrid", provider.url);
        assert_eq!(answer(provider.client.put(url).json(&disturbance)).await.0, 200);
    };
    for (mode, status) in [("down", 503), ("throttled", 429)] {
        disturb(json!({"mode": mode})).await;
        let (answered, body) = answer(provider.post_mail(&mail(id(1), CUSTOMER))).await;
        assert_eq!(answered, status, "{mode}");
        assert!(body["errors"][0]["message"].is_string());
    }
    assert!(provider.record().await.is_empty());
    disturb(json!({"mode": "slow", "latency_ms": 400})).await;
    let begin = Instant::now();
    provider.mailed(id(1), CUSTOMER).await;
    assert!(begin.elapsed() >= Duration::from_millis(400));
    disturb(json!({"mode": "up"})).await;
    provider.mailed(id(2), CUSTOMER).await;
}

#[tokio::test]
async fn a_mail_that_comes_in_is_a_signed_form_and_hatchs_status_comes_back() {
    let provider = Provider::start().await;
    let inbound = async |request: &Value| {
        answer(provider.client.post(format!("{}/_sim/inbound", provider.url)).json(request)).await
    };
    let mut request = json!({
        "provider": "sendgrid", "from": "Jürgen <juergen@example.com>", "to": SENDER,
        "subject": "Grüße", "body": "Hi 🥚", "in_reply_to": "1@hatch", "references": ["0@hatch", "1@hatch"],
        "attachments": [{"url": "https://files.example/a.png", "content_type": "image/png"}],
    });
    let (status, said) = inbound(&request).await;
    assert_eq!((status, &said["status"]), (200, &json!(204)));
    let id = said["provider_message_id"].as_str().expect("an id").to_owned();
    let posted = provider.hatch.posted().remove(0);
    assert_eq!(posted.uri, "/api/v1/webhooks/sendgrid/inbound");
    assert!(is_signed(&posted));
    let content_type = posted.headers["content-type"].to_str().expect("text").to_owned();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").expect("a form");
    let body = String::from_utf8(posted.body.to_vec()).expect("UTF-8");
    assert!(body.ends_with(&format!("--{boundary}--\r\n")));
    let expected = [
        format!(
            "Message-ID: <{id}>\r\nIn-Reply-To: <1@hatch>\r\nReferences: <0@hatch>\r\n <1@hatch>\r\n"
        ),
        "name=\"from\"\r\n\r\nJürgen <juergen@example.com>\r\n".to_owned(),
        "name=\"subject\"\r\n\r\nGrüße\r\n".to_owned(),
        "name=\"text\"\r\n\r\nHi 🥚\r\n".to_owned(),
        format!("{{\"from\":\"juergen@example.com\",\"to\":[\"{SENDER}\"]}}"),
        "name=\"attachment1\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n".to_owned(),
    ];
    for text in expected {
        assert!(body.contains(&text), "{text:?} in {body}");
    }

    *provider.hatch.statuses.lock().expect("not held") = vec![503];
    request["provider_message_id"] = json!(format!("<{id}>"));
    let (status, said) = inbound(&request).await;
    assert_eq!((status, &said["status"]), (200, &json!(503)));
    assert_eq!(said["provider_message_id"], id);
}
