//! SendGrid's error answers.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::Clock;

/// An error as SendGrid answers it.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    field: Option<String>,
    message: String,
    /// When it may be tried again, where that is known: seconds of Unix time.
    reset: Option<i64>,
}

impl ApiError {
    /// A mail that SendGrid refuses because of one field.
    pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (Some(field.into()), message.into());
        Self { status: StatusCode::BAD_REQUEST, field, message, reset: None }
    }

    pub(super) fn bad_json() -> Self {
        Self::plain(StatusCode::BAD_REQUEST, "Bad Request")
    }

    pub(super) fn unauthenticated() -> Self {
        let message = "The provided authorization grant is invalid, expired, or revoked";
        Self::plain(StatusCode::UNAUTHORIZED, message)
    }

    pub(super) fn suspended() -> Self {
        Self::plain(StatusCode::FORBIDDEN, "Your account has been suspended")
    }

    pub(super) fn no_credit() -> Self {
        Self::plain(StatusCode::UNAUTHORIZED, "Maximum credits exceeded")
    }

    pub(super) fn media_type() -> Self {
        let message = "Content-Type should be application/json.";
        Self::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    pub(super) fn throttled(clock: &Clock) -> Self {
        let reset = Some(clock.now().timestamp() + 1);
        Self { reset, ..Self::plain(StatusCode::TOO_MANY_REQUESTS, "too many requests") }
    }

    pub(super) fn internal() -> Self {
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    }

    pub(super) fn unavailable() -> Self {
        Self::plain(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable")
    }

    fn plain(status: StatusCode, message: &str) -> Self {
        Self { status, field: None, message: message.to_owned(), reset: None }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = json!({"message": self.message, "field": self.field, "help": null});
        let body = Json(json!({"errors": [error]}));
        let mut response = (self.status, body).into_response();
        if let Some(reset) = self.reset {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(1));
            let name = HeaderName::from_static("x-ratelimit-reset");
            headers.insert(name, HeaderValue::from(reset));
        }
        response
    }
}
