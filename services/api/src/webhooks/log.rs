//! The webhook log: every request as it came in, and what was made of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::HeaderName;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, PROXY_AUTHORIZATION};
use chrono::{DateTime, Utc};
use hatch_eventstore::values::storable;
use hatch_eventstore::{SideRow, SideTable};
use hatch_providers::RawRequest;
use hatch_readmodel::{RawMail, WebhookOutcome as Outcome};
use uuid::Uuid;

use super::verified::VerifiedBy;

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
        ("verified", "json"),
    ],
};

/// Bytes of a body that are in the row. What is longer is a mail with files, or many receipts: they are
/// events by then. Where they are not, the body is kept beside the row.
const BODY_BYTES_MAX: usize = 128 * 1024;

/// Bytes that are kept of each part of a request that nobody vouches for: of path and query, of the headers, and of
/// the body.
pub(super) const REFUSED_PART_BYTES_MAX: usize = 4 * 1024;

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Headers that are not kept: they let their holder in.
const SECRETS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// One row, but for what became of the webhook.
#[derive(Debug, Clone)]
pub(super) struct WebhookLogEntry {
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
    /// What the row has only the beginning of, if anything.
    pub(super) cut: Option<String>,
    /// By which account it was verified, if it was.
    pub(super) verified: Option<VerifiedBy>,
    received_at: DateTime<Utc>,
}

impl WebhookLogEntry {
    pub(super) fn new(
        id: Uuid,
        tenant_id: Uuid,
        provider: &'static str,
        request: &RawRequest,
        received_at: DateTime<Utc>,
    ) -> Self {
        let whole = Parts::of(request, usize::MAX, BODY_BYTES_MAX);
        Self::with(id, tenant_id, provider, request, received_at, &whole)
    }

    /// The entry of a request without a valid signature: the beginning of each of its parts, and their lengths.
    pub(super) fn refused(
        id: Uuid,
        tenant_id: Uuid,
        provider: &'static str,
        request: &RawRequest,
        received_at: DateTime<Utc>,
    ) -> Self {
        let cut = Parts::of(request, REFUSED_PART_BYTES_MAX, REFUSED_PART_BYTES_MAX);
        let entry = Self::with(id, tenant_id, provider, request, received_at, &cut);
        Self { cut: cut.cut(request), ..entry }
    }

    fn with(
        id: Uuid,
        tenant_id: Uuid,
        provider: &'static str,
        request: &RawRequest,
        received_at: DateTime<Utc>,
        parts: &Parts<'_>,
    ) -> Self {
        Self {
            id,
            tenant_id,
            provider,
            account: None,
            kind: None,
            provider_message_id: None,
            message_id: None,
            method: request.method.to_string(),
            path_and_query: parts.path_and_query.to_owned(),
            headers: serde_json::to_string(&parts.headers).expect("a map of texts serialises"),
            body: hex(parts.body),
            whole_body: request.body.clone(),
            cut: None,
            verified: None,
            received_at,
        }
    }

    /// The request, but for its body, as that of a mail is kept.
    pub(super) fn raw_mail(&self) -> RawMail {
        RawMail {
            webhook_id: self.id,
            provider: self.provider.to_owned(),
            method: self.method.clone(),
            path_and_query: self.path_and_query.clone(),
            headers: serde_json::from_str(&self.headers).unwrap_or_default(),
            verified: self.verified.as_ref().and_then(|by| serde_json::to_value(by).ok()),
            received_at: self.received_at,
        }
    }

    /// Whether the row holds the whole body.
    pub(super) fn is_whole(&self) -> bool {
        self.whole_body.len() <= BODY_BYTES_MAX
    }

    /// The row for an outcome, with a sentence where there is one.
    pub(super) fn row(&self, outcome: Outcome, detail: Option<String>) -> SideRow {
        let text = |text: &Option<String>| Some(storable(text.as_deref()?).into_owned());
        // Nothing else is read again.
        let verified = self.verified.as_ref().filter(|_| outcome == Outcome::Quarantined);
        let verified = verified.map(|by| serde_json::to_string(by).expect("an account serialises"));
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
            Some(self.body.clone()),
            Some(self.received_at.to_rfc3339()),
            verified,
        ];
        SideRow { table: &TABLE, values }
    }
}

/// The parts of a request, as far as they are kept.
struct Parts<'r> {
    path_and_query: &'r str,
    headers: BTreeMap<&'r str, Cow<'r, str>>,
    /// Bytes of names and values of all the headers but secrets, and of those in `headers`.
    header_bytes: [usize; 2],
    body: &'r [u8],
}

