//! Status webhooks: what becomes of an accepted message.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Account;
use super::error::reported;
use super::signature::signed;
use crate::behaviour::Receipt;
use crate::delivery::Callback;
use crate::record::Message;
use crate::segments;

/// What the statuses of a message have to tell beside what the record has of every message.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct More {
    pub(super) channel: String,
    pub(super) client_ref: Option<String>,
    pub(super) webhook_version: Option<String>,
}

/// The signed request.
pub(super) fn request(
    account: &Account,
    message: &Message,
    callback: &str,
    receipt: Receipt,
    delay_ms: u64,
) -> Callback {
    let after_ms = if receipt == Receipt::Sent { delay_ms / 2 } else { delay_ms };
    let after = TimeDelta::milliseconds(i64::try_from(after_ms).unwrap_or(i64::MAX));
    let at = message.accepted_at.checked_add_signed(after).unwrap_or(message.accepted_at);
    signed(callback, &status(message, receipt, at), account)
}

fn status(message: &Message, receipt: Receipt, at: DateTime<Utc>) -> Value {
    let more = message.more.as_deref().cloned().unwrap_or_default();
    let More { channel, client_ref, webhook_version } =
        serde_json::from_value(more).unwrap_or_default();
    let mut status = json!({
        "message_uuid": message.provider_message_id,
        "to": without_plus(&message.to),
        "from": without_plus(&message.from),
        "timestamp": at.to_rfc3339_opts(SecondsFormat::Millis, true),
        "status": name(receipt),
        "channel": channel,
    });
    if let Some(client_ref) = client_ref {
        status["client_ref"] = client_ref.into();
    }
    if receipt == Receipt::Sent || receipt == Receipt::Delivered {
        status["usage"] = json!({"currency": "EUR", "price": "0.0333"});
        status["destination"] = json!({"network_code": "310010"});
    }
    if channel == "sms" {
        status["sms"] = json!({"count_total": segments::count(&message.body).to_string()});
    }
    if let Some((code, title, detail)) = failure(receipt) {
        status["error"] = match webhook_version.as_deref() {
            Some("v0.1") => json!({"code": code, "reason": title}),
            _ => reported(code, title, detail, &message.provider_message_id),
        };
    }
    status
}

/// Vonage's word for it.
const fn name(receipt: Receipt) -> &'static str {
    match receipt {
        Receipt::Sent => "submitted",
        Receipt::Delivered => "delivered",
        Receipt::Undelivered => "undeliverable",
        Receipt::Invalid | Receipt::OptedOut => "rejected",
    }
}

/// Code, title and detail of what went wrong.
const fn failure(receipt: Receipt) -> Option<(u32, &'static str, &'static str)> {
    match receipt {
        Receipt::Sent | Receipt::Delivered => None,
        Receipt::Undelivered => {
            Some((1260, "Destination unreachable", "The message could not be delivered."))
        }
        Receipt::Invalid => {
            Some((1170, "Invalid or Missing Msisdn Param", "Nobody has the number."))
        }
        Receipt::OptedOut => {
            Some((1240, "Illegal Sender Address - rejected", "The recipient has opted out."))
        }
    }
}

/// A number as Vonage writes it.
pub(super) fn without_plus(address: &str) -> &str {
    address.strip_prefix('+').unwrap_or(address)
}
