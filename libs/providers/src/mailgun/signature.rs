//! Mailgun's signature: HMAC-SHA256 with the signing key over a timestamp and a token, which stand in the body beside
//! it (<https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks>).
//!
//! It covers nothing of what the request says. So a token is good for one thing that is said: see
//! [`Webhook::once`](crate::Webhook::once).

use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::webhook::Once;
use crate::{Secret, WebhookRefusal};

/// Digits of a timestamp, until the year 2286. Where it ends and the token begins is not signed, so it must not be able
/// to hold a piece of the token: that would make one signature good for two tokens.
const TIMESTAMP_DIGITS: usize = 10;

/// Bytes of a token at most; Mailgun's have 50.
const TOKEN_BYTES_MAX: usize = 128;

/// A signature as it stands in a body.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Signature {
    #[serde(default)]
    pub(super) timestamp: String,
    #[serde(default)]
    pub(super) token: String,
    #[serde(default)]
    pub(super) signature: String,
}

impl Signature {
    /// Checks that it was made with one of `keys`.
    pub(super) fn verify(&self, keys: &[Secret]) -> Result<(), WebhookRefusal> {
        let Self { timestamp, token, signature } = self;
        if timestamp.is_empty() || token.is_empty() || signature.is_empty() {
            return Err(WebhookRefusal::MissingSignature);
        }
        let is_time = timestamp.len() == TIMESTAMP_DIGITS
            && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let is_token =
            token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|byte| byte.is_ascii_graphic());
        let signature = bytes(signature).filter(|_| is_time && is_token);
        let signature = signature.ok_or(WebhookRefusal::WrongSignature)?;
        let is_good = keys.iter().any(|key| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
                .expect("HMAC takes a key of any length");
            mac.update(timestamp.as_bytes());
            mac.update(token.as_bytes());
            mac.verify_slice(&signature).is_ok() // in constant time
        });
        is_good.then_some(()).ok_or(WebhookRefusal::WrongSignature)
    }

    /// Its token, which is good for the content with the hash `said`, and for no other.
    pub(super) fn once(self, said: [u8; 32]) -> Option<Once> {
        let signed_at = self.timestamp.parse().ok()?;
        Some(Once { token: self.token, signed_at, said })
    }
}

/// The bytes that hexadecimal digits stand for.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| {
        let [high, low] = pair else { return None };
        u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
    };
    digits.as_bytes().chunks(2).map(pair).collect()
}
