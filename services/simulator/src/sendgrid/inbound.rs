//! Somebody writes to one of our addresses: SendGrid's Inbound Parse for it.

use serde_json::json;

use super::Account;
use super::signature::signed;
use crate::Clock;
use crate::control::InboundRequest;
use crate::delivery::Callback;
use crate::inbound_mail::{self, File, Form, bare};

/// The mail's Message-ID, without its angle brackets, and its signed webhook.
pub(super) fn inbound(account: &Account, request: &InboundRequest) -> (String, Callback) {
    let id = inbound_mail::message_id(request);
    let (content_type, body) = form(request, &id, &account.clock).finish();
    (id, signed(&account.inbound_url, content_type, body, account))
}

fn form(request: &InboundRequest, id: &str, clock: &Clock) -> Form {
    let subject = request.subject.as_deref().unwrap_or_default();
    let envelope = json!({"to": [bare(&request.to)], "from": bare(&request.from)}).to_string();
    let charsets = json!({
        "to": "UTF-8", "from": "UTF-8", "subject": "UTF-8", "text": "utf-8", "html": "utf-8",
    });
    let files: Vec<File> = request.attachments.iter().map(File::of).collect();
    let numbered =
        || files.iter().enumerate().map(|(n, file)| (format!("attachment{}", n + 1), file));
    let infos = numbered().map(|(name, File { filename, media_type, .. })| {
        (name, json!({"filename": filename, "name": filename, "type": media_type}))
    });
    let infos = serde_json::Value::Object(infos.collect()).to_string();
    let (charsets, count) = (charsets.to_string(), files.len().to_string());
    let headers = headers(request, id, clock);
    let fields = [
        ("headers", headers.as_str()),
        ("dkim", "{@example.com : pass}"),
        ("to", &request.to),
        ("from", &request.from),
        ("subject", subject),
        ("text", &request.body),
        ("sender_ip", "127.0.0.1"),
        ("spam_score", "0.1"),
        ("SPF", "pass"),
        ("envelope", &envelope),
        ("charsets", &charsets),
        ("attachments", &count),
        ("attachment-info", &infos),
    ];
    let mut form = Form::new();
    for (name, value) in fields {
        form.field(name, value);
    }
    for (name, file) in numbered() {
        form.file(&name, file);
    }
    form
}

/// The block of the mail's own headers.
fn headers(request: &InboundRequest, id: &str, clock: &Clock) -> String {
    let received = "Received: by mx.sendgrid.net\r\n".to_owned();
    let lines = inbound_mail::headers(request, id, clock);
    lines.iter().fold(received, |lines, (name, value)| lines + &format!("{name}: {value}\r\n"))
}
