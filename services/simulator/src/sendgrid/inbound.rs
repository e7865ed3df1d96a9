//! Somebody writes to one of our addresses: SendGrid's Inbound Parse for it.

use serde_json::json;

use super::signature::signed;
use crate::control::{InboundFile, InboundRequest};
use crate::delivery::Callback;
use crate::server::Simulator;
use crate::{Clock, clock};

/// Below the public URL of hatch.
const WEBHOOK_PATH: &str = "/api/v1/webhooks/sendgrid/inbound";

/// The mail's Message-ID, without its angle brackets, and its signed webhook, of the account that is asked for, or of
/// the first; `None` without one.
pub(crate) fn inbound(
    simulator: &Simulator,
    request: InboundRequest,
) -> Option<(String, Callback)> {
    let account = match &request.account {
        Some(name) => simulator.sendgrid.account(name)?,
        None => simulator.sendgrid.accounts.first()?,
    };
    let id = request
        .provider_message_id
        .as_deref()
        .map(|id| id.trim_matches(['<', '>']).to_owned())
        .unwrap_or_else(|| format!("{}@mail.example.com", clock::new_id().simple()));
    let boundary = format!("xYzZY{}", clock::new_id().simple());
    let body = form(&request, &id, &boundary, &account.clock);
    let base = simulator.config.public_url.as_str().trim_end_matches('/');
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let url = account.inbound_url.clone().unwrap_or_else(|| format!("{base}{WEBHOOK_PATH}"));
    Some((id, signed(&url, content_type, body, account)))
}

fn form(request: &InboundRequest, id: &str, boundary: &str, clock: &Clock) -> Vec<u8> {
    let subject = request.subject.as_deref().unwrap_or_default();
    let envelope = json!({"to": [bare(&request.to)], "from": bare(&request.from)}).to_string();
    let charsets = json!({
        "to": "UTF-8", "from": "UTF-8", "subject": "UTF-8", "text": "utf-8", "html": "utf-8",
    });
    let files: Vec<(String, String, String)> = request.attachments.iter().map(file).collect();
    let numbered =
        || files.iter().enumerate().map(|(n, file)| (format!("attachment{}", n + 1), file));
    let infos = numbered().map(|(name, (filename, media_type, _))| {
        (name.clone(), json!({"filename": filename, "name": filename, "type": media_type}))
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
    let mut body = String::new();
    for (name, value) in fields {
        body += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
    }
    for (name, (filename, media_type, content)) in numbered() {
        body += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; \
             filename=\"{filename}\"\r\nContent-Type: {media_type}\r\n\r\n{content}\r\n"
        );
    }
    body += &format!("--{boundary}--\r\n");
    body.into_bytes()
}

/// The block of the mail's own headers.
fn headers(request: &InboundRequest, id: &str, clock: &Clock) -> String {
    let date = clock.now().format("%a, %d %b %Y %H:%M:%S +0000");
    let one_line = |text: &str| text.replace(['\r', '\n'], " ");
    let mut lines = vec![
        "Received: by mx.sendgrid.net".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        format!("From: {}", one_line(&request.from)),
        format!("To: {}", one_line(&request.to)),
        format!("Date: {date}"),
        format!("Message-ID: {}", bracketed(id)),
    ];
    if let Some(answered) = &request.in_reply_to {
        lines.push(format!("In-Reply-To: {}", bracketed(answered)));
    }
    if !request.references.is_empty() {
        let ids: Vec<String> = request.references.iter().map(|id| bracketed(id)).collect();
        lines.push(format!("References: {}", ids.join("\r\n ")));
    }
    lines.join("\r\n") + "\r\n"
}

/// Name, type and content of a file. The content stands for what would be at its URL.
fn file(file: &InboundFile) -> (String, String, String) {
    let (url, media_type) = match file {
        InboundFile::Url(url) => (url, None),
        InboundFile::Typed { url, content_type } => (url, content_type.as_ref()),
    };
    let name = url.rsplit('/').next().unwrap_or_default().replace(['"', '\r', '\n'], "_");
    let media_type = media_type.map_or("application/octet-stream", String::as_str);
    (name, media_type.to_owned(), format!("the file of {url}"))
}

fn bracketed(id: &str) -> String {
    format!("<{}>", id.trim_matches(['<', '>']))
}

/// The address of `Name <address>`.
fn bare(mailbox: &str) -> &str {
    let address = mailbox.rsplit_once('<').map_or(mailbox, |(_, rest)| rest);
    address.trim_end_matches('>').trim()
}
