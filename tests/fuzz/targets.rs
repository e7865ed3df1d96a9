//! What is done with random bytes: each function reads them as one of those that strangers write is read.
//! It must end, soon, without a panic, and keep what it makes of them within its limits.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hatch_domain::address::Address;
use hatch_domain::{Environment, Wait};
use hatch_providers::generic::GenericWebhook;
use hatch_providers::mailgun::{MailgunEvents, MailgunRoutes};
use hatch_providers::sendgrid::{SendGridEvents, SendGridInbound};
use hatch_providers::twilio::TwilioWebhook;
use hatch_providers::vonage::VonageWebhook;
use hatch_providers::{Observation, RawRequest, Verified, Webhook};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use uuid::Uuid;

/// Addresses of a field, and files of a mail, at most.
const LIST_MAX: usize = 500;

const PUBLIC_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHpiceljrYb6KGXWPKxtJEq8kDqAfvPPZq7m7m0Ye1HDa\
                          +vXmxOhozGFcipvrk4U82oGdYO3jb0R9XW1eKrBlOQ==";

fn settings<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("settings")
}

static MAILS: LazyLock<SendGridInbound> = LazyLock::new(|| {
    let account = settings(json!({"api_key": "SG.x", "event_public_keys": [PUBLIC_KEY]}));
    SendGridInbound::new(&account).expect("settings")
});

static EVENTS: LazyLock<SendGridEvents> = LazyLock::new(|| {
    let account = settings(json!({"api_key": "SG.x", "event_public_keys": [PUBLIC_KEY]}));
    SendGridEvents::new(&account).expect("settings")
});

static TWILIO: LazyLock<TwilioWebhook> = LazyLock::new(|| {
    TwilioWebhook::new(settings(json!({
        "account_sid": "AC00000000000000000000000000000000",
        "auth_token": "12345",
        "public_url": "https://hatch.example.com",
    })))
    .expect("settings")
});

/// A clock that stands.
struct Standing;

impl Environment for Standing {
    fn now(&self) -> DateTime<Utc> {
        DateTime::<Utc>::UNIX_EPOCH
    }

    fn uptime(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> Wait<'_> {
        Box::pin(std::future::ready(()))
    }

    fn new_id(&self) -> Uuid {
        Uuid::nil()
    }

    fn chance(&self) -> f64 {
        0.0
    }
}

static VONAGE: LazyLock<VonageWebhook> = LazyLock::new(|| {
    let account = settings(json!({
        "api_key": "a", "api_secret": "12345", "signature_secret": "12345",
        "public_url": "https://hatch.example.com",
    }));
    VonageWebhook::new(account, Arc::new(Standing)).expect("settings")
});

fn mailgun() -> Value {
    json!({"domain": "mail.example.com", "api_key": "12345", "signing_key": "12345"})
}

static ROUTES: LazyLock<MailgunRoutes> =
    LazyLock::new(|| MailgunRoutes::new(&settings(mailgun())).expect("settings"));

static MAIL_EVENTS: LazyLock<MailgunEvents> =
    LazyLock::new(|| MailgunEvents::new(&settings(mailgun())).expect("settings"));

static GENERIC: LazyLock<GenericWebhook> = LazyLock::new(|| {
    GenericWebhook::new(settings(json!({"bearer_secret": "0123456789abcdef0123456789abcdef"})))
        .expect("settings")
});

fn request(path: &str, content_type: &str, body: &[u8]) -> RawRequest {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_str(content_type).expect("a type"));
    headers.insert("x-twilio-signature", HeaderValue::from_static("AAAA"));
    RawRequest {
        method: Method::POST,
        path_and_query: path.parse().expect("a path"),
        headers,
        body: Bytes::copy_from_slice(body),
    }
}

/// Reads the request, whoever signed it.
fn read(webhook: &dyn Webhook, request: &RawRequest) {
    let _ = webhook.verify(request);
    let _ = webhook.once(&Verified::kept(request));
    let Ok(observations) = webhook.parse(&Verified::kept(request)) else { return };
    for observation in observations {
        let Observation::Inbound(inbound) = observation else { continue };
        assert!(inbound.to.len() <= LIST_MAX && inbound.attachments.len() <= LIST_MAX);
        let email = inbound.email.unwrap_or_default();
        assert!(email.cc.len() <= LIST_MAX && email.references.len() <= 100);
        assert!(inbound.body.is_none_or(|body| !body.contains('\0')));
    }
}

/// A mail as it was carried.
pub(crate) fn mail(bytes: &[u8]) {
    let head = b"--B\r\nContent-Disposition: form-data; name=\"envelope\"\r\n\r\n\
        {\"to\":[\"user@example.com\"],\"from\":\"ann@example.com\"}\r\n\
        --B\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\n";
    let body = [&head[..], bytes, b"\r\n--B--\r\n"].concat();
    read(&*MAILS, &request("/", "multipart/form-data; boundary=B", &body));
}

/// A form of several parts, as mails are posted.
pub(crate) fn inbound_form(bytes: &[u8]) {
    let request = request("/", "multipart/form-data; boundary=B", bytes);
    read(&*MAILS, &request);
    read(&*ROUTES, &request);
}

/// A form of fields, as receipts and texts are posted, and mails without files.
pub(crate) fn twilio_form(bytes: &[u8]) {
    let request = request("/", "application/x-www-form-urlencoded", bytes);
    read(&*TWILIO, &request);
    read(&*ROUTES, &request);
}

/// JSON that is posted: events, statuses and texts of providers, and messages of nobody that we know.
pub(crate) fn webhook_json(bytes: &[u8]) {
    for path in ["/api/webhooks/sms", "/api/webhooks/email", "/api/v1/webhooks/generic"] {
        read(&*GENERIC, &request(path, "application/json", bytes));
    }
    let request = request("/", "application/json", bytes);
    for webhook in [&*EVENTS as &dyn Webhook, &*MAIL_EVENTS, &*VONAGE] {
        read(webhook, &request);
    }
}

/// What a client asks to be sent.
pub(crate) fn send_request(bytes: &[u8]) {
    let _ = hatch_api::commands::takes_send_request(bytes);
}

/// Phone numbers and other addresses.
pub(crate) fn addresses(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for parse in [Address::phone, Address::email, Address::name] {
        if let Ok(address) = parse(text) {
            assert_eq!(parse(address.as_str()), Ok(address), "it is in its normal form");
        }
    }
    for receive in [Address::received_phone, Address::received_mailbox] {
        let address = receive(text);
        assert_eq!(receive(address.as_str()), address, "it is in its normal form");
        let identity = address.identity().into_owned();
        assert_eq!(identity.identity().into_owned(), identity, "it is its own identity");
        assert_eq!(identity.kind(), address.kind(), "it is of the same kind");
    }
}
