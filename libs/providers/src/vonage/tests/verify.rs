//! Signatures: tokens that another library signed, and every way to be wrong.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::{VonageWebhook, WEBHOOK_PATH};
use super::{SIGNATURE_SECRET, SIGNED_AT, UUID, at, settings, token};
use crate::{RawRequest, Secret, Webhook, WebhookRefusal};

/// What the tokens were signed for.
const BODY: &str = concat!(
    r#"{"message_uuid":"aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab","to":"447700900000","from":"447700900001","#,
    r#""timestamp":"2026-01-31T12:00:00Z","channel":"sms","status":"delivered"}"#,
);

fn webhook(seconds: i64) -> VonageWebhook {
    let settings = settings("https://api.nexmo.com", "https://hatch.example");
    VonageWebhook::new(settings, at(seconds)).expect("good settings")
}

pub(super) fn posted(authorization: &str, body: &str) -> RawRequest {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().expect("a value"));
    headers.insert("authorization", authorization.parse().expect("a value"));
    RawRequest {
        method: Method::POST,
        path_and_query: WEBHOOK_PATH.parse().expect("a path"),
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn verdict(authorization: &str, body: &str) -> Result<(), WebhookRefusal> {
    webhook(SIGNED_AT).verify(&posted(authorization, body)).map(|_| ())
}

/// Signs `header` and `claims` with `secret`.
pub(super) fn signed(header: &Value, claims: &Value, secret: &str) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// A request as Vonage makes it.
pub(super) fn request(body: &str) -> RawRequest {
    let hash: String = Sha256::digest(body).iter().map(|b| format!("{b:02x}")).collect();
    let claims = json!({"iat": SIGNED_AT, "jti": UUID, "iss": "Vonage", "payload_hash": hash});
    let token = signed(&json!({"alg": "HS256", "typ": "JWT"}), &claims, SIGNATURE_SECRET);
    posted(&format!("Bearer {token}"), body)
}

#[test]
fn what_another_library_signed_is_believed() {
    let good = token("good");
    for scheme in ["Bearer", "bearer"] {
        assert_eq!(verdict(&format!("{scheme} {good}"), BODY), Ok(()));
    }
    assert!(webhook(SIGNED_AT).may_be_signed(&posted(&format!("Bearer {good}"), "").headers));
}

#[test]
fn a_token_of_another_algorithm_issuer_or_account_is_not_believed() {
    for name in [
        "hs512",
        "hs384",
        "none",
        "rs256",
        "other_secret",
        "other_issuer",
        "other_key",
        "other_app",
        "no_issuer",
        "no_iat",
        "crit",
    ] {
        let authorization = format!("Bearer {}", token(name));
        let refused = Err(WebhookRefusal::WrongSignature);
        assert_eq!(verdict(&authorization, BODY), refused, "{name}");
        let headers = posted(&authorization, BODY).headers;
        assert!(!webhook(SIGNED_AT).may_be_signed(&headers), "{name}");
    }
}

#[test]
fn whatever_is_changed_is_noticed() {
    let good = token("good");
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let (_, claims) = signed.split_once('.').expect("claims");
    let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    for (what, token) in [
        ("signature", format!("{signed}.A{}", &signature[1..])),
        ("shorter signature", format!("{signed}.{}", &signature[..20])),
        ("no signature", format!("{signed}.")),
        ("padded signature", format!("{good}=")),
        ("header", format!("{none}.{claims}.{signature}")),
        ("claims", good.replacen("eyJpYXQ", "eyJpYXR", 1)),
        ("no base64", "*.*.*".to_owned()),
        ("long", format!("{}.{claims}.{signature}", "A".repeat(5_000))),
    ] {
        let refused = Err(WebhookRefusal::WrongSignature);
        assert_eq!(verdict(&format!("Bearer {token}"), BODY), refused, "{what}");
    }
    let changed = BODY.replace("delivered", "rejected");
    for body in [changed.as_str(), "", &BODY[1..]] {
        let refused = Err(WebhookRefusal::WrongBody);
        assert_eq!(verdict(&format!("Bearer {good}"), body), refused, "{body}");
    }
    let unhashed = format!("Bearer {}", token("no_hash"));
    assert_eq!(verdict(&unhashed, BODY), Err(WebhookRefusal::WrongBody));
}

#[test]
fn without_a_token_nothing_is_believed() {
    for authorization in ["", "Bearer", "Bearer ", "Bearer a.b", "Basic a.b.c", "a.b.c"] {
        let refused = Err(WebhookRefusal::MissingSignature);
        assert_eq!(verdict(authorization, BODY), refused, "{authorization}");
    }
    let mut bare = posted("Bearer a.b.c", BODY);
    bare.headers.remove("authorization");
    let refused = webhook(SIGNED_AT).verify(&bare).map(|_| ());
    assert_eq!(refused, Err(WebhookRefusal::MissingSignature));
}

#[test]
fn a_signature_is_good_for_five_minutes() {
    let request = posted(&format!("Bearer {}", token("good")), BODY);
    for (seconds, expected) in [
        (0, Ok(())),
        (300, Ok(())),
        (-300, Ok(())),
        (301, Err(WebhookRefusal::Stale)),
        (-301, Err(WebhookRefusal::Stale)),
    ] {
        let webhook = webhook(SIGNED_AT + seconds);
        assert_eq!(webhook.verify(&request).map(|_| ()), expected, "{seconds}");
        assert_eq!(webhook.may_be_signed(&request.headers), expected.is_ok(), "{seconds}");
    }
}

/// What a signer may write into a token is no way to end a process.
#[test]
fn a_token_that_is_signed_and_makes_no_sense_is_refused() {
    let header = json!({"alg": "HS256"});
    let claims = json!({"iss": "Vonage", "iat": SIGNED_AT, "payload_hash": "x"});
    for (header, claims) in [
        (json!([]), claims.clone()),
        (json!({"alg": ["HS256"]}), claims),
        (header.clone(), json!(null)),
        (header.clone(), json!({"iss": "Vonage", "iat": "1769860800"})),
        (header.clone(), json!({"iss": "Vonage", "iat": 1e300})),
        (header, json!({"iss": ["Vonage"], "iat": SIGNED_AT})),
    ] {
        let token = signed(&header, &claims, SIGNATURE_SECRET);
        let refused = Err(WebhookRefusal::WrongSignature);
        assert_eq!(verdict(&format!("Bearer {token}"), BODY), refused, "{header} {claims}");
    }
    let earliest = json!({"iss": "Vonage", "iat": i64::MIN});
    let token = signed(&json!({"alg": "HS256"}), &earliest, SIGNATURE_SECRET);
    assert_eq!(verdict(&format!("Bearer {token}"), BODY), Err(WebhookRefusal::Stale));
}

#[test]
fn another_secret_believes_nothing_of_this_one() {
    let good = settings("https://api.nexmo.com", "https://hatch.example");
    let other = super::Settings { signature_secret: Secret::new("another-secret"), ..good };
    let webhook = VonageWebhook::new(other, at(SIGNED_AT)).expect("good settings");
    let verdict = |name| {
        let request = posted(&format!("Bearer {}", token(name)), BODY);
        webhook.verify(&request).map(|_| ())
    };
    assert_eq!(verdict("good"), Err(WebhookRefusal::WrongSignature));
    assert_eq!(verdict("other_secret"), Ok(()));
}
