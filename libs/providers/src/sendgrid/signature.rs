//! SendGrid's signature: ECDSA on P-256 with SHA-256 over the timestamp header and the raw body
//! (<https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features>).
//!
//! The timestamp is not compared with a clock. SendGrid repeats a request for up to three days, and
//! does not say whether a repeat is signed anew; a replayed request changes nothing, because what it
//! says is known by its ids.

use base64::prelude::{BASE64_STANDARD, Engine};
use http::header::HeaderMap;
use p256::PublicKey;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::DecodePublicKey;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use crate::{RawRequest, WebhookRefusal};

const SIGNATURE: &str = "x-twilio-email-event-webhook-signature";
const TIMESTAMP: &str = "x-twilio-email-event-webhook-timestamp";

/// A key that SendGrid signs with. ring checks a signature in a fraction of p256's time; p256 reads the
/// forms that ring does not know.
pub(super) type Key = UnparsedPublicKey<Box<[u8]>>;

/// Whether there is a signature at all.
pub(super) fn is_there(headers: &HeaderMap) -> bool {
    headers.contains_key(SIGNATURE) && headers.contains_key(TIMESTAMP)
}

/// Checks that `request` was signed with one of `keys`.
pub(super) fn verify(keys: &[Key], request: &RawRequest) -> Result<(), WebhookRefusal> {
    let header = |name| request.headers.get(name).ok_or(WebhookRefusal::MissingSignature);
    let (signature, timestamp) = (header(SIGNATURE)?, header(TIMESTAMP)?);
    // Where the timestamp ends is not signed, so it must not be able to hold a piece of the body.
    if !timestamp.as_bytes().iter().all(u8::is_ascii_digit) {
        return Err(WebhookRefusal::WrongSignature);
    }
    let signature =
        BASE64_STANDARD.decode(signature).map_err(|_| WebhookRefusal::WrongSignature)?;
    let signed = [timestamp.as_bytes(), &request.body].concat();
    let good = keys.iter().any(|key| key.verify(&signed, &signature).is_ok());
    good.then_some(()).ok_or(WebhookRefusal::WrongSignature)
}

/// Reads a key from PEM, or from base64 of its DER form as SendGrid shows it.
pub(super) fn public_key(text: &str) -> Option<Key> {
    let text = text.trim();
    let key = if text.starts_with("-----") {
        PublicKey::from_public_key_pem(text)
    } else {
        PublicKey::from_public_key_der(&BASE64_STANDARD.decode(text).ok()?)
    };
    let point = key.ok()?.to_encoded_point(false);
    Some(Key::new(&ECDSA_P256_SHA256_ASN1, point.to_bytes()))
}
