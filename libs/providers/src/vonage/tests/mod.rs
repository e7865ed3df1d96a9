//! The adapter over real HTTP against servers that answer, break off or stay silent, and the webhook against tokens
//! that another library signed.

use std::sync::Arc;

use chrono::DateTime;
use hatch_domain::Environment;
use serde_json::json;

use super::Settings;
use crate::stub::Fixed;

mod codes;
mod parse;
mod send;
mod verify;

const API_KEY: &str = "dev-vonage";
const API_SECRET: &str = "dev-vonage-api-secret";
const APPLICATION: &str = "00000000-0000-4000-8000-000000000001";
const SIGNATURE_SECRET: &str = "dev-vonage-signature-secret";
const UUID: &str = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab";

/// When the tokens of these tests were signed.
const SIGNED_AT: i64 = 1_769_860_800;

const PKCS8: &str = include_str!("application.pkcs8.pem");
const PKCS1: &str = include_str!("application.pkcs1.pem");

/// Tokens that jsonwebtoken 9.0.3 for Node.js signed, each behind its name.
const TOKENS: &str = include_str!("tokens.txt");

fn token(name: &str) -> &'static str {
    let named = |line: &'static str| line.split_once(' ').filter(|(known, _)| *known == name);
    let (_, token) = TOKENS.lines().find_map(named).expect("a token of that name");
    token
}

fn at(seconds: i64) -> Arc<dyn Environment> {
    Arc::new(Fixed(DateTime::from_timestamp(seconds, 0).expect("a time")))
}

fn settings(base_url: &str, public_url: &str) -> Settings {
    serde_json::from_value(json!({
        "api_key": API_KEY,
        "application_id": APPLICATION,
        "private_key": PKCS8,
        "signature_secret": SIGNATURE_SECRET,
        "base_url": base_url,
        "public_url": public_url,
        "http_timeout_ms": 10_000,
        "connect_timeout_ms": 5_000,
    }))
    .expect("well-formed settings")
}

mod configuration {
    use super::super::{VonageAdapter, VonageWebhook, WEBHOOK_PATH};
    use super::*;
    use crate::account::webhook_path;
    use crate::{Error, Secret};

    fn good() -> Settings {
        settings("https://api.nexmo.com", "https://hatch.example")
    }

    #[test]
    fn what_is_left_out_has_a_default_and_what_is_unknown_is_refused() {
        let least = json!({
            "api_key": "abcd1234", "api_secret": "s", "signature_secret": "t",
            "public_url": "https://hatch.example",
        });
        let settings: Settings = serde_json::from_value(least.clone()).expect("the least");
        assert_eq!(settings.base_url.as_str(), "https://api.nexmo.com/");
        assert!(settings.is_at_provider());
        assert!(VonageAdapter::new(settings, at(SIGNED_AT)).is_ok());
        let mut more = least;
        more["api_secrt"] = json!("t");
        let error = serde_json::from_value::<Settings>(more).expect_err("a key too many");
        assert!(error.to_string().contains("api_secrt"), "{error}");
    }

    #[test]
    fn a_private_key_may_be_in_either_of_two_forms() {
        for pem in [PKCS8, PKCS1] {
            let settings = Settings { private_key: Some(Secret::new(pem)), ..good() };
            assert!(VonageAdapter::new(settings, at(SIGNED_AT)).is_ok());
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let shown =
            format!("{:?}", Settings { api_secret: Some(Secret::new(API_SECRET)), ..good() });
        for secret in [API_SECRET, SIGNATURE_SECRET, "PRIVATE KEY"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn each_wrong_setting_is_named() {
        let url = |text: &str| text.parse().expect("a URL");
        let key = |text: &str| Some(Secret::new(text));
        let wrong = [
            ("api_key", Settings { api_key: String::new(), ..good() }),
            ("api_key", Settings { api_key: "a:b".into(), ..good() }),
            ("signature_secret", Settings { signature_secret: Secret::new(""), ..good() }),
            ("application_id", Settings { application_id: None, ..good() }),
            ("private_key", Settings { private_key: key("-----BEGIN PRIVATE KEY-----"), ..good() }),
            ("private_key", Settings { private_key: key(""), ..good() }),
            ("private_key", Settings { private_key: None, ..good() }),
            ("private_key", Settings { private_key: None, api_secret: key(""), ..good() }),
            ("base_url", Settings { base_url: url("http://api.nexmo.com"), ..good() }),
            ("base_url", Settings { base_url: url("https://api-eu.vonage.com:8443"), ..good() }),
            ("public_url", Settings { public_url: url("https://h.example/?a=1"), ..good() }),
            ("connect_timeout_ms", Settings { connect_timeout_ms: 10_000, ..good() }),
        ];
        for (key, settings) in wrong {
            match VonageWebhook::new(settings, at(SIGNED_AT)).err() {
                Some(Error::Setting { setting, .. }) => assert_eq!(setting, key),
                other => panic!("{key}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_short_path_is_that_of_an_account_that_is_called_as_its_provider() {
        let name = super::super::PROVIDER.parse().expect("a name");
        assert_eq!(webhook_path(super::super::PROVIDER, &name, None), WEBHOOK_PATH);
    }
}
