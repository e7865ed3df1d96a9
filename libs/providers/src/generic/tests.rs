//! What generic webhooks mean, and who may post them.

use bytes::Bytes;
use hatch_domain::Channel;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::{GenericWebhook, PATHS, Settings};
use crate::{
    Error, Inbound, NotUnderstood, Observation, RawRequest, Secret, Webhook, WebhookRefusal,
};

const SECRET: &str = "a-secret-of-some-length";

fn open() -> GenericWebhook {
    GenericWebhook::new(Settings { bearer_secret: None, open: true }).expect("good settings")
}

fn request(path: &str, body: &str) -> RawRequest {
    RawRequest {
        method: Method::POST,
        path_and_query: path.parse().expect("a path"),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn parse_text(path: &str, body: &str) -> Result<Inbound, NotUnderstood> {
    let (webhook, request) = (open(), request(path, body));
    let verified = webhook.verify(&request).expect("open");
    let mut observations = webhook.parse(&verified)?;
    assert_eq!(observations.len(), 1);
    match observations.remove(0) {
        Observation::Inbound(inbound) => Ok(inbound),
        other => panic!("{other:?}"),
    }
}

fn parse(path: &str, body: &Value) -> Result<Inbound, NotUnderstood> {
    parse_text(path, &body.to_string())
}

fn sms() -> Value {
    json!({
        "from": "+1 804 555 1234", "to": "+12016661234", "type": "sms",
        "messaging_provider_id": "message-1", "body": "Hi", "attachments": null,
        "timestamp": "2024-11-01T14:00:00Z",
    })
}

fn email() -> Value {
    json!({
        "from": "[contact@gmail.com](mailto:contact@gmail.com)", "to": "user@usehatchapp.com",
        "xillio_id": "message-2", "body": "<b>Hi</b>",
        "attachments": ["https://files.example/a.pdf"], "timestamp": "2024-11-01T14:00:00Z",
    })
}

fn changed(mut body: Value, field: &str, value: impl Into<Value>) -> Value {
    body[field] = value.into();
    body
}

#[test]
fn a_phone_message_is_read_whole() {
    for path in [PATHS[0], PATHS[1]] {
        let inbound = parse(path, &sms()).expect("understood");
        assert_eq!(inbound.account, "generic");
        assert_eq!(inbound.provider_message_id, "message-1");
        assert_eq!(inbound.channel, Channel::Sms);
        assert_eq!(inbound.from.as_str(), "+18045551234");
        assert_eq!(inbound.to[0].as_str(), "+12016661234");
        assert_eq!(inbound.body.as_deref(), Some("Hi"));
        assert!(inbound.attachments.is_empty() && inbound.email.is_none());
    }
}

#[test]
fn a_mail_is_read_whole() {
    for path in [PATHS[0], PATHS[2]] {
        let inbound = parse(path, &email()).expect("understood");
        assert_eq!(inbound.provider_message_id, "message-2");
        assert_eq!(inbound.channel, Channel::Email);
        assert_eq!(inbound.from.as_str(), "contact@gmail.com");
        assert_eq!(inbound.body.as_deref(), Some("<b>Hi</b>"));
        let url = inbound.attachments[0].url.as_deref();
        assert_eq!(url, Some("https://files.example/a.pdf"));
        assert!(inbound.email.is_some());
    }
}

#[test]
fn the_type_decides_and_else_what_the_message_looks_like() {
    let file = json!(["https://files.example/a.jpg"]);
    let with_file = changed(sms(), "attachments", file);
    let cases = [
        (sms(), Channel::Sms),
        (changed(sms(), "type", "mms"), Channel::Mms),
        (changed(sms(), "type", Value::Null), Channel::Sms),
        (with_file.clone(), Channel::Sms),
        (changed(with_file, "type", Value::Null), Channel::Mms),
        (email(), Channel::Email),
        (changed(email(), "type", "email"), Channel::Email),
    ];
    for (body, channel) in cases {
        assert_eq!(parse(PATHS[0], &body).expect("understood").channel, channel, "{body}");
    }
}

#[test]
fn each_refusal_names_its_field() {
    let cases = [
        (PATHS[0], "extra", changed(sms(), "extra", 1)),
        (PATHS[0], "from", changed(sms(), "from", Value::Null)),
        (PATHS[0], "from", changed(sms(), "from", 17)),
        (PATHS[0], "from", changed(sms(), "from", "18045551234")),
        (PATHS[0], "to", changed(sms(), "to", " ")),
        (PATHS[0], "to", changed(sms(), "to", json!(["+12016661234"]))),
        (PATHS[0], "type", changed(sms(), "type", "pigeon")),
        (PATHS[1], "type", changed(sms(), "type", "email")),
        (PATHS[2], "type", changed(email(), "type", "sms")),
        (PATHS[0], "body", changed(sms(), "body", "")),
        (PATHS[0], "body", changed(sms(), "body", 1)),
        (PATHS[0], "body", changed(sms(), "body", "a\0b")),
        (PATHS[0], "attachments", changed(sms(), "attachments", "https://x.example")),
        (PATHS[0], "attachments", changed(sms(), "attachments", json!(["a.jpg"]))),
        (PATHS[0], "attachments", changed(sms(), "attachments", json!(["file:///etc/passwd"]))),
        (PATHS[0], "timestamp", changed(sms(), "timestamp", 1)),
        (PATHS[0], "messaging_provider_id", changed(sms(), "messaging_provider_id", "")),
        (
            PATHS[0],
            "messaging_provider_id",
            changed(sms(), "messaging_provider_id", "x".repeat(256)),
        ),
        (PATHS[0], "xillio_id", changed(sms(), "xillio_id", "message-2")),
        (PATHS[2], "xillio_id", changed(email(), "xillio_id", Value::Null)),
        (PATHS[2], "messaging_provider_id", changed(email(), "messaging_provider_id", "x")),
        (PATHS[2], "from", changed(email(), "from", "+18045551234")),
    ];
    for (path, field, body) in cases {
        let named = match parse(path, &body).expect_err("refused") {
            NotUnderstood::Field { field, .. } | NotUnderstood::Unknown { field } => field,
            NotUnderstood::Missing { field } | NotUnderstood::Address { field, .. } => {
                field.to_owned()
            }
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(named, field, "{body}");
    }
    for body in ["[]", "null", "1"] {
        let refused = parse_text(PATHS[0], body);
        assert!(matches!(refused, Err(NotUnderstood::ContentType { .. })), "{body}: {refused:?}");
    }
    for (body, column) in [("", 0), ("{", 1), ("from=1", 2), ("{\"from\": }", 10)] {
        let refused = parse_text(PATHS[0], body).expect_err("no JSON");
        assert_eq!(refused, NotUnderstood::NotJson { line: 1, column }, "{body}");
    }
    assert!(open().refuses_nonsense());
}

#[test]
fn with_a_secret_only_those_who_show_it_are_believed() {
    let settings = Settings { bearer_secret: Some(Secret::new(SECRET)), open: false };
    assert!(!format!("{settings:?}").contains(SECRET));
    let webhook = GenericWebhook::new(settings).expect("good settings");
    let verdict = |authorization: Option<&str>| {
        let mut request = request(PATHS[0], "{}");
        if let Some(text) = authorization {
            request.headers.insert("authorization", text.parse().expect("a value"));
        }
        webhook.verify(&request).map(|_| ())
    };
    assert_eq!(verdict(Some(&format!("Bearer {SECRET}"))), Ok(()));
    assert_eq!(verdict(Some(&format!("bearer {SECRET}"))), Ok(()));
    assert_eq!(verdict(None), Err(WebhookRefusal::MissingSecret));
    let shorter = format!("Bearer {}", &SECRET[1..]);
    for wrong in [SECRET, "Bearer", "Bearer ", "Bearer other-secret-of-length", &shorter] {
        assert_eq!(verdict(Some(wrong)), Err(WebhookRefusal::WrongSecret), "{wrong}");
    }
    assert_eq!(verdict(Some(&format!("Basic {SECRET}"))), Err(WebhookRefusal::WrongSecret));
}

#[test]
fn who_may_post_has_to_be_said() {
    let secret = |text: &str| Some(Secret::new(text));
    let wrong = [
        ("bearer_secret", Settings::default()),
        ("bearer_secret", Settings { bearer_secret: secret("short"), open: false }),
        ("open", Settings { bearer_secret: secret(SECRET), open: true }),
    ];
    for (key, settings) in wrong {
        match GenericWebhook::new(settings).err() {
            Some(Error::Setting { setting, .. }) => assert_eq!(setting, key),
            other => panic!("{key}: {other:?}"),
        }
    }
}

#[test]
fn success_is_json() {
    let answer = open().success();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
}
