//! What Mailgun posts, for the document of the API.

use serde_json::{Value, json};

use super::provider::INBOUND;
use crate::Posted;
use crate::posted::text;

pub(super) fn posted() -> Vec<Posted> {
    let signature = json!({"timestamp": "1764000000", "token": "a8ce0edb2dd8301dee6c2405235584e4",
        "signature": "d2271d12299f6592d9d44cd9d250f0704e4674c30d79d07c47a66f95ce71cf55"});
    let events = Posted {
        suffix: None,
        operations: ["receive_webhook", "receive_mailgun_webhook"],
        media_type: "application/json",
        name: "MailgunEvent",
        schema: event(),
        is_list: false,
        example: json!({"signature": signature, "event-data": {"event": "delivered", "id": "event-1",
            "timestamp": 1_764_000_000, "recipient": "ann@example.com",
            "message": {"headers": {"message-id": "message-1@mail.example.com"}}}}),
    };
    let mut mail_example = signature;
    for (field, value) in [
        ("recipient", "support@mail.example.com"),
        ("sender", "ann@example.com"),
        ("from", "Ann <ann@example.com>"),
        ("subject", "Hello"),
        ("body-plain", "Hi"),
    ] {
        mail_example[field] = value.into();
    }
    let mails = Posted {
        suffix: Some(INBOUND),
        operations: ["receive_mailgun_mail", "receive_mailgun_mail_of_account"],
        media_type: "multipart/form-data",
        name: "MailgunMail",
        schema: mail(),
        is_list: false,
        example: mail_example,
    };
    vec![events, mails]
}

fn event() -> Value {
    json!({
        "type": "object",
        "description": "An event of Mailgun's, with the signature of who posts it.",
        "required": ["signature", "event-data"],
        "properties": {
            "signature": {
                "type": "object",
                "description": "Proves who posts it.",
                "required": ["timestamp", "token", "signature"],
                "properties": {
                    "timestamp": text("When, in seconds since 1970."),
                    "token": text("What no other request has."),
                    "signature": text("HMAC-SHA256 of the two, in hexadecimal digits."),
                },
                "additionalProperties": {},
            },
            "event-data": {
                "type": "object",
                "description": "What happened.",
                "additionalProperties": {},
            },
        },
        "additionalProperties": {},
    })
}

fn mail() -> Value {
    json!({
        "type": "object",
        "description": "A mail that came in by a route of Mailgun's: in fields, or whole in `body-mime`.",
        "required": ["timestamp", "token", "signature"],
        "properties": {
            "recipient": text("Whom the mail was brought to."),
            "sender": text("Who sent it, by its envelope."),
            "from": text("The sender, as the mail says it."),
            "subject": text("The subject."),
            "body-plain": text("The text."),
            "body-html": text("The text as HTML."),
            "body-mime": text("The whole mail."),
            "message-headers": text("The headers, as a JSON list of pairs."),
            "attachment-count": text("How many files there are: `attachment-1` and so on."),
            "content-id-map": text("By which Content-ID the HTML shows which file, as JSON."),
            "timestamp": text("When, in seconds since 1970."),
            "token": text("What no other request has."),
            "signature": text("HMAC-SHA256 of the two, in hexadecimal digits."),
        },
        "additionalProperties": {},
    })
}
