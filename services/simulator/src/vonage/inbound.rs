//! Somebody writes to one of our numbers: Vonage's webhook for it.

use chrono::SecondsFormat;
use serde_json::json;

use super::Account;
use super::signature::signed;
use super::status::without_plus;
use crate::clock;
use crate::control::{InboundFile, InboundRequest};
use crate::delivery::Callback;
use crate::segments;

/// The message's UUID and its signed webhook.
///
/// # Errors
/// The request has more files than Vonage puts into a message.
pub(super) fn inbound(
    account: &Account,
    request: &InboundRequest,
) -> Result<(String, Callback), String> {
    let id = request.provider_message_id.clone().unwrap_or_else(|| clock::new_id().to_string());
    let mut body = json!({
        "channel": if request.attachments.is_empty() { "sms" } else { "mms" },
        "message_uuid": id,
        "to": without_plus(&request.to),
        "from": without_plus(&request.from),
        "timestamp": account.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "origin": {"network_code": "310010"},
    });
    match request.attachments.as_slice() {
        [] => {
            let keyword = request.body.split_whitespace().next().unwrap_or_default();
            let count = segments::count(&request.body).to_string();
            body["message_type"] = "text".into();
            body["text"] = request.body.as_str().into();
            body["sms"] = json!({"num_messages": count, "keyword": keyword.to_uppercase()});
            body["usage"] = json!({"currency": "EUR", "price": "0.0333"});
        }
        [file] => {
            let (url, content_type) = match file {
                InboundFile::Url(url) => (url, None),
                InboundFile::Typed { url, content_type } => (url, content_type.as_deref()),
            };
            let kind = message_type(content_type);
            let name = url.rsplit('/').next().unwrap_or_default();
            body["message_type"] = kind.into();
            body[kind] = json!({"url": url, "name": name});
            if !request.body.is_empty() {
                body[kind]["caption"] = request.body.as_str().into();
            }
        }
        _ => return Err("attachments: expected no more than one, as Vonage delivers".to_owned()),
    }
    Ok((id, signed(&account.webhook_url, &body, account)))
}

/// The type of a message with such a file.
fn message_type(content_type: Option<&str>) -> &'static str {
    let content_type = content_type.unwrap_or("image/jpeg");
    match content_type.split_once('/') {
        Some(("image", _)) => "image",
        Some(("video", _)) => "video",
        Some(("audio", _)) => "audio",
        Some(("text", "vcard" | "x-vcard")) => "vcard",
        _ => "file",
    }
}
