//! How SendGrid signs its webhooks.

use axum::body::Bytes;
use base64::prelude::{BASE64_STANDARD, Engine};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};

use crate::clock;
use crate::delivery::Callback;

/// A body, signed and ready to be posted to `url`.
pub(super) fn signed(url: &str, content_type: String, body: Vec<u8>, key: &SigningKey) -> Callback {
    let timestamp = clock::now().timestamp().to_string();
    let signature: Signature = key.sign(&[timestamp.as_bytes(), &body].concat());
    Callback {
        url: url.to_owned(),
        headers: vec![
            ("content-type", content_type),
            ("user-agent", "SendGrid Event API".to_owned()),
            (
                "x-twilio-email-event-webhook-signature",
                BASE64_STANDARD.encode(signature.to_der().as_bytes()),
            ),
            ("x-twilio-email-event-webhook-timestamp", timestamp),
        ],
        body: Bytes::from(body),
    }
}
