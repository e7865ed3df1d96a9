//! Mailgun's error answers.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use serde_json::json;

use super::Account;
use crate::disturbance::Mode;

/// An error as Mailgun answers it.
#[derive(Debug)]
pub(super) enum ApiError {
    /// The key is wrong, which is the one answer that is no JSON.
    Forbidden,
    /// Everything else, by what it says.
    Told(StatusCode, String),
    /// Too much at once: what it says until when.
    Throttled(String),
}

impl ApiError {
    /// A mail whose parameters are wrong.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Told(StatusCode::BAD_REQUEST, message.into())
    }

    pub(super) fn no_domain(domain: &str) -> Self {
        Self::Told(StatusCode::NOT_FOUND, format!("Domain not found: {domain}"))
    }

    pub(super) fn too_large() -> Self {
        let message = "Message is too large: expected no more than 25 MB";
        Self::Told(StatusCode::PAYLOAD_TOO_LARGE, message.to_owned())
    }

    pub(super) fn throttled(account: &Account) -> Self {
        let until = account.clock.now() + TimeDelta::seconds(1);
        let until = until.format("%a, %d %b %Y %H:%M:%S UTC");
        Self::Throttled(format!("request limit exceeded, try again after {until}"))
    }

    pub(super) fn internal() -> Self {
        Self::Told(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".to_owned())
    }

    pub(super) fn unavailable() -> Self {
        Self::Told(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable".to_owned())
    }

    /// Fails as a disturbed account does; a slow one is slow elsewhere.
    pub(super) fn of_mode(mode: Mode, account: &Account) -> Result<(), Self> {
        match mode {
            Mode::Up | Mode::Slow | Mode::Mute => Ok(()),
            Mode::Unauthorized => Err(Self::Forbidden),
            Mode::Suspended => {
                let domain = &account.domain;
                Err(Self::invalid(format!(
                    "Domain {domain} is not allowed to send: the account is disabled"
                )))
            }
            Mode::NoCredit => {
                let message = "Request failed: the account has no credit".to_owned();
                Err(Self::Told(StatusCode::PAYMENT_REQUIRED, message))
            }
            Mode::Down => Err(Self::unavailable()),
            Mode::Throttled => Err(Self::throttled(account)),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Forbidden => (StatusCode::UNAUTHORIZED, "Forbidden").into_response(),
            Self::Told(status, message) => {
                (status, Json(json!({"message": message}))).into_response()
            }
            Self::Throttled(message) => {
                let body = Json(json!({"message": message}));
                let mut response = (StatusCode::TOO_MANY_REQUESTS, body).into_response();
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1));
                response
            }
        }
    }
}
