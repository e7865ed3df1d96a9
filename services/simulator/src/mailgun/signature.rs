//! How Mailgun signs its webhooks: a time and a token, and not what it posts with them.

use axum::body::Bytes;
use ring::hmac;
use serde_json::{Value, json};

use super::Account;
use crate::clock;
use crate::delivery::Callback;

/// The length of a token.
const TOKEN_CHARS: usize = 50;

/// The answer that ends the repeats of a webhook.
const NOT_ACCEPTABLE: u16 = 406;

/// A time and a token, and their signature.
pub(super) struct Signed {
    pub(super) timestamp: String,
    pub(super) token: String,
    pub(super) signature: String,
}

/// A new token, signed by `account`.
pub(super) fn sign(account: &Account) -> Signed {
    let timestamp = account.clock.now().timestamp().to_string();
    let mut token = format!("{}{}", clock::new_id().simple(), clock::new_id().simple());
    token.truncate(TOKEN_CHARS);
    let key = hmac::Key::new(hmac::HMAC_SHA256, account.signing_key.as_bytes());
    let tag = hmac::sign(&key, format!("{timestamp}{token}").as_bytes());
    let signature = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Signed { timestamp, token, signature }
}

/// An event, signed by `account` and ready to be posted to `url`.
pub(super) fn signed_event(url: &str, event: Value, account: &Account) -> Callback {
    let Signed { timestamp, token, signature } = sign(account);
    let body = json!({
        "signature": {"timestamp": timestamp, "token": token, "signature": signature},
        "event-data": event,
    });
    callback(url, "application/json".to_owned(), body.to_string().into_bytes())
}

/// A webhook of Mailgun's, whose body has its signature in it.
pub(super) fn callback(url: &str, content_type: String, body: Vec<u8>) -> Callback {
    Callback {
        url: url.to_owned(),
        headers: vec![("content-type", content_type), ("user-agent", "mailgun".to_owned())],
        body: Bytes::from(body),
        refusal: Some(NOT_ACCEPTABLE),
    }
}
