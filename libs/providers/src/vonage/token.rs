//! The token that authenticates a send: a JWT (RFC 7519) that the application's key signed with RS256
//! (<https://developer.vonage.com/getting-started/concepts/authentication>).
//!
//! Each send has a token of its own: to sign one takes about a millisecond, and a token that is kept would be a memory.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, TimeDelta, Utc};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use uuid::Uuid;

use crate::Secret;

/// How long a token is good: far longer than a send takes, and as long as Vonage's own libraries give it.
const VALID: TimeDelta = TimeDelta::minutes(15);

const HEADER: &str = r#"{"alg":"RS256","typ":"JWT"}"#;

/// An application's private key.
pub(super) struct SigningKey(RsaKeyPair);

/// What a token says.
#[derive(Serialize)]
struct Claims<'a> {
    application_id: &'a str,
    iat: i64,
    jti: Uuid,
    exp: i64,
}

impl SigningKey {
    /// Reads a key from PEM, in either of the two forms that RSA keys have (PKCS #8 and PKCS #1).
    pub(super) fn read(pem: &Secret) -> Option<Self> {
        let pair = match PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).ok()? {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return None,
        };
        pair.ok().map(Self)
    }

    /// A token of the application, signed at `now`. None where the system has no random numbers, by which a signature
    /// hides its key.
    pub(super) fn token(
        &self,
        application_id: &str,
        now: DateTime<Utc>,
        id: Uuid,
    ) -> Option<String> {
        let (iat, exp) = (now.timestamp(), (now + VALID).timestamp());
        let claims = serde_json::to_vec(&Claims { application_id, iat, jti: id, exp }).ok()?;
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", encode(HEADER.as_bytes()), encode(&claims));
        let mut signature = vec![0; self.0.public().modulus_len()];
        let random = SystemRandom::new();
        self.0.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).ok()?;
        Some(format!("{signed}.{}", encode(&signature)))
    }
}
