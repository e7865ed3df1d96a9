//! The message resource, as Twilio shows it: numbers are strings and dates are RFC 2822.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::API_VERSION;
use crate::behaviour::{self, Receipt};
use crate::record::Message;
use crate::segments;

/// The code of a message to a number that does not exist.
pub(super) const UNKNOWN_DESTINATION: &str = "30005";

/// How the SID of a messaging service begins.
pub(super) const SERVICE: &str = "MG";

/// The resource in a given status.
pub(super) fn message(message: &Message, status: &str, sent: Option<DateTime<Utc>>) -> Value {
    let Message { account, provider_message_id: sid, .. } = message;
    let uri = format!("/{API_VERSION}/Accounts/{account}/Messages/{sid}");
    let error_code = (status == "undelivered").then_some(30005);
    json!({
        "account_sid": account,
        "api_version": API_VERSION,
        "body": message.body,
        "date_created": date(message.accepted_at),
        "date_sent": sent.map(date),
        "date_updated": date(sent.unwrap_or(message.accepted_at)),
        "direction": "outbound-api",
        "error_code": error_code,
        "error_message": error_code.map(|_| "Unknown destination handset"),
        "from": message.from,
        "messaging_service_sid": Some(&message.from).filter(|from| from.starts_with(SERVICE)),
        "num_media": message.media.len().to_string(),
        "num_segments": segments::count(&message.body).to_string(),
        "price": null,
        "price_unit": "USD",
        "sid": sid,
        "status": status,
        "subresource_uris": {"media": format!("{uri}/Media.json")},
        "to": message.to,
        "uri": format!("{uri}.json"),
    })
}

/// The resource as it is at `now`, with receipts due as configured.
pub(super) fn message_at(recorded: &Message, now: DateTime<Utc>, delay_ms: u64) -> Value {
    let age_ms = u64::try_from((now - recorded.accepted_at).num_milliseconds()).unwrap_or(0);
    let end = status(behaviour::course(&recorded.to).end);
    match age_ms {
        _ if age_ms < delay_ms / 2 => message(recorded, "queued", None),
        _ if age_ms < delay_ms => message(recorded, "sent", Some(recorded.accepted_at)),
        _ => message(recorded, end, Some(recorded.accepted_at)),
    }
}

/// Twilio's word for it.
pub(super) const fn status(receipt: Receipt) -> &'static str {
    match receipt {
        Receipt::Sent => "sent",
        Receipt::Delivered => "delivered",
        Receipt::Undelivered => "undelivered",
        // It refuses at once, so that it has no receipt of these.
        Receipt::Invalid | Receipt::OptedOut => "failed",
    }
}

fn date(time: DateTime<Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S +0000").to_string()
}