impl<'r> Parts<'r> {
    /// As much of `request` as is kept: so many bytes of each part, and of the body.
    fn of(request: &'r RawRequest, part_bytes_max: usize, body_bytes_max: usize) -> Self {
        let kept = request.headers.iter().filter(|(name, _)| !SECRETS.contains(name));
        let (mut headers, mut all, mut left) = (BTreeMap::new(), 0, part_bytes_max);
        for (name, value) in kept {
            let (name, value) = (name.as_str(), value.as_bytes());
            all += name.len() + value.len();
            if left > name.len() {
                let value = storable(String::from_utf8_lossy(value));
                let value = fitting(value, left - name.len());
                left -= name.len() + value.len();
                headers.insert(name, value);
            }
        }
        let path_and_query = request.path_and_query.as_str();
        let body = &request.body[..request.body.len().min(body_bytes_max)];
        Self {
            path_and_query: beginning(path_and_query, part_bytes_max),
            headers,
            header_bytes: [all, part_bytes_max - left],
            body,
        }
    }

    /// Says how much there was of what is not whole, if anything. No more of a body is read than is kept, where the
    /// request has no signature at all; it says itself how long it is, or nobody knows.
    fn cut(&self, request: &RawRequest) -> Option<String> {
        let [all, kept] = self.header_bytes;
        let declared = request.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let declared = declared.and_then(|length| length.parse::<usize>().ok());
        let body = declared.unwrap_or_default().max(request.body.len());
        let path_and_query = request.path_and_query.as_str().len();
        let mut cut = Vec::new();
        for (part, all, kept) in [
            ("path and query", path_and_query, self.path_and_query.len()),
            ("headers", all, kept),
            ("the body", body, self.body.len()),
        ] {
            if kept < all {
                cut.push(format!("{kept} of {all} bytes of {part}"));
            }
        }
        if declared.is_none() && request.body.len() == REFUSED_PART_BYTES_MAX {
            cut.push(format!("the first {REFUSED_PART_BYTES_MAX} bytes of the body"));
        }
        (!cut.is_empty()).then(|| format!("kept: {}", cut.join(", ")))
    }
}

/// As much of a header's value as takes at most so many bytes, also as JSON, where some characters take more.
fn fitting(value: Cow<'_, str>, bytes_max: usize) -> Cow<'_, str> {
    // JSON takes two for a quote, a backslash and a tab, and a header has no other character that it escapes.
    let takes = |text: &str| {
        text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\t')).count()
    };
    if takes(&value) <= bytes_max {
        return value;
    }
    let mut part = beginning(&value, bytes_max);
    while takes(part) > bytes_max {
        part = beginning(part, part.len() / 2);
    }
    part.to_owned().into()
}

/// At most so many bytes of a text, and no part of a character.
fn beginning(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max.min(text.len()))]
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

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Method};

    use super::*;

    #[test]
    fn of_a_refused_request_the_row_has_the_beginning_and_says_so() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer secret"));
        for n in 0..22 {
            let name = HeaderName::try_from(format!("x-{n:02}")).expect("a name");
            headers.insert(name, HeaderValue::from_str(&"ä".repeat(500)).expect("a value"));
        }
        let path = format!("/api/v1/webhooks/twilio?q={}", "x".repeat(7_900));
        let raw = RawRequest {
            method: Method::POST,
            path_and_query: path.parse().expect("a path"),
            headers,
            body: Bytes::from(vec![0xff; 8_192]),
        };
        let entry = WebhookLogEntry::refused(
            Uuid::nil(),
            Uuid::nil(),
            "twilio",
            &raw,
            DateTime::UNIX_EPOCH,
        );
        assert_eq!(entry.path_and_query.len(), REFUSED_PART_BYTES_MAX);
        assert_eq!(entry.body.len(), 2 + 2 * REFUSED_PART_BYTES_MAX);
        assert!(entry.headers.len() < REFUSED_PART_BYTES_MAX + 100, "{}", entry.headers.len());
        assert!(!entry.headers.contains("secret"));
        let cut = entry.cut.expect("it is cut");
        assert!(cut.starts_with("kept: 4096 of 7926 bytes of path and query, 40"), "{cut}");
        assert!(
            cut.ends_with("of 22088 bytes of headers, 4096 of 8192 bytes of the body"),
            "{cut}"
        );

        let small =
            RawRequest { body: Bytes::from_static(b"a=b"), headers: HeaderMap::new(), ..raw };
        let small = RawRequest { path_and_query: "/".parse().expect("a path"), ..small };
        let entry = WebhookLogEntry::refused(
            Uuid::nil(),
            Uuid::nil(),
            "twilio",
            &small,
            DateTime::UNIX_EPOCH,
        );
        assert_eq!(entry.cut, None);
    }
}
