//! The adapter over real HTTP against servers that answer, break off or stay silent, and the webhook
//! against Twilio's published signatures.

use serde_json::json;

use super::Settings;

mod codes;
mod look_up;
mod parse;
mod send;
mod verify;

const ACCOUNT: &str = "AC00000000000000000000000000000000";
const TOKEN: &str = "12345";
const SID: &str = "SM0123456789abcdef0123456789abcdef";

fn settings(base_url: &str, public_url: &str) -> Settings {
    serde_json::from_value(json!({
        "account_sid": ACCOUNT,
        "auth_token": TOKEN,
        "base_url": base_url,
        "public_url": public_url,
        "http_timeout_ms": 10_000,
        "connect_timeout_ms": 5_000,
    }))
    .expect("well-formed settings")
}

mod configuration {
    use super::super::{TwilioAdapter, TwilioWebhook};
    use super::*;
    use crate::Error;

    #[test]
    fn what_is_left_out_has_a_default_and_what_is_unknown_is_refused() {
        let least = json!({
            "account_sid": ACCOUNT, "auth_token": "t", "public_url": "https://hatch.example",
        });
        let settings: Settings = serde_json::from_value(least.clone()).expect("the least");
        assert_eq!(settings.base_url.as_str(), "https://api.twilio.com/");
        assert!(TwilioAdapter::new(settings).is_ok());
        let mut more = least;
        more["auth_tokn"] = json!("t");
        let error = serde_json::from_value::<Settings>(more).expect_err("a key too many");
        assert!(error.to_string().contains("auth_tokn"), "{error}");
    }

    #[test]
    fn secrets_do_not_show() {
        let settings = settings("https://api.twilio.com", "https://hatch.example");
        assert!(!format!("{settings:?}").contains(TOKEN));
    }

    #[test]
    fn each_wrong_setting_is_named() {
        let good = settings("https://api.twilio.com", "https://hatch.example");
        let url = |text: &str| text.parse().expect("a URL");
        let wrong = [
            ("account_sid", Settings { account_sid: "AC1".into(), ..good.clone() }),
            ("auth_token", Settings { auth_token: crate::Secret::new(""), ..good.clone() }),
            (
                "account_sid",
                Settings { account_sid: format!("AC{}", "A".repeat(32)), ..good.clone() },
            ),
            ("base_url", Settings { base_url: url("ftp://api.twilio.com"), ..good.clone() }),
            ("base_url", Settings { base_url: url("http://api.twilio.com"), ..good.clone() }),
            ("base_url", Settings { base_url: url("https://twilio.com.:8443"), ..good.clone() }),
            ("public_url", Settings { public_url: url("https://h.example/?a=1"), ..good.clone() }),
            ("public_url", Settings { public_url: url("https://h_1.example"), ..good.clone() }),
            ("connect_timeout_ms", Settings { connect_timeout_ms: 10_000, ..good }),
        ];
        for (key, settings) in wrong {
            match TwilioWebhook::new(settings).err() {
                Some(Error::Setting { setting, .. }) => assert_eq!(setting, key),
                other => panic!("{key}: {other:?}"),
            }
        }
    }
}
