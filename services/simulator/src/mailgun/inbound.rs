//! Somebody writes to one of our addresses: a route of Mailgun's that forwards it.

use serde_json::json;

use super::Account;
use super::signature::{Signed, callback, sign};
use crate::control::InboundRequest;
use crate::delivery::Callback;
use crate::inbound_mail::{self, File, Form, bare};

/// The mail's Message-ID, without its angle brackets, and its signed webhook.
pub(super) fn inbound(account: &Account, request: &InboundRequest) -> (String, Callback) {
    let id = inbound_mail::message_id(request);
    let (content_type, body) = form(account, request, &id).finish();
    (id, callback(&account.inbound_url, content_type, body))
}

fn form(account: &Account, request: &InboundRequest, id: &str) -> Form {
    let subject = request.subject.as_deref().unwrap_or_default();
    let mut headers = inbound_mail::headers(request, id, &account.clock);
    headers.push(("Subject", subject.replace(['\r', '\n'], " ")));
    // A form has each on one line.
    let headers: Vec<_> =
        headers.into_iter().map(|(name, value)| (name, value.replace("\r\n ", " "))).collect();
    let listed: Vec<_> = headers.iter().map(|(name, value)| json!([name, value])).collect();
    let Signed { timestamp, token, signature } = sign(account);
    let mut form = Form::new();
    let fields = [
        ("recipient", bare(&request.to)),
        ("sender", bare(&request.from)),
        ("from", &request.from),
        ("subject", subject),
        ("body-plain", &request.body),
        ("stripped-text", &request.body),
        ("stripped-signature", ""),
        ("timestamp", &timestamp),
        ("token", &token),
        ("signature", &signature),
        ("message-headers", &serde_json::Value::from(listed).to_string()),
    ];
    for (name, value) in fields {
        form.field(name, value);
    }
    // Every header is a field of its own, too.
    for (name, value) in &headers {
        form.field(name, value);
    }
    let files: Vec<File> = request.attachments.iter().map(File::of).collect();
    if !files.is_empty() {
        form.field("attachment-count", &files.len().to_string());
        form.field("content-id-map", "{}");
    }
    for (n, file) in (1..).zip(&files) {
        form.file(&format!("attachment-{n}"), file);
    }
    form
}
