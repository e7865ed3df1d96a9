//! How SendGrid signs its webhooks.

use axum::body::Bytes;
use base64::prelude::{BASE64_STANDARD, Engine};
use ring::rand::SystemRandom;

use super::Account;
use crate::delivery::Callback;

/// A body, signed by `account` and ready to be posted to `url`.
pub(super) fn signed(
    url: &str,
    content_type: String,
    body: Vec<u8>,
    account: &Account,
) -> Callback {
    let timestamp = account.clock.now().timestamp().to_string();
    let signed = [timestamp.as_bytes(), &body].concat();
    let signature = account.key.sign(&SystemRandom::new(), &signed);
    let signature = signature.expect("the system has random numbers");
    Callback {
        url: url.to_owned(),
        headers: vec![
            ("content-type", content_type),
            ("user-agent", "SendGrid Event API".to_owned()),
            ("x-twilio-email-event-webhook-signature", BASE64_STANDARD.encode(signature)),
            ("x-twilio-email-event-webhook-timestamp", timestamp),
        ],
        body: Bytes::from(body),
        refusal: None,
    }
}
