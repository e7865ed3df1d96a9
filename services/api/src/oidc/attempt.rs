//! An attempt to sign in, as the person's browser keeps it until the person is back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hatch_seal::Sealer;
use ring::hmac;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::OidcSettings;

/// How long a person may take to sign in at the provider.
pub const COOKIE_SECONDS: u32 = 600;

/// Bytes at most of where a person goes on, and of a cookie that is looked at.
pub(crate) const RETURN_BYTES_MAX: usize = 1_024;
const COOKIE_BYTES_MAX: usize = 4_096;

const AAD: &[u8] = b"hatch: an attempt to sign in";

/// What nobody can guess, of which an attempt is made.
pub(super) type Entropy = [[u8; 64]; 2];

/// An attempt to sign in.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// What the answer has to have.
    pub(super) state: String,
    /// What the ID token has to have.
    pub(super) nonce: String,
    /// What proves that the code is ours (RFC 7636, section 4.1).
    pub(super) verifier: String,
    /// Where the person goes on.
    pub(super) return_to: String,
    /// When it ends, in seconds since 1970.
    ends_at: i64,
}

impl Attempt {
    pub(super) fn new(return_to: &str, now: DateTime<Utc>, entropy: &Entropy) -> Self {
        let [[first, second], [third, _]] = halves(entropy);
        let ends_at = now + TimeDelta::seconds(COOKIE_SECONDS.into());
        let goes_on = is_path(return_to) && return_to.len() <= RETURN_BYTES_MAX;
        Self {
            state: URL_SAFE_NO_PAD.encode(first),
            nonce: URL_SAFE_NO_PAD.encode(second),
            verifier: URL_SAFE_NO_PAD.encode(third),
            return_to: if goes_on { return_to.to_owned() } else { "/".to_owned() },
            ends_at: ends_at.timestamp(),
        }
    }

    /// What the provider is told first of [`verifier`](Self::verifier) (RFC 7636, section 4.2).
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }
}

/// Two halves of each.
fn halves(entropy: &Entropy) -> [[&[u8]; 2]; 2] {
    entropy.each_ref().map(|bytes| {
        let (first, second) = bytes.split_at(32);
        [first, second]
    })
}

/// Whether a browser that is sent there stays on this site: it would read others as the names of others.
pub(crate) fn is_path(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    text.starts_with('/') && !text.starts_with("//") && text.bytes().all(plain)
}

/// Seals attempts, with a key that all processes of the same settings have.
pub(super) struct Sealing(Sealer);

impl Sealing {
    pub(super) fn new(settings: &OidcSettings) -> Option<Self> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, settings.client_secret.expose().as_bytes());
        let mut context = hmac::Context::with_key(&secret);
        for part in [AAD, settings.issuer.as_bytes(), settings.client_id.as_bytes()] {
            context.update(part);
            context.update(&[0]);
        }
        Sealer::of(context.sign().as_ref()).map(Self)
    }

    /// The cookie of an attempt.
    pub(super) fn seal(&self, attempt: &Attempt) -> Option<String> {
        let sealed = self.0.seal(&serde_json::to_vec(attempt).ok()?, AAD).ok()?;
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The attempt of a cookie, if it is one of ours and has not ended.
    pub(super) fn open(&self, cookie: &str, now: DateTime<Utc>) -> Option<Attempt> {
        if cookie.len() > COOKIE_BYTES_MAX {
            return None;
        }
        let opened = self.0.open(URL_SAFE_NO_PAD.decode(cookie).ok()?, AAD)?;
        let attempt: Attempt = serde_json::from_slice(&opened).ok()?;
        (now.timestamp() < attempt.ends_at).then_some(attempt)
    }
}
