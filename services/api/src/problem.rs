//! What a client is told when something cannot be done: `application/problem+json` (RFC 9457).

mod accounts;
mod address;
pub(crate) mod catalogue;
mod causes;
mod entry;
mod pages;
mod people;
mod refusals;
mod resources;

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_domain::{Channel, DecodeError};
use hatch_telemetry::chain::Chain;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::address::ErrorPages;
pub(crate) use self::entry::Entry;
pub(crate) use self::pages::router as error_pages;
use self::refusals::CHALLENGE;
pub(crate) use crate::field_error::{FieldCode, FieldError};

/// The media type of a problem (RFC 9457, section 3).
pub(crate) const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Seconds that a client is asked to wait while a dependency is away.
pub(crate) const RETRY_AFTER_SECONDS: u32 = 1;

/// An error answer. It becomes a body when the outermost layer adds the request's id, and where its page is.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What the catalogue says of it.
    entry: &'static Entry,
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    retry_after_seconds: Option<u32>,
    /// Whether only reads have to wait: the log is there.
    reads_only: bool,
    hint: Option<Hint>,
    /// Where its page is.
    pages: ErrorPages,
}

/// What an answer says beside the problem.
#[derive(Debug, Clone, Copy)]
enum Hint {
    /// How to say who asks.
    Challenge(&'static str),
    /// The rate limit that the request went beyond.
    Policy(&'static str),
}

/// What went wrong (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "https://hatch.example.com/docs/errors/invalid-request", "code": "invalid_request",
    "title": "The request is invalid", "status": 400,
    "detail": "/to: no phone number of this country code has this many digits",
    "instance": "01a1fc66-08e6-7294-8005-e216d05b09c5",
    "request_id": "01a1fc66-08e6-7294-8005-e216d05b09c5",
    "errors": [{"pointer": "/to", "code": "invalid_phone_number",
        "detail": "no phone number of this country code has this many digits"}]}))]
pub(crate) struct Body {
    /// The address of a page with the problem's cause and what to do.
    #[serde(rename = "type")]
    kind: String,
    /// Which problem, for programs. A code keeps its meaning; others may come.
    code: &'static str,
    /// The problem in a few words, the same each time.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What went wrong this time.
    detail: String,
    /// The request's id, which is in our log, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// The same id, under the name by which it is looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// Each wrong field, where some are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// The rate limits that the request goes beyond, by name, where it does.
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    violated_policies: Vec<&'static str>,
}

