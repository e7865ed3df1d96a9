//! Signatures that cover nothing of what a request says: each is good for one thing, and for half a day.

use futures::future::join_all;
use hatch::roles::Role;
use hatch::settings::Settings;
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use reqwest::StatusCode;
use ring::hmac;
use serde_json::{Value, json};

use crate::harness::{Hatch, unique};
use crate::outcome_table::in_place_of;

const KEY: &str = "dev-mailgun-signing-key";

/// A signature of `ago_s` seconds ago.
struct Signature {
    timestamp: String,
    token: String,
    signature: String,
}

impl Signature {
    fn new(ago_s: i64) -> Self {
        let timestamp = (SystemEnvironment.now().timestamp() - ago_s).to_string();
        let token = unique();
        let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
        let signature = hmac::sign(&key, format!("{timestamp}{token}").as_bytes());
        let signature = signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { timestamp, token, signature }
    }

    async fn post_event(&self, hatch: &Hatch, event: Value) -> StatusCode {
        let Self { timestamp, token, signature } = self;
        let signature = json!({"timestamp": timestamp, "token": token, "signature": signature});
        let body = json!({"signature": signature, "event-data": event});
        hatch.post("/api/v1/webhooks/mailgun", &body).await.status
    }

    async fn post_mail(&self, hatch: &Hatch, text: &str) -> StatusCode {
        let form = [
            ("timestamp", self.timestamp.as_str()),
            ("token", &self.token),
            ("signature", &self.signature),
            ("recipient", "support@mail.usehatchapp.com"),
            ("sender", "ann@example.com"),
            ("from", "Ann <ann@example.com>"),
            ("Message-Id", "<once@example.com>"),
            ("subject", "Hello"),
            ("body-plain", text),
        ];
        let url = format!("{}/api/v1/webhooks/mailgun/inbound", hatch.url);
        hatch.http.post(url).form(&form).send().await.expect("hatch answers").status()
    }
}

fn by_mailgun(settings: &mut Settings) {
    in_place_of(settings, "sendgrid", "mailgun");
}

/// A mail that was sent and of which nobody spoke again, and what the provider calls it.
async fn sent(hatch: &Hatch) -> (String, String) {
    let mail = json!({"from": "user@usehatchapp.com", "to": "silent@example.com", "subject": "Hello",
        "body": "Hello"});
    let id = hatch.post("/api/v1/messages", &mail).await.text("id").to_owned();
    let message = hatch.message_with_status(&id, "sent").await;
    let mail_id = message["provider_message_id"].as_str().expect("an id").to_owned();
    (id, mail_id)
}

fn event(kind: &str, id: &str, mail_id: &str) -> Value {
    json!({
        "event": kind, "id": format!("{kind}-1"), "recipient": "silent@example.com",
        "timestamp": SystemEnvironment.now().timestamp(),
        "message": {"headers": {"message-id": mail_id}},
        "user-variables": {"message_id": id, "attempt": "1",
            "tenant_id": "00000000-0000-0000-0000-000000000001"},
    })
}

#[tokio::test]
async fn a_signature_is_good_for_one_thing_and_for_half_a_day() {
    let hatch = Hatch::start_with(&Role::ALL, by_mailgun).await;
    let (id, mail_id) = sent(&hatch).await;
    let (delivered, complained) =
        (event("delivered", &id, &mail_id), event("complained", &id, &mail_id));
    let first = Signature::new(60);
    assert_eq!(first.post_event(&hatch, delivered.clone()).await, StatusCode::OK);
    hatch.message_with_status(&id, "delivered").await;
    let before = hatch.log_length().await;
    assert_eq!(first.post_event(&hatch, delivered.clone()).await, StatusCode::OK, "a repeat");
    for (signature, said) in [
        (&first, complained.clone()),
        (&Signature::new(2 * 86_400), complained.clone()),
        (&Signature::new(-7_200), complained.clone()),
    ] {
        assert_eq!(signature.post_event(&hatch, said).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(hatch.log_length().await, before);
    let refused = "SELECT count(*) FROM hatch.webhook_log WHERE outcome = 'rejected_signature'";
    assert_eq!(hatch.count(refused).await, 3);
    // What repeats after eight hours, a provider may not have signed anew.
    let late = Signature::new(8 * 3_600 + 300);
    assert_eq!(late.post_event(&hatch, complained).await, StatusCode::OK);
    hatch.finish().await;
}

#[tokio::test]
async fn of_several_that_use_one_signature_at_a_time_one_is_taken() {
    let hatch = Hatch::start_with(&Role::ALL, by_mailgun).await;
    let signature = Signature::new(1);
    let texts: Vec<String> = (0..8).map(|n| format!("text {n}")).collect();
    let posts = texts.iter().map(|text| signature.post_mail(&hatch, text));
    let statuses = join_all(posts).await;
    let taken = statuses.iter().filter(|status| status.is_success()).count();
    assert_eq!(taken, 1, "{statuses:?}");
    assert!(
        statuses.iter().all(|status| status.is_success() || *status == StatusCode::UNAUTHORIZED)
    );
    let received = "SELECT count(*) FROM es.events WHERE type = 'MessageReceived'";
    assert_eq!(hatch.count(received).await, 1);
    hatch.finish().await;
}
