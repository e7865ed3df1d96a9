//! Twilio's request signature: HMAC-SHA1 of the URL and the sorted form parameters
//! (<https://www.twilio.com/docs/usage/webhooks/webhooks-security>).

use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, Mac};
use http::header::{CONTENT_TYPE, HeaderMap};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

use crate::{RawRequest, Secret, WebhookRefusal};

const HEADER: &str = "x-twilio-signature";

/// Fields of a form at most; Twilio sends some dozens.
const FIELDS_MAX: usize = 1_000;

/// The only kind of body whose content is covered by the signature itself.
const FORM: &str = "application/x-www-form-urlencoded";

/// Whether there is a signature at all.
pub(super) fn is_there(headers: &HeaderMap) -> bool {
    headers.contains_key(HEADER)
}

/// Checks that `request`, made to `public_url`, was signed with one of `tokens`.
pub(super) fn verify(
    public_url: &Url,
    tokens: &[&Secret],
    request: &RawRequest,
) -> Result<(), WebhookRefusal> {
    let signature = request.headers.get(HEADER).ok_or(WebhookRefusal::MissingSignature)?;
    let signature =
        BASE64_STANDARD.decode(signature).map_err(|_| WebhookRefusal::WrongSignature)?;
    let params = if is_form(request) {
        if has_many_fields(&request.body) {
            return Err(WebhookRefusal::TooManyFields);
        }
        joined(&request.body)
    } else {
        String::new()
    };
    let signed_by_us = urls(public_url, request).iter().any(|url| {
        tokens.iter().any(|token| {
            let mut mac = Hmac::<Sha1>::new_from_slice(token.expose().as_bytes())
                .expect("HMAC takes a key of any length");
            mac.update(url.as_bytes());
            mac.update(params.as_bytes());
            mac.verify_slice(&signature).is_ok() // in constant time
        })
    });
    if !signed_by_us {
        return Err(WebhookRefusal::WrongSignature);
    }
    if is_form(request) || request.body.is_empty() || has_signed_hash(request) {
        Ok(())
    } else {
        Err(WebhookRefusal::WrongBody)
    }
}

/// Whether the body is a form.
pub(super) fn is_form(request: &RawRequest) -> bool {
    let content_type = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(FORM)
}

/// Whether a form has more fields than are looked at. Counted before any of them is decoded or sorted.
pub(super) fn has_many_fields(body: &[u8]) -> bool {
    memchr::memchr_iter(b'&', body).nth(FIELDS_MAX - 1).is_some()
}

/// The parameters as they are signed: keys in byte order, each followed by its distinct values in
/// byte order, with nothing in between.
fn joined(body: &[u8]) -> String {
    let mut params: Vec<_> = form_urlencoded::parse(body).collect();
    params.sort_unstable();
    params.dedup();
    let mut text = String::with_capacity(body.len());
    for (key, value) in &params {
        text.push_str(key);
        text.push_str(value);
    }
    text
}

/// The URL as Twilio may have signed it: with its port and without. Twilio keeps the port for some
/// kinds of request and drops it for others, so its own libraries try both.
fn urls(public_url: &Url, request: &RawRequest) -> [String; 2] {
    let host = public_url.host_str().unwrap_or_default();
    let path = public_url.path().trim_end_matches('/');
    let port =
        public_url.port_or_known_default().map_or_else(String::new, |port| format!(":{port}"));
    let url = |port: &str| {
        format!("{}://{host}{port}{path}{}", public_url.scheme(), request.path_and_query)
    };
    [url(""), url(&port)]
}

/// Whether the signed URL carries the hash of the body: so bodies that are no forms are covered.
fn has_signed_hash(request: &RawRequest) -> bool {
    let query = request.path_and_query.query().unwrap_or_default();
    let hash: String = Sha256::digest(&request.body).iter().map(|b| format!("{b:02x}")).collect();
    form_urlencoded::parse(query.as_bytes())
        .any(|(key, value)| key == "bodySHA256" && value.eq_ignore_ascii_case(&hash))
}
