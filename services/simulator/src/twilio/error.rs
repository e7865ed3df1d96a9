//! Twilio's error answers.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error as Twilio answers it.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: u32,
    message: String,
    retry_after_s: Option<u32>,
}

impl ApiError {
    /// A request that Twilio refuses.
    pub(super) fn refused(code: u32, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into(), retry_after_s: None }
    }

    pub(super) fn unauthenticated() -> Self {
        Self { status: StatusCode::UNAUTHORIZED, ..Self::refused(20003, "Authenticate") }
    }

    pub(super) fn suspended() -> Self {
        Self { status: StatusCode::FORBIDDEN, ..Self::refused(20005, "Account is not active") }
    }

    pub(super) fn not_found() -> Self {
        let message = "The requested resource was not found";
        Self { status: StatusCode::NOT_FOUND, ..Self::refused(20404, message) }
    }

    pub(super) fn throttled() -> Self {
        let refused = Self::refused(20429, "Too Many Requests");
        Self { status: StatusCode::TOO_MANY_REQUESTS, retry_after_s: Some(1), ..refused }
    }

    pub(super) fn internal() -> Self {
        let refused = Self::refused(20500, "An internal server error has occurred");
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..refused }
    }

    pub(super) fn unavailable() -> Self {
        let refused = Self::refused(20503, "Service is unavailable");
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..refused }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status.as_u16(),
        });
        let json = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (self.status, json, body.to_string()).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
