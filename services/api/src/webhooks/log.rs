//! The webhook log: every request as it came in, and what was made of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::HeaderName;
use axum::http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use chrono::{DateTime, Utc};
use hatch_eventstore::{SideRow, SideTable};
use hatch_providers::RawRequest;
use hatch_readmodel::WebhookOutcome as Outcome;
use uuid::Uuid;

/// The table; its rows commit with the events of their webhook.
static TABLE: SideTable = SideTable {
    name: "hatch.webhook_log",
    columns: &[
        ("id", "uuid"),
        ("tenant_id", "uuid"),
        ("provider", "text"),
        ("account", "text"),
        ("kind", "text"),
        ("outcome", "text"),
        ("provider_message_id", "text"),
        ("message_id", "uuid"),
        ("detail", "text"),
        ("method", "text"),
        ("path_and_query", "text"),
        ("headers", "json"),
        ("body", "bytea"),
        ("received_at", "timestamptz"),
    ],
};

/// Bytes of a body that are in the row. What is longer is a mail with files, or many receipts: they are
/// events by then. Where they are not, the body is kept beside the row.
const BODY_BYTES_MAX: usize = 128 * 1024;

/// Bytes kept of a body that nobody vouches for.
const UNSIGNED_BODY_BYTES_MAX: usize = 8 * 1024;

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Headers that are not kept: they let their holder in.
const SECRETS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// One row, but for what became of the webhook.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Uuid,
    tenant_id: Uuid,
    provider: &'static str,
    pub(super) account: Option<String>,
    pub(super) kind: Option<&'static str>,
    pub(super) provider_message_id: Option<String>,
    pub(super) message_id: Option<Uuid>,
    method: String,
    path_and_query: String,
    /// As a JSON object.
    headers: String,
    body: String,
    /// The body as it came in, however long it is.
    pub(super) whole_body: Bytes,
    received_at: DateTime<Utc>,
}

impl Entry {
    pub(super) fn new(
        id: Uuid,
        tenant_id: Uuid,
        provider: &'static str,
        request: &RawRequest,
        received_at: DateTime<Utc>,
    ) -> Self {
        let kept = request.headers.iter().filter(|(name, _)| !SECRETS.contains(name));
        let headers: BTreeMap<&str, Cow<'_, str>> = kept
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
            .map(|(name, value)| (name, storable(value)))
            .collect();
        let body = &request.body[..request.body.len().min(BODY_BYTES_MAX)];
        Self {
            id,
            tenant_id,
            provider,
            account: None,
            kind: None,
            provider_message_id: None,
            message_id: None,
            method: request.method.to_string(),
            path_and_query: request.path_and_query.to_string(),
            headers: serde_json::to_string(&headers).expect("a map of texts serialises"),
            body: hex(body),
            whole_body: request.body.clone(),
            received_at,
        }
    }

    /// Whether the row holds the whole body.
    pub(super) fn is_whole(&self) -> bool {
        self.whole_body.len() <= BODY_BYTES_MAX
    }

    /// The row for an outcome, with a sentence where there is one.
    pub(super) fn row(&self, outcome: Outcome, detail: Option<String>) -> SideRow {
        let text = |text: &Option<String>| Some(storable(text.as_deref()?.into()).into_owned());
        let mut body = self.body.clone();
        if outcome == Outcome::RejectedSignature {
            body.truncate("\\x".len() + 2 * UNSIGNED_BODY_BYTES_MAX);
        }
        let values = vec![
            Some(self.id.to_string()),
            Some(self.tenant_id.to_string()),
            Some(self.provider.to_owned()),
            text(&self.account),
            self.kind.map(str::to_owned),
            Some(outcome.as_str().to_owned()),
            text(&self.provider_message_id),
            self.message_id.map(|id| id.to_string()),
            text(&detail),
            Some(self.method.clone()),
            Some(self.path_and_query.clone()),
            Some(self.headers.clone()),
            Some(body),
            Some(self.received_at.to_rfc3339()),
        ];
        SideRow { table: &TABLE, values }
    }
}

/// `text` as PostgreSQL can keep it: without NUL, which its `text` does not have.
fn storable(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text }
}

/// PostgreSQL's text form of a bytea.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from(HEX_DIGITS[usize::from(digit)]));
        }
    }
    text
}
