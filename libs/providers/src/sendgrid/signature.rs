//! SendGrid's signature: ECDSA on P-256 with SHA-256 over the timestamp header and the raw body
//! (<https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features>).
//!
//! The timestamp is not compared with a clock. SendGrid repeats a request for up to three days, and
//! does not say whether a repeat is signed anew; a replayed request changes nothing, because what it
//! says is known by its ids.

use base64::prelude::{BASE64_STANDARD, Engine};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;

use crate::{RawRequest, Refusal};

const SIGNATURE: &str = "x-twilio-email-event-webhook-signature";
const TIMESTAMP: &str = "x-twilio-email-event-webhook-timestamp";

/// Checks that `request` was signed with one of `keys`.
pub(super) fn verify(keys: &[VerifyingKey], request: &RawRequest) -> Result<(), Refusal> {
    let header = |name| request.headers.get(name).ok_or(Refusal::MissingSignature);
    let (signature, timestamp) = (header(SIGNATURE)?, header(TIMESTAMP)?);
    // Where the timestamp ends is not signed, so it must not be able to hold a piece of the body.
    if !timestamp.as_bytes().iter().all(u8::is_ascii_digit) {
        return Err(Refusal::WrongSignature);
    }
    let signature = BASE64_STANDARD.decode(signature).map_err(|_| Refusal::WrongSignature)?;
    let signature = Signature::from_der(&signature).map_err(|_| Refusal::WrongSignature)?;
    let signed = [timestamp.as_bytes(), &request.body].concat();
    let good = keys.iter().any(|key| key.verify(&signed, &signature).is_ok());
    good.then_some(()).ok_or(Refusal::WrongSignature)
}

/// Reads a key from PEM, or from base64 of its DER form as SendGrid shows it.
pub(super) fn public_key(text: &str) -> Option<VerifyingKey> {
    let text = text.trim();
    if text.starts_with("-----") {
        return VerifyingKey::from_public_key_pem(text).ok();
    }
    VerifyingKey::from_public_key_der(&BASE64_STANDARD.decode(text).ok()?).ok()
}
