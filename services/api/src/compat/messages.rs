//! `POST /api/messages/sms` and `POST /api/messages/email`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{OneOrSeveral, Recipients, SendRequest, Written, renamed};
use crate::auth::Caller;
use crate::commands::{Accepted, Admissible, Commands, IdempotencyKey, command_key};
use crate::names::ChannelName;
use crate::problem::{FieldCode, FieldError, Problem};

/// The entry of `metadata` that keeps the client's own time.
const TIMESTAMP: &str = "timestamp";

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CompatMessage)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    from: Option<String>,
    #[schema(value_type = OneOrSeveral, required)]
    to: Option<Recipients>,
    /// `sms` or `mms` there, `email` here.
    #[schema(value_type = Option<ChannelName>)]
    r#type: Option<String>,
    body: Option<String>,
    /// URLs.
    #[schema(value_type = Option<Vec<String>>)]
    attachments: Option<Vec<Value>>,
    /// Kept as it is, and never read: clients' clocks order nothing.
    timestamp: Option<String>,
}

/// An SMS or MMS, in the old words
///
/// `timestamp` is kept as metadata, and orders nothing.
#[utoipa::path(
    post, path = "/api/messages/sms", operation_id = "compat_send_sms", tag = "compatibility",
    security(("bearer" = ["messages:write"])),
    params(IdempotencyKey),
    request_body(content = Request, example = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "Hello",
        "attachments": null, "timestamp": "2024-11-01T14:00:00Z"})),
    responses((status = 202, description = "Recorded, and will be sent.", body = Accepted))
)]
pub(super) async fn sms(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    headers: HeaderMap,
    Admissible(request): Admissible<Request>,
) -> Result<Response, Problem> {
    let has_files = request.attachments.as_ref().is_some_and(|list| !list.is_empty());
    let channel = if has_files { "mms" } else { "sms" };
    let channel = request.channel(channel, &["sms", "mms"])?;
    accept(&commands, &caller, (&headers, "POST /api/messages/sms"), request.send(channel)).await
}

/// A mail, in the old words
///
/// `timestamp` is kept as metadata, and orders nothing.
#[utoipa::path(
    post, path = "/api/messages/email", operation_id = "compat_send_email", tag = "compatibility",
    security(("bearer" = ["messages:write"])),
    params(IdempotencyKey),
    request_body(content = Request, example = json!({"from": "user@usehatchapp.com", "to": "contact@gmail.com",
        "body": "Hello", "attachments": null, "timestamp": "2024-11-01T14:00:00Z"})),
    responses((status = 202, description = "Recorded, and will be sent.", body = Accepted))
)]
pub(super) async fn email(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    headers: HeaderMap,
    Admissible(request): Admissible<Request>,
) -> Result<Response, Problem> {
    let channel = request.channel("email", &["email"])?;
    accept(&commands, &caller, (&headers, "POST /api/messages/email"), request.send(channel)).await
}

impl Request {
    fn channel(&self, default: &str, possible: &[&str]) -> Result<String, Problem> {
        match self.r#type.as_deref() {
            None => Ok(default.to_owned()),
            Some(name) if possible.contains(&name) => Ok(name.to_owned()),
            Some(other) => {
                let detail = format!("expected {}, got {other:?}", possible.join(" or "));
                let error = FieldError::coded(FieldCode::UnknownValue, "/type", detail);
                Err(Problem::invalid(vec![error]))
            }
        }
    }

    fn send(self, channel: String) -> SendRequest {
        let timestamp = self.timestamp.map(|time| (TIMESTAMP.to_owned(), Value::String(time)));
        SendRequest {
            channel: Some(channel),
            from: self.from.map(Written::from),
            to: self.to,
            body: self.body,
            attachments: self.attachments,
            metadata: Some(timestamp.into_iter().collect()),
            ..SendRequest::default()
        }
    }
}

async fn accept(
    commands: &Commands,
    caller: &Caller,
    (headers, route): (&HeaderMap, &str),
    request: SendRequest,
) -> Result<Response, Problem> {
    let names = [("/channel", "/type"), ("/metadata", "/timestamp")];
    let send = request
        .validate(commands.defaults())
        .map_err(|errors| Problem::invalid(renamed(errors, &names)))?;
    let key = command_key(headers, caller, route, &send)?;
    let accepted = commands.accept(caller, send, key).await?;
    Ok(accepted.respond(StatusCode::ACCEPTED, &accepted))
}
