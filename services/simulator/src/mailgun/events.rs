//! Events: what becomes of accepted mail, as webhooks and look-ups tell it.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use crate::behaviour::{Reaction, Receipt, react};
use crate::record::Message;

/// Namespace of the ids of events, so that a repeated event has its id again.
const EVENTS: Uuid = uuid!("b3f1f7d8-6c0a-4f57-9d3b-6c2f0a9b1e44");

/// What the events of a mail have to tell beside what the record has of every mail.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct More {
    pub(super) to: String,
    pub(super) from: String,
    pub(super) subject: String,
    pub(super) tags: Vec<String>,
    pub(super) is_test: bool,
}

/// What has happened to a mail to `recipient` in the end, in order.
pub(super) fn history(recipient: &str) -> Vec<Receipt> {
    // What fails at first has succeeded by the time that there are events.
    match react(recipient, u32::MAX) {
        Reaction::Invalid => vec![Receipt::Invalid],
        Reaction::OptedOut => vec![Receipt::OptedOut],
        Reaction::Accept(course) if course.end == Receipt::Sent => vec![Receipt::Sent],
        Reaction::Accept(course) => vec![Receipt::Sent, course.end],
        Reaction::Vanish | Reaction::Throttle | Reaction::Outage => Vec::new(),
    }
}

/// When it happened.
pub(super) fn time(message: &Message, receipt: Receipt, delay_ms: u64) -> DateTime<Utc> {
    let after_ms = if receipt == Receipt::Sent { 0 } else { delay_ms };
    let after = TimeDelta::milliseconds(i64::try_from(after_ms).unwrap_or(i64::MAX));
    message.accepted_at.checked_add_signed(after).unwrap_or(message.accepted_at)
}

/// Mailgun's word for it.
pub(super) const fn name(receipt: Receipt) -> &'static str {
    match receipt {
        Receipt::Sent => "accepted",
        Receipt::Delivered => "delivered",
        Receipt::Undelivered | Receipt::Invalid | Receipt::OptedOut => "failed",
    }
}

/// The event in Mailgun's keys.
pub(super) fn event(message: &Message, recipient: &str, receipt: Receipt, delay_ms: u64) -> Value {
    let more = message.more.as_deref().cloned().unwrap_or_default();
    let More { to, from, subject, tags, is_test } =
        serde_json::from_value(more).unwrap_or_default();
    let (id, name) = (&message.provider_message_id, name(receipt));
    // A mail that is sent again has its Message-ID again, and events of its own.
    let accepted = message.accepted_at.timestamp_micros().to_string();
    let said = [id, recipient, name, &accepted].join("\n");
    let event_id = Uuid::new_v5(&EVENTS, said.as_bytes());
    let at = time(message, receipt, delay_ms).timestamp_micros();
    let variables = message.mail.as_ref().map(|mail| &mail.custom_args);
    let mut event = json!({
        "event": name,
        "id": BASE64_URL_SAFE_NO_PAD.encode(event_id.as_bytes()),
        "timestamp": seconds(at),
        "log-level": if name == "failed" { "error" } else { "info" },
        "recipient": recipient,
        "recipient-domain": recipient.rsplit('@').next().unwrap_or_default(),
        "message": {
            "headers": {"message-id": id, "to": to, "from": from, "subject": subject},
            "attachments": [],
            "size": message.body.len(),
        },
        "envelope": {
            "transport": "smtp", "sender": message.from, "sending-ip": "127.0.0.1", "targets": recipient,
        },
        "flags": {
            "is-routed": false, "is-authenticated": true, "is-system-test": false,
            "is-test-mode": is_test,
        },
        "tags": tags,
        "campaigns": [],
        "user-variables": variables,
    });
    match status(receipt) {
        (None, None) => {}
        (reason, status) => {
            event["delivery-status"] = status.into();
            if let Some(reason) = reason {
                event["severity"] = "permanent".into();
                event["reason"] = reason.into();
            }
        }
    }
    event
}

/// Why it failed, if it did, and what the receiving server said.
fn status(receipt: Receipt) -> (Option<&'static str>, Option<Value>) {
    let suppressed = |code: u32, description: &str| json!({"code": code, "message": "", "description": description, "attempt-no": 1});
    match receipt {
        Receipt::Sent => (None, None),
        Receipt::Delivered => {
            let said = json!({
                "code": 250, "message": "OK", "description": "", "attempt-no": 1,
                "mx-host": "mx.example.com", "tls": true, "certificate-verified": true,
                "session-seconds": 0.01, "enhanced-code": "2.0.0",
            });
            (None, Some(said))
        }
        Receipt::Undelivered => {
            let said = json!({
                "code": 550,
                "message": "5.1.1 The email account that you tried to reach does not exist.",
                "description": "", "attempt-no": 1, "mx-host": "mx.example.com", "tls": true,
                "certificate-verified": true, "session-seconds": 0.01, "enhanced-code": "5.1.1",
            });
            (Some("bounce"), Some(said))
        }
        Receipt::Invalid => {
            let said = suppressed(605, "Not delivering to previously bounced address");
            (Some("suppress-bounce"), Some(said))
        }
        Receipt::OptedOut => {
            let said = suppressed(606, "Not delivering to a user who unsubscribed");
            (Some("suppress-unsubscribe"), Some(said))
        }
    }
}

/// Seconds of Unix time, with their fraction: microseconds of this age fit into the 53 bits of a float.
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}
