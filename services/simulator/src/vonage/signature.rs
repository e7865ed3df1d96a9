//! How Vonage signs its webhooks: a token whose claims have the hash of the body.

use axum::body::Bytes;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use ring::digest::{SHA256, digest};
use ring::hmac;
use serde_json::{Value, json};

use super::Account;
use crate::clock;
use crate::delivery::Callback;

/// A body in JSON, signed by `account` and ready to be posted to `url`.
pub(super) fn signed(url: &str, body: &Value, account: &Account) -> Callback {
    let body = body.to_string().into_bytes();
    let hash = digest(&SHA256, &body);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let claims = json!({
        "iat": account.clock.now().timestamp(),
        "jti": clock::new_id(),
        "iss": "Vonage",
        "payload_hash": hash,
        "api_key": account.api_key,
        "application_id": account.application_id,
    });
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let signed = format!("{}.{}", part(&header), part(&claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, account.signature_secret.as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    Callback {
        url: url.to_owned(),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("user-agent", "Vonage".to_owned()),
            ("authorization", format!("Bearer {signed}.{signature}")),
        ],
        body: Bytes::from(body),
        refusal: None,
    }
}
