//! What SendGrid posts, for the document of the API.

use serde_json::{Value, json};

use super::provider::INBOUND;
use crate::Posted;
use crate::posted::text;

pub(super) fn posted() -> Vec<Posted> {
    let events = Posted {
        suffix: None,
        operations: ["receive_webhook", "receive_sendgrid_webhook"],
        media_type: "application/json",
        name: "SendGridEvent",
        schema: event(),
        is_list: true,
        example: json!([{"event": "delivered", "email": "ann@example.com", "sg_event_id": "ZXZlbnQtMQ",
            "sg_message_id": "message-1.recvd-1", "timestamp": 1_764_000_000}]),
    };
    let mails = Posted {
        suffix: Some(INBOUND),
        operations: ["receive_mail", "receive_mail_of_account"],
        media_type: "multipart/form-data",
        name: "SendGridMail",
        schema: mail(),
        is_list: false,
        example: json!({"from": "Ann <ann@example.com>", "to": "support@example.com", "subject": "Hello",
            "text": "Hi",
            "envelope": "{\"to\":[\"support@example.com\"],\"from\":\"ann@example.com\"}"}),
    };
    vec![events, mails]
}

fn event() -> Value {
    json!({
        "type": "object",
        "description": "An event of SendGrid's Event Webhook.",
        "required": ["event"],
        "properties": {
            "event": text("What happened, such as `delivered` or `bounce`."),
            "email": text("The recipient that it is about."),
            "sg_event_id": text("What SendGrid calls the event."),
            "sg_message_id": text("What SendGrid calls the mail."),
            "timestamp": {"type": "integer", "description": "When, in seconds since 1970."},
            "reason": text("Why it failed."),
            "status": text("The enhanced status code of the receiving server."),
        },
        "additionalProperties": {},
    })
}

fn mail() -> Value {
    json!({
        "type": "object",
        "description": "A mail that came in, as SendGrid's Inbound Parse posts it: in parts, or raw in `email`.",
        "properties": {
            "from": text("The sender, as the mail says it."),
            "to": text("The recipients, as the mail says them."),
            "cc": text("Who got a copy."),
            "subject": text("The subject."),
            "text": text("The text."),
            "html": text("The text as HTML."),
            "headers": text("All header fields."),
            "envelope": text("Sender and recipients of the envelope, as JSON."),
            "charsets": text("The character sets of the fields, as JSON."),
            "SPF": text("What SPF came to."),
            "dkim": text("What DKIM came to."),
            "spam_score": text("How much it looks like advertising."),
            "attachment-info": text("What the files are, as JSON; `attachment1` and so on hold them."),
            "content-ids": text("Which file has which Content-ID, as JSON."),
            "email": text("The whole mail, where the account posts it raw."),
        },
        "additionalProperties": {"type": "string"},
    })
}
