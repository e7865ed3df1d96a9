//! The adapter over real HTTP against servers that answer, break off or stay silent, and the webhooks against
//! signatures that others made.

use bytes::Bytes;
use hatch_domain::address::Address;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::{Channel, Email};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;
use sha2::Sha256;
use uuid::Uuid;

use super::{MailgunAdapter, Settings};
use crate::stub::Reply;
use crate::{Outbound, RawRequest};

mod codes;
mod configuration;
mod events;
mod inbound;
mod look_up;
mod send;
mod verify;

const API_KEY: &str = "an-api-key";
const SIGNING_KEY: &str = "dev-mailgun-signing-key";
const DOMAIN: &str = "mail.usehatchapp.com";
const MESSAGE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A time and a token.
const TIMESTAMP: &str = "1780000000";
const TOKEN: &str = "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0";

/// Of the two, what openssl made with [`SIGNING_KEY`].
const SIGNATURE: &str = "acaba0c2b3528f433f268e74bdcf386fa0f6c3aba5ef873865abda2f3dddceb0";

fn settings(base_url: &str) -> Settings {
    serde_json::from_value(json!({
        "domain": DOMAIN,
        "api_key": API_KEY,
        "signing_key": SIGNING_KEY,
        "base_url": base_url,
        "http_timeout_ms": 10_000,
        "connect_timeout_ms": 5_000,
    }))
    .expect("well-formed settings")
}

fn adapter(base_url: &str) -> MailgunAdapter {
    MailgunAdapter::new(settings(base_url)).expect("good settings")
}

fn address(text: &str) -> Address {
    Address::email(text).expect("an address")
}

fn outbound() -> Outbound {
    Outbound {
        tenant_id: TenantId::DEFAULT,
        message_id: MessageId(Uuid::parse_str(MESSAGE).expect("a UUID")),
        attempt: 3,
        channel: Channel::Email,
        from: address("user@usehatchapp.com"),
        to: vec![address("customer@example.com")],
        body: Some("Grüße 🥚".to_owned()),
        attachments: Vec::new(),
        email: None,
        traceparent: None,
    }
}

fn with_email(email: Email) -> Outbound {
    Outbound { email: Some(Box::new(email)), ..outbound() }
}

fn reply(status: u16, body: impl Into<String>) -> Reply {
    Reply { status, headers: Vec::new(), body: body.into() }
}

/// The signature of a token that was made now.
fn signature_of(token: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SIGNING_KEY.as_bytes()).expect("a key");
    mac.update(TIMESTAMP.as_bytes());
    mac.update(token.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn request(content_type: &str, body: impl Into<Bytes>) -> RawRequest {
    let mut headers = HeaderMap::new();
    let content_type = HeaderValue::from_str(content_type).expect("a header value");
    headers.insert("content-type", content_type);
    RawRequest {
        method: Method::POST,
        path_and_query: "/api/v1/webhooks/mailgun".parse().expect("a path"),
        headers,
        body: body.into(),
    }
}
