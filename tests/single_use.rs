//! Webhooks whose signature covers nothing of what they say: each is good for one thing, which is said to one account.

use hatch::roles::Role;
use reqwest::StatusCode;
use ring::hmac;
use serde_json::json;

use crate::harness::Hatch;

/// Both accounts have it, as two domains of one account at the provider have.
const SIGNING_KEY: &str = "a-signing-key";

/// A mail that comes in, with what signs it.
struct Signed {
    timestamp: String,
    token: &'static str,
}

impl Signed {
    async fn post(&self, hatch: &Hatch, account: &str, subject: &str) -> StatusCode {
        let Self { timestamp, token } = self;
        let key = hmac::Key::new(hmac::HMAC_SHA256, SIGNING_KEY.as_bytes());
        let tag = hmac::sign(&key, format!("{timestamp}{token}").as_bytes());
        let signature: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let form: [(&str, &str); 8] = [
            ("recipient", "support@one.example"),
            ("sender", "ann@example.com"),
            ("from", "Ann <ann@example.com>"),
            ("subject", subject),
            ("body-plain", "Hi"),
            ("timestamp", timestamp),
            ("token", token),
            ("signature", &signature),
        ];
        let url = format!("{}/api/v1/webhooks/mailgun/{account}/inbound", hatch.url);
        hatch.http.post(url).form(&form).send().await.expect("hatch answers").status()
    }
}

#[tokio::test]
async fn a_token_is_good_for_one_thing_that_is_said_to_one_account() {
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        for name in ["one", "two"] {
            let set = json!({
                "provider": "mailgun", "domain": format!("{name}.example"), "api_key": "a-key",
                "signing_key": SIGNING_KEY, "base_url": "http://127.0.0.1:9",
                "http_timeout_ms": 3_000, "connect_timeout_ms": 1_000,
            });
            let set = serde_json::from_value(set).expect("settings");
            settings.accounts.insert(name.to_owned(), set);
        }
    })
    .await;
    let now = hatch.count("SELECT extract(epoch FROM now())::bigint").await;
    let fresh = |token| Signed { timestamp: now.to_string(), token };

    let first = fresh("a-token");
    assert_eq!(first.post(&hatch, "one", "Hello").await, StatusCode::OK);
    assert_eq!(first.post(&hatch, "one", "Hello").await, StatusCode::OK, "a repeat");
    assert_eq!(first.post(&hatch, "one", "Pay me").await, StatusCode::UNAUTHORIZED);
    assert_eq!(first.post(&hatch, "two", "Hello").await, StatusCode::UNAUTHORIZED);
    assert_eq!(fresh("another").post(&hatch, "two", "Hello").await, StatusCode::OK);

    let stale = Signed { timestamp: (now - 13 * 3_600).to_string(), token: "an-old-one" };
    assert_eq!(stale.post(&hatch, "one", "Hello").await, StatusCode::UNAUTHORIZED);
    let recorded = hatch.count("SELECT count(*) FROM hatch.webhook_tokens").await;
    assert_eq!(recorded, 2, "one that is refused for its time is not remembered");
    hatch.finish().await;
}
