//! What providers post, as far as hatch reads it. They define it, so more may be there.

use hatch_domain::shape;
use serde_json::{Value, json};

/// Where a provider posts; and the paths for messages that no known provider brings.
const PROVIDER: &str = "/api/v1/webhooks/{provider}";
const MAIL: &str = "/api/v1/webhooks/sendgrid/inbound";
/// Where the router has the one provider that posts mails.
const MAIL_OF_PROVIDER: &str = "/api/v1/webhooks/{provider}/inbound";
/// The same of one account. As `{provider}` could be another path's `replay`, too, each provider has a path of its own.
const OF_ACCOUNT: &str = "/api/v1/webhooks/{provider}/{account}";
const MAIL_OF_ACCOUNT: &str = "/api/v1/webhooks/{provider}/{account}/inbound";
const OF_ACCOUNTS: [(&str, &str); 2] = [
    ("/api/v1/webhooks/twilio/{account}", "receive_twilio_webhook"),
    ("/api/v1/webhooks/sendgrid/{account}", "receive_sendgrid_webhook"),
];
const MAIL_OF_SENDGRID_ACCOUNT: &str = "/api/v1/webhooks/sendgrid/{account}/inbound";
const GENERIC: [&str; 2] = ["/api/webhooks/sms", "/api/webhooks/email"];

/// Describes the bodies of webhooks.
pub(super) fn describe(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object_mut().expect("there are schemas");
    schemas.insert("TwilioWebhook".to_owned(), twilio());
    schemas.insert("SendGridEvent".to_owned(), sendgrid_event());
    schemas.insert("SendGridMail".to_owned(), sendgrid_mail());
    schemas.insert("GenericMessage".to_owned(), generic());
    let form = json!({
        "schema": shape::reference("TwilioWebhook"),
        "example": {"MessageSid": "SM00000000000000000000000000000001",
            "AccountSid": "AC00000000000000000000000000000000", "MessageStatus": "delivered",
            "From": "+12016661234", "To": "+18045551234"},
    });
    let events = json!([{"event": "delivered", "email": "ann@example.com", "sg_event_id": "ZXZlbnQtMQ",
        "sg_message_id": "message-1.recvd-1", "timestamp": 1_764_000_000}]);
    content(
        document,
        PROVIDER,
        json!({
            "application/x-www-form-urlencoded": form.clone(),
            "application/json": {
                "schema": {"oneOf": [
                    {"type": "array", "items": shape::reference("SendGridEvent")},
                    shape::reference("GenericMessage"),
                ]},
                "example": events.clone(),
            },
        }),
    );
    name_the_mails_provider(document);
    name_the_accounts_providers(document);
    let event = shape::reference("SendGridEvent");
    let [(of_twilio, _), (of_sendgrid, _)] = OF_ACCOUNTS;
    content(document, of_twilio, json!({"application/x-www-form-urlencoded": form}));
    content(
        document,
        of_sendgrid,
        json!({"application/json": {
            "schema": {"type": "array", "items": event},
            "example": events,
        }}),
    );
    for path in [MAIL, MAIL_OF_SENDGRID_ACCOUNT] {
        content(
            document,
            path,
            json!({"multipart/form-data": {
                "schema": shape::reference("SendGridMail"),
                "example": {"from": "Ann <ann@example.com>", "to": "support@example.com", "subject": "Hello",
                    "text": "Hi",
                    "envelope": "{\"to\":[\"support@example.com\"],\"from\":\"ann@example.com\"}"},
            }}),
        );
    }
    for path in GENERIC {
        let media =
            &mut document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
        media["schema"] = shape::reference("GenericMessage");
    }
}

/// Only one provider posts mails, and `{provider}` could be read as another path's `replay`.
fn name_the_mails_provider(document: &mut Value) {
    let paths = document["paths"].as_object_mut().expect("there are paths");
    let mut item = paths.remove(MAIL_OF_PROVIDER).expect("mails are posted there");
    if let Some(operation) = item["post"].as_object_mut() {
        operation.remove("parameters");
        operation["responses"].as_object_mut().map(|answers| answers.remove("404"));
    }
    paths.insert(MAIL.to_owned(), item);
}

/// The paths of accounts, each with its provider's name in it.
fn name_the_accounts_providers(document: &mut Value) {
    let paths = document["paths"].as_object_mut().expect("there are paths");
    let item = paths.remove(OF_ACCOUNT).expect("accounts have paths");
    for (path, id) in OF_ACCOUNTS {
        let mut named = without_provider(item.clone());
        named["post"]["operationId"] = json!(id);
        paths.insert(path.to_owned(), named);
    }
    let mails = paths.remove(MAIL_OF_ACCOUNT).expect("mails are posted to accounts, too");
    paths.insert(MAIL_OF_SENDGRID_ACCOUNT.to_owned(), without_provider(mails));
}

/// An operation whose path has the provider's name in it.
fn without_provider(mut item: Value) -> Value {
    if let Some(parameters) = item["post"]["parameters"].as_array_mut() {
        parameters.retain(|parameter| parameter["name"] != "provider");
    }
    item
}

fn content(document: &mut Value, path: &str, content: Value) {
    document["paths"][path]["post"]["requestBody"]["content"] = content;
}

fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn twilio() -> Value {
    json!({
        "type": "object",
        "description": "A message that came in, or the status of one that was sent, as Twilio posts it.",
        "properties": {
            "AccountSid": text("The account."),
            "MessageSid": text("What Twilio calls the message."),
            "From": text("The sender."),
            "To": text("The recipient."),
            "Body": text("The text of a message that came in."),
            "NumMedia": text("How many files came with it: `MediaUrl0`, `MediaContentType0` and so on name them."),
            "NumSegments": text("Into how many parts it was cut."),
            "MessageStatus": text("Where a message that was sent stands."),
            "SmsStatus": text("The same; `received` of one that came in."),
            "ErrorCode": text("Why it failed."),
        },
        "additionalProperties": {"type": "string"},
    })
}

fn sendgrid_event() -> Value {
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

fn sendgrid_mail() -> Value {
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

fn generic() -> Value {
    json!({
        "type": "object",
        "description": "A message that something other than a known provider brings.",
        "required": ["from", "to"],
        "properties": {
            "from": text("The sender."),
            "to": text("The recipient."),
            "type": {"type": ["string", "null"], "enum": ["sms", "mms", "email", null],
                "description": "How it came; inferred when it is left out."},
            "messaging_provider_id": {"type": ["string", "null"], "maxLength": 255,
                "description": "What the provider calls it: of `sms` and `mms`."},
            "xillio_id": {"type": ["string", "null"], "maxLength": 255,
                "description": "What the provider calls it: of `email`."},
            "body": {"type": ["string", "null"], "description": "The text."},
            "attachments": {"type": ["array", "null"], "items": {"type": "string"},
                "description": "URLs of the files."},
            "timestamp": {"type": ["string", "null"], "description": "Kept by the sender; orders nothing."},
        },
        "additionalProperties": false,
    })
}
