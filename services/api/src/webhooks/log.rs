//! The webhook log: every request as it came in, and what was made of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::http::HeaderName;
use axum::http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use chrono::{DateTime, Utc};
use hatch_eventstore::SideRow;
use hatch_providers::RawRequest;
use hatch_readmodel::WebhookOutcome as Outcome;
use serde::Serialize;
use uuid::Uuid;

/// The table; its rows commit with the events of their webhook.
const TABLE: &str = "hatch.webhook_log";

/// Bytes kept of a body. What is longer is a mail with files, or many receipts: they are events by
/// then.
const BODY_BYTES_MAX: usize = 128 * 1024;

/// Bytes kept of a body that nobody vouches for.
const UNSIGNED_BODY_BYTES_MAX: usize = 8 * 1024;

/// Headers that are not kept: they let their holder in.
const SECRETS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// One row.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Entry {
    pub(super) id: Uuid,
    tenant_id: Uuid,
    provider: &'static str,
    pub(super) account: Option<String>,
    pub(super) kind: Option<&'static str>,
    outcome: Outcome,
    pub(super) provider_message_id: Option<String>,
    pub(super) message_id: Option<Uuid>,
    detail: Option<String>,
    method: String,
    path_and_query: String,
    headers: BTreeMap<String, String>,
    body: String,
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
        let headers = kept.map(|(name, value)| {
            (name.to_string(), storable(&String::from_utf8_lossy(value.as_bytes())))
        });
        let body = &request.body[..request.body.len().min(BODY_BYTES_MAX)];
        Self {
            id,
            tenant_id,
            provider,
            account: None,
            kind: None,
            outcome: Outcome::Applied,
            provider_message_id: None,
            message_id: None,
            detail: None,
            method: request.method.to_string(),
            path_and_query: request.path_and_query.to_string(),
            headers: headers.collect(),
            body: hex(body),
            received_at,
        }
    }

    /// The row for an outcome, with a sentence where there is one.
    pub(super) fn row(&self, outcome: Outcome, detail: Option<String>) -> SideRow {
        let mut entry = Self { outcome, detail, ..self.clone() };
        for text in [&mut entry.account, &mut entry.provider_message_id, &mut entry.detail] {
            *text = text.as_deref().map(storable);
        }
        if outcome == Outcome::RejectedSignature {
            entry.body.truncate("\\x".len() + 2 * UNSIGNED_BODY_BYTES_MAX);
        }
        let row = serde_json::to_string(&entry).expect("a row of texts serialises");
        SideRow { table: TABLE, row }
    }
}

/// `text` as PostgreSQL can keep it: without NUL, which its `text` does not have.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// PostgreSQL's text form of a bytea.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes all");
    }
    text
}
