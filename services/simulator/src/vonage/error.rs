//! Vonage's error answers: problem details (RFC 7807), whose type ends with a code.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::clock;
use crate::disturbance::Mode;

/// Errors of every API of Vonage's.
const COMMON: &str = "https://developer.vonage.com/api-errors";

/// Errors of this one.
const MESSAGES: &str = "https://developer.vonage.com/api-errors/messages";

/// One parameter that is wrong, and why.
pub(super) type Fault = (&'static str, String);

/// An error as Vonage answers it.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    kind: String,
    title: &'static str,
    detail: &'static str,
    faults: Vec<Fault>,
    retry_after_s: Option<u32>,
}

impl ApiError {
    /// A message whose parameters are wrong.
    pub(super) fn invalid(faults: Vec<Fault>) -> Self {
        let detail = "The value of one or more parameters is invalid.";
        let error = Self::coded(StatusCode::UNPROCESSABLE_ENTITY, 1150, "Invalid params", detail);
        Self { faults, ..error }
    }

    /// A number that nobody has.
    pub(super) fn invalid_recipient() -> Self {
        let detail = "The number that the message is to go to is invalid.";
        let title = "Invalid or Missing Msisdn Param";
        let error = Self::coded(StatusCode::UNPROCESSABLE_ENTITY, 1170, title, detail);
        Self { faults: vec![("to", "nobody has this number".to_owned())], ..error }
    }

    pub(super) fn bad_json() -> Self {
        let detail = "The request body is not JSON.";
        Self::common(StatusCode::BAD_REQUEST, "invalid-json", "Invalid JSON", detail)
    }

    pub(super) fn media_type() -> Self {
        let (title, detail) = ("Unsupported Media Type", "The request body is not JSON.");
        Self::common(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", title, detail)
    }

    pub(super) fn unauthenticated() -> Self {
        let detail = "You did not provide correct credentials.";
        Self::common(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail)
    }

    pub(super) fn throttled() -> Self {
        let detail = "Please wait, then retry your request";
        let error = Self::coded(StatusCode::TOO_MANY_REQUESTS, 1000, "Rate Limit Hit", detail);
        Self { retry_after_s: Some(1), ..error }
    }

    pub(super) fn internal() -> Self {
        let detail = "There was an error processing your request in the Platform.";
        Self::coded(StatusCode::INTERNAL_SERVER_ERROR, 1030, "Internal error", detail)
    }

    pub(super) fn unavailable() -> Self {
        let detail = "The Platform is not available.";
        Self::coded(StatusCode::SERVICE_UNAVAILABLE, 1030, "Internal error", detail)
    }

    /// Fails as a disturbed account does; a slow one is slow elsewhere.
    pub(super) fn of_mode(mode: Mode) -> Result<(), Self> {
        match mode {
            Mode::Up | Mode::Slow | Mode::Mute => Ok(()),
            Mode::Unauthorized => Err(Self::unauthenticated()),
            Mode::Suspended => {
                let detail = "Your account does not have permission to perform this action.";
                Err(Self::common(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail))
            }
            Mode::NoCredit => {
                let (status, title) = (StatusCode::PAYMENT_REQUIRED, "Low balance");
                let detail =
                    "This request could not be performed due to your account balance being low.";
                Err(Self::common(status, "low-balance", title, detail))
            }
            Mode::Down => Err(Self::unavailable()),
            Mode::Throttled => Err(Self::throttled()),
        }
    }

    fn coded(status: StatusCode, code: u32, title: &'static str, detail: &'static str) -> Self {
        let kind = format!("{MESSAGES}#{code}");
        Self { status, kind, title, detail, faults: Vec::new(), retry_after_s: None }
    }

    fn common(status: StatusCode, kind: &str, title: &'static str, detail: &'static str) -> Self {
        let kind = format!("{COMMON}#{kind}");
        Self { status, kind, title, detail, faults: Vec::new(), retry_after_s: None }
    }
}

/// The error of a status webhook, of this code.
pub(super) fn reported(code: u32, title: &str, detail: &str, instance: &str) -> Value {
    json!({
        "type": format!("{MESSAGES}#{code}"), "title": title, "detail": detail, "instance": instance,
    })
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": self.kind, "title": self.title, "detail": self.detail,
            "instance": clock::new_id().simple().to_string(),
        });
        if !self.faults.is_empty() {
            let faults = self.faults.iter();
            let faults = faults.map(|(name, reason)| json!({"name": name, "reason": reason}));
            body["invalid_parameters"] = faults.collect();
        }
        let json = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (self.status, json, body.to_string()).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
