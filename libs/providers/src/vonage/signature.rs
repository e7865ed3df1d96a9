//! Vonage's signed webhooks: a JWT (RFC 7519) in the header, signed with HS256 by the account's signature secret, that
//! has the hash of the body (<https://developer.vonage.com/getting-started/concepts/webhooks>).
//!
//! What a token says is read only once its signature was found good. Which algorithm it asks for decides nothing: there
//! is one, and a token that names another is refused. A request that comes again within the time is believed again, and
//! changes nothing, because what it says is known by its ids.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use http::header::{AUTHORIZATION, HeaderMap};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use crate::{RawRequest, Secret, WebhookRefusal};

/// Bytes of a token at most; Vonage's have some hundreds.
const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// By how much the time of a signature and ours may differ, in seconds.
const AGE_S_MAX: u64 = 300;

const ALGORITHM: &str = "HS256";
const ISSUER: &str = "Vonage";

/// Whose webhooks are believed.
#[derive(Clone, Copy)]
pub(super) struct Signer<'a> {
    pub(super) secret: &'a Secret,
    pub(super) api_key: &'a str,
    pub(super) application_id: Option<&'a str>,
}

/// How a token says that it is signed.
#[derive(Deserialize)]
struct Header {
    alg: String,
    /// What must be understood for the token to be believed: there is nothing that we do.
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

/// What a token says.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: i64,
    /// The SHA-256 of the body, in hexadecimal digits.
    payload_hash: Option<String>,
    api_key: Option<String>,
    application_id: Option<String>,
}

/// Whether the headers have a good signature, of whatever body.
pub(super) fn is_there(signer: Signer<'_>, now: DateTime<Utc>, headers: &HeaderMap) -> bool {
    claims(signer, now, headers).is_ok()
}

/// Checks that `request` was signed by the account, and not long before `now`.
pub(super) fn verify(
    signer: Signer<'_>,
    now: DateTime<Utc>,
    request: &RawRequest,
) -> Result<(), WebhookRefusal> {
    let claims = claims(signer, now, &request.headers)?;
    let signed = claims.payload_hash.ok_or(WebhookRefusal::WrongBody)?;
    let hash: String = Sha256::digest(&request.body).iter().map(|b| format!("{b:02x}")).collect();
    signed.eq_ignore_ascii_case(&hash).then_some(()).ok_or(WebhookRefusal::WrongBody)
}

/// What the token says, where it is the account's and of now.
fn claims(
    signer: Signer<'_>,
    now: DateTime<Utc>,
    headers: &HeaderMap,
) -> Result<Claims, WebhookRefusal> {
    let token = token(headers).ok_or(WebhookRefusal::MissingSignature)?;
    let claims: Claims = signed_by(signer.secret, token)
        .and_then(|claims| serde_json::from_slice(&claims).ok())
        .ok_or(WebhookRefusal::WrongSignature)?;
    let is_foreign = |named: &Option<String>, own: Option<&str>| {
        own.zip(named.as_deref()).is_some_and(|(own, named)| !own.eq_ignore_ascii_case(named))
    };
    if claims.iss != ISSUER
        || is_foreign(&claims.api_key, Some(signer.api_key))
        || is_foreign(&claims.application_id, signer.application_id)
    {
        return Err(WebhookRefusal::WrongSignature);
    }
    if claims.iat.abs_diff(now.timestamp()) > AGE_S_MAX {
        return Err(WebhookRefusal::Stale);
    }
    Ok(claims)
}

/// The token of the header `Authorization`.
fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let is_one = scheme.eq_ignore_ascii_case("bearer") && token.split('.').count() == 3;
    Some(token).filter(|_| is_one)
}

/// The claims of a token, where `secret` signed them; as bytes.
fn signed_by(secret: &Secret, token: &str) -> Option<Vec<u8>> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    mac.update(signed.as_bytes());
    mac.verify_slice(&decode(signature)?).ok()?; // in constant time
    let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
    let is_understood = header.alg == ALGORITHM && header.crit.is_none();
    decode(claims).filter(|_| is_understood)
}