/// What a program says of it that shows no more than a sentence.
impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl Problem {
    /// The problem that the catalogue has as `entry`.
    fn of(entry: &'static Entry, detail: impl Into<String>) -> Self {
        Self {
            entry,
            status: entry.status(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_seconds: None,
            reads_only: false,
            hint: None,
            pages: ErrorPages::default(),
        }
    }

    /// One of which there is no more to say than the catalogue's example does.
    fn plain(entry: &'static Entry) -> Self {
        Self::of(entry, entry.example)
    }

    /// The same with another of the statuses that it can have.
    fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The request cannot be understood or breaks a rule; `errors` names each field.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match &errors[..] {
            [only] if only.pointer.is_empty() => only.detail.clone(),
            [only] => format!("{}: {}", only.pointer, only.detail),
            several => format!("{} fields are invalid; see errors", several.len()),
        };
        Self { errors, ..Self::of(&catalogue::INVALID_REQUEST, detail) }
    }

    /// The request does not say once to whom it is made.
    pub(crate) fn no_host() -> Self {
        let detail = "expected one Host";
        Self::invalid(vec![FieldError::new("Host", detail)])
    }

    /// The request came in the clear to a listener that has a certificate.
    pub(crate) fn https_required() -> Self {
        Self::plain(&catalogue::HTTPS_REQUIRED)
    }

    /// The request was made to a name that is not ours.
    pub(crate) fn misdirected() -> Self {
        Self::plain(&catalogue::MISDIRECTED)
    }

    /// Another process answers such requests: one with `role`.
    pub(crate) fn other_role(role: &str) -> Self {
        let detail = format!(
            "this process does not have the role {role}, which answers this: ask one that has it \
             (`hatch serve --roles {role}`)"
        );
        Self::of(&catalogue::OTHER_ROLE, detail)
    }

    /// A page of another site made the request.
    pub(crate) fn foreign_site() -> Self {
        Self::plain(&catalogue::FOREIGN_SITE)
    }

    /// There is nothing of that name, for this tenant.
    pub(crate) fn not_found(what: &str) -> Self {
        let detail = format!("there is no such {what}");
        Self::of(&catalogue::NOT_FOUND, detail)
    }

    /// What was asked for is known and not here; `detail` says why.
    pub(crate) fn absent(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::NOT_FOUND, detail)
    }

    /// The idempotency key was used for another request.
    pub(crate) fn key_reused() -> Self {
        Self::plain(&catalogue::IDEMPOTENCY_KEY_REUSED)
    }

    /// No provider account of the tenant carries the channel, or none does for this sender, or none carries tests: the
    /// message would wait for ever.
    pub(crate) fn no_account(channel: Channel, from: Option<&Address>, is_test: bool) -> Self {
        let channel = channel.as_str();
        let what = if is_test { "tests by " } else { "" };
        let of = from.map_or_else(String::new, |from| format!(" from {from}"));
        let detail =
            format!("no configured account carries {what}{channel}{of}: nothing was recorded");
        Self::of(&catalogue::NO_ACCOUNT, detail)
    }

    /// A route decides about such messages, and none of its accounts carries this one.
    pub(crate) fn no_account_of_route(channel: Channel) -> Self {
        let detail = format!(
            "a route decides about this {}, and no account that it names carries it: nothing was recorded",
            channel.as_str()
        );
        Self::of(&catalogue::NO_ACCOUNT, detail)
    }

    /// The account that the request names is none of the tenant's, or does not carry the message.
    pub(crate) fn account_unfit(name: &AccountName, channel: Channel) -> Self {
        let detail = format!(
            "account: the tenant has no account {name} that carries {} for this sender: nothing was recorded",
            channel.as_str()
        );
        Self::of(&catalogue::NO_ACCOUNT, detail)
    }

    /// The message is in a status in which it cannot be done; `detail` says the status.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::CONFLICT, detail)
    }

    /// Nothing can be sent as an answer in the conversation; `detail` says why.
    pub(crate) fn unanswerable(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::UNANSWERABLE, detail)
    }

    /// The webhook cannot be replayed.
    pub(crate) fn not_replayed(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::NOT_REPLAYED, detail)
    }

    /// The webhook's signature is missing or wrong.
    pub(crate) fn wrong_signature(detail: impl Into<String>) -> Self {
        Self::of(&catalogue::WRONG_SIGNATURE, detail)
    }

    /// The client has as much as one may have.
    pub(crate) fn too_many(detail: impl Into<String>) -> Self {
        Self {
            retry_after_seconds: Some(RETRY_AFTER_SECONDS),
            ..Self::of(&catalogue::OVERLOADED, detail)
        }
    }

    /// The client asked as often as it may; it may ask again after so many seconds.
    pub(crate) fn quota_exceeded(
        policy: &'static str,
        retry_after_seconds: u32,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            retry_after_seconds: Some(retry_after_seconds),
            hint: Some(Hint::Policy(policy)),
            ..Self::of(&catalogue::QUOTA_EXCEEDED, detail)
        }
    }

    /// The problem's name for programs.
    pub(crate) fn code(&self) -> String {
        self.entry.code.to_owned()
    }

    /// Whether nobody knows who asks.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// Whether it is known who asks, and he may not do that.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    /// What came is no whole request.
    #[must_use]
    pub fn unreadable(detail: &str) -> Self {
        Self::invalid(vec![FieldError::new("", detail)])
    }

    /// The process that was asked hung up in the middle; whether it acted, an idempotency key tells.
    #[must_use]
    pub fn hung_up() -> Self {
        let detail = "the role hung up before it answered; whether it acted is unknown: repeat the request \
            with the same Idempotency-Key";
        Self::unavailable(detail).with(StatusCode::BAD_GATEWAY)
    }

    /// PostgreSQL is away or too slow; whether a command happened, its idempotency key tells.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after_seconds: Some(RETRY_AFTER_SECONDS),
            ..Self::of(&catalogue::UNAVAILABLE, detail)
        }
    }

    /// The read models are behind, or too many wait for them. The log may be well.
    pub(crate) fn behind(detail: impl Into<String>) -> Self {
        Self { reads_only: true, ..Self::unavailable(detail) }
    }

    /// More waits than can be finished soon; nothing was recorded.
    fn overloaded(detail: &str, retry_after_seconds: u32) -> Self {
        Self {
            retry_after_seconds: Some(retry_after_seconds),
            ..Self::of(&catalogue::OVERLOADED, detail)
        }
    }

    /// Our own fault. The cause is logged here, once, with its chain, and not shown.
    pub(crate) fn fault(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %Chain(error), "request failed");
        Self::plain(&catalogue::INTERNAL)
    }

    /// A problem for an error answer that the framework made without one.
    pub(crate) fn bare(status: StatusCode) -> Self {
        let (entry, detail) = match status {
            StatusCode::NOT_FOUND => (&catalogue::NOT_FOUND, "no endpoint has this path"),
            StatusCode::METHOD_NOT_ALLOWED => {
                (&catalogue::METHOD_NOT_ALLOWED, "see the Allow header")
            }
            StatusCode::PAYLOAD_TOO_LARGE => (&catalogue::TOO_LARGE, "the body is over the limit"),
            _ => (&catalogue::OTHER, status.canonical_reason().unwrap_or("an error")),
        };
        Self::of(entry, detail).with(status)
    }

    /// The body is over the limit.
    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("the body is over the limit of {limit_bytes} bytes");
        Self::of(&catalogue::TOO_LARGE, detail)
    }

    /// The path and query are over the limit.
    pub(crate) fn uri_too_long(limit_bytes: usize) -> Self {
        let detail = format!("the path and query are over the limit of {limit_bytes} bytes");
        Self::of(&catalogue::TOO_LARGE, detail).with(StatusCode::URI_TOO_LONG)
    }

    /// The headers are over the limit.
    pub(crate) fn headers_too_large(limit_bytes: usize) -> Self {
        let detail = format!("the headers are over the limit of {limit_bytes} bytes");
        Self::of(&catalogue::TOO_LARGE, detail).with(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    }

    /// There are more headers than are read at all.
    pub(crate) fn too_many_headers(limit: usize, limit_bytes: usize) -> Self {
        let detail = format!("expected at most {limit} headers, and {limit_bytes} bytes of them");
        Self::of(&catalogue::TOO_LARGE, detail).with(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    }

    /// The body did not come in time.
    pub(crate) fn too_slow(limit: Duration) -> Self {
        let detail = format!("the body was not whole after {} seconds", limit.as_secs());
        Self::of(&catalogue::TIMEOUT, detail)
    }

    /// The body is of another type than the endpoint takes.
    pub(crate) fn unsupported_media_type(expected: &str) -> Self {
        let detail = format!("Content-Type: expected {expected}");
        Self::of(&catalogue::CONTENT_TYPE, detail)
    }

    /// The body is compressed (RFC 9110, section 15.5.16).
    pub(crate) fn unsupported_encoding() -> Self {
        let detail = "Content-Encoding: expected none, the body as it is";
        Self::of(&catalogue::CONTENT_TYPE, detail)
    }

    /// A stream has an event that this build cannot read.
    fn of_another_build(error: &DecodeError) -> Self {
        tracing::error!(error = %Chain(error), "an event of another build is in the way");
        Self::unavailable("an event of it is of a newer build of hatch, which can do this")
    }

    /// Whether the log is away: nothing else can be recorded either.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE && !self.reads_only
    }

    /// Whether the same request may succeed in a while.
    pub(crate) const fn is_passing(&self) -> bool {
        self.retry_after_seconds.is_some()
    }

    /// The problem as a part of an answer; only a whole answer names its request.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self.clone().into_body(None)).unwrap_or_default()
    }

    /// The same where `pages` explain errors.
    pub(crate) fn explained_by(self, pages: ErrorPages) -> Self {
        Self { pages, ..self }
    }

    fn into_body(self, request_id: Option<String>) -> Body {
        let Self { entry, status, detail, errors, hint, pages, .. } = self;
        let violated_policies = match hint {
            Some(Hint::Policy(policy)) => vec![policy],
            Some(Hint::Challenge(_)) | None => Vec::new(),
        };
        Body {
            kind: pages.address(entry),
            code: entry.code,
            title: entry.title,
            status: status.as_u16(),
            detail,
            instance: request_id.clone(),
            request_id,
            errors,
            violated_policies,
        }
    }

    /// The answer; of a request that has an id, with that.
    #[must_use]
    pub fn render(self, request_id: Option<&str>) -> Response {
        self.into_parts(request_id).into_response()
    }

    /// The answer's status, headers and body.
    pub(crate) fn into_parts(self, request_id: Option<&str>) -> (StatusCode, HeaderMap, Vec<u8>) {
        let (status, retry_after_seconds) = (self.status, self.retry_after_seconds);
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, MEDIA_TYPE)]);
        // Each 401 says how to say who asks (RFC 9110, section 15.5.2).
        let challenge = match self.hint {
            Some(Hint::Challenge(challenge)) => Some(challenge),
            _ if self.is_unauthorized() => Some(CHALLENGE),
            _ => None,
        };
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let body = self.into_body(request_id.map(str::to_owned));
        (status, headers, serde_json::to_vec(&body).unwrap_or_default())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The header that carries the log position of a write.
pub(crate) const POSITION: HeaderName = HeaderName::from_static("hatch-position");
