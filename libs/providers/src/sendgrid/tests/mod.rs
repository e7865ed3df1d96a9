//! The adapter over real HTTP against servers that answer, break off or stay silent, and the webhooks
//! against signatures that others made.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;

use super::Settings;
use crate::RawRequest;

mod characters;
mod codes;
mod events;
mod files;
mod hostile;
mod inbound;
mod kinds;
mod send;
mod verify;

const API_KEY: &str = "SG.an-api-key";

/// A key pair that openssl made.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgs7ktrqlelXD+V/KI
s3fK8gjLrIVRJi5kBPDfJM4NK9qhRANCAAQemJx6WOthvooZdY8rG0kSryQOoB+8
89mrububRh7UcNr69ebE6GjMYVyKm+uThTzagZ1g7eNvRH1dbV4qsGU5
-----END PRIVATE KEY-----";
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHpiceljrYb6KGXWPKxtJEq8kDqAf
vPPZq7m7m0Ye1HDa+vXmxOhozGFcipvrk4U82oGdYO3jb0R9XW1eKrBlOQ==
-----END PUBLIC KEY-----";

fn settings(base_url: &str) -> Settings {
    serde_json::from_value(json!({
        "api_key": API_KEY,
        "event_public_keys": [PUBLIC_KEY],
        "base_url": base_url,
        "http_timeout_ms": 10_000,
        "connect_timeout_ms": 5_000,
    }))
    .expect("well-formed settings")
}

/// A request with that body, signed so.
fn request(content_type: &str, body: &[u8], timestamp: &str, signature: &str) -> RawRequest {
    let value = |text: &str| HeaderValue::from_str(text).expect("a header value");
    let mut headers = HeaderMap::new();
    headers.insert("content-type", value(content_type));
    headers.insert("x-twilio-email-event-webhook-signature", value(signature));
    headers.insert("x-twilio-email-event-webhook-timestamp", value(timestamp));
    RawRequest {
        method: Method::POST,
        path_and_query: "/api/v1/webhooks/sendgrid".parse().expect("a path"),
        headers,
        body: Bytes::copy_from_slice(body),
    }
}

/// A request that is signed with [`PRIVATE_KEY`].
fn signed(content_type: &str, body: &[u8]) -> RawRequest {
    use base64::prelude::{BASE64_STANDARD, Engine};
    use p256::ecdsa::signature::Signer;
    use p256::ecdsa::{Signature, SigningKey};
    use p256::pkcs8::DecodePrivateKey;
    let key = SigningKey::from_pkcs8_pem(PRIVATE_KEY).expect("a key");
    let signature: Signature = key.sign(&[b"1600112502", body].concat());
    let signature = BASE64_STANDARD.encode(signature.to_der().as_bytes());
    request(content_type, body, "1600112502", &signature)
}

mod configuration {
    use super::super::{SendGridAdapter, SendGridEvents, SendGridInbound};
    use super::*;
    use crate::{Error, Secret};

    #[test]
    fn what_is_left_out_has_a_default_and_what_is_unknown_is_refused() {
        let settings: Settings =
            serde_json::from_value(json!({"api_key": "SG.x"})).expect("the least");
        assert_eq!(settings.base_url.as_str(), "https://api.sendgrid.com/");
        assert_eq!(settings.account, "sendgrid");
        assert_eq!(settings.default_subject, "(no subject)");
        assert!(SendGridAdapter::new(settings).is_ok());
        let more = json!({"api_key": "SG.x", "api_kee": "SG.x"});
        let error = serde_json::from_value::<Settings>(more).expect_err("a key too many");
        assert!(error.to_string().contains("api_kee"), "{error}");
    }

    #[test]
    fn secrets_do_not_show() {
        assert!(!format!("{:?}", settings("https://api.sendgrid.com")).contains(API_KEY));
    }

    #[test]
    fn each_wrong_setting_is_named() {
        let good = settings("https://api.sendgrid.com");
        let url = "https://u@api.sendgrid.com".parse().expect("a URL");
        let wrong = [
            ("account", Settings { account: String::new(), ..good.clone() }),
            ("api_key", Settings { api_key: Secret::new(""), ..good.clone() }),
            ("api_key", Settings { api_key: Secret::new("a\nb"), ..good.clone() }),
            ("default_subject", Settings { default_subject: " ".into(), ..good.clone() }),
            ("base_url", Settings { base_url: url, ..good.clone() }),
            ("connect_timeout_ms", Settings { connect_timeout_ms: 10_000, ..good }),
        ];
        for (key, settings) in wrong {
            match SendGridAdapter::new(settings).err() {
                Some(Error::Setting { setting, .. }) => assert_eq!(setting, key),
                other => panic!("{key}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_webhook_needs_good_public_keys() {
        // A key on another curve.
        let p384 = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEa+UhcJvyAqBmBLnRhgBFpn9mI0hAeeEcLquqdb2edURcmd\
                    ZcgA+nUO7Ru9euZRuCsm47R1DF8Wt8BlbWKRp2e+J4c4h0WWMNqSnBIONFn6ODUV9dweJSAYY63oHF\
                    Gtdr";
        let good = settings("https://api.sendgrid.com");
        for keys in
            [vec![], vec!["***"], vec![PUBLIC_KEY, p384], vec![PRIVATE_KEY], vec![PUBLIC_KEY; 5]]
        {
            let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
            let settings = Settings { event_public_keys: keys, ..good.clone() };
            for error in
                [SendGridEvents::new(&settings).err(), SendGridInbound::new(&settings).err()]
            {
                match error {
                    Some(Error::Setting { setting, .. }) => {
                        assert_eq!(setting, "event_public_keys");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}
