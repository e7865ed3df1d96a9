//! What an ID token says beside what every token says (OpenID Connect Core 1.0, sections 2 and 3.1.3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde_json::{Map, Value};

use super::is_same;
use crate::tokens::{Algorithm, Verified};

/// Bytes of an address and of a name at most.
const EMAIL_BYTES_MAX: usize = 320;
const NAME_BYTES_MAX: usize = 256;

/// Who has signed in, as the provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider, as it calls itself.
    pub issuer: String,
    /// Whom it calls so, and nobody else ever.
    pub subject: String,
    /// The person's address, which may change and may be nobody's: see the next.
    pub email: Option<String>,
    /// Whether the provider knows that the address is the person's.
    pub email_verified: bool,
    /// The person's name.
    pub name: Option<String>,
    /// Where the person goes on: a path of ours.
    pub return_to: String,
}

impl Identity {
    pub(super) fn of(issuer: &str, verified: Verified, return_to: String) -> Self {
        let Verified { claims, subject, .. } = verified;
        let text = |name: &str, bytes_max: usize| {
            let text = claims.get(name).and_then(Value::as_str);
            let is_one = |text: &&str| {
                (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control)
            };
            text.filter(is_one).map(str::to_owned)
        };
        // Some providers write the truth as a text.
        let email_verified = claims.get("email_verified");
        let email_verified = email_verified.is_some_and(|said| *said == true || *said == "true");
        Self {
            issuer: issuer.to_owned(),
            subject,
            email: text("email", EMAIL_BYTES_MAX),
            email_verified,
            name: text("name", NAME_BYTES_MAX),
            return_to,
        }
    }
}

/// What an ID token has to be about.
pub(super) struct About<'a> {
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) access_token: Option<&'a str>,
}

impl About<'_> {
    /// Whether it is that, or why not.
    pub(super) fn check(&self, claims: &Map<String, Value>) -> Result<(), &'static str> {
        let nonce = claims.get("nonce").and_then(Value::as_str);
        if !nonce.is_some_and(|nonce| is_same(nonce, self.nonce)) {
            return Err("it answers another sign-in");
        }
        let is_for_several =
            claims.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
        match claims.get("azp") {
            None if is_for_several => return Err("it does not say to whom it was given"),
            None => {}
            Some(party) if *party == self.client_id => {}
            Some(_) => return Err("it was given to somebody else"),
        }
        match (claims.get("at_hash"), self.access_token) {
            (None, _) => Ok(()),
            (Some(hash), Some(token)) if *hash == *left_half(self.algorithm, token) => Ok(()),
            (Some(_), _) => Err("it goes with another access token"),
        }
    }
}

/// The left half of the hash of `token` (section 3.1.3.6). Ed25519 hashes by SHA-512, others by what they are named.
fn left_half(algorithm: Algorithm, token: &str) -> String {
    let by = match algorithm {
        Algorithm::EdDsa => &digest::SHA512,
        Algorithm::Hs256 | Algorithm::Rs256 | Algorithm::Es256 => &digest::SHA256,
    };
    let hash = digest::digest(by, token.as_bytes());
    let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}
