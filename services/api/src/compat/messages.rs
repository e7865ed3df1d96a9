//! `POST /api/messages/sms` and `POST /api/messages/email`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::{Recipients, SendRequest, renamed};
use crate::Problem;
use crate::commands::{Commands, TENANT, command_key};
use crate::extract::JsonBody;
use crate::problem::FieldError;

/// The entry of `metadata` that keeps the client's own time.
const TIMESTAMP: &str = "timestamp";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    from: Option<String>,
    to: Option<Recipients>,
    r#type: Option<String>,
    body: Option<String>,
    attachments: Option<Vec<Value>>,
    /// Kept as it is, and never read: clients' clocks order nothing.
    timestamp: Option<String>,
}

pub(super) async fn sms(
    State(commands): State<Commands>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<Request>,
) -> Result<Response, Problem> {
    let has_files = request.attachments.as_ref().is_some_and(|list| !list.is_empty());
    let channel = if has_files { "mms" } else { "sms" };
    let channel = request.channel(channel, &["sms", "mms"])?;
    accept(&commands, &headers, "POST /api/messages/sms", request.send(channel)).await
}

pub(super) async fn email(
    State(commands): State<Commands>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<Request>,
) -> Result<Response, Problem> {
    let channel = request.channel("email", &["email"])?;
    accept(&commands, &headers, "POST /api/messages/email", request.send(channel)).await
}

impl Request {
    fn channel(&self, default: &str, possible: &[&str]) -> Result<String, Problem> {
        match self.r#type.as_deref() {
            None => Ok(default.to_owned()),
            Some(name) if possible.contains(&name) => Ok(name.to_owned()),
            Some(other) => {
                let detail = format!("expected {}, got {other:?}", possible.join(" or "));
                Err(Problem::invalid(vec![FieldError::new("/type", detail)]))
            }
        }
    }

    fn send(self, channel: String) -> SendRequest {
        let timestamp = self.timestamp.map(|time| (TIMESTAMP.to_owned(), Value::String(time)));
        SendRequest {
            channel: Some(channel),
            from: self.from,
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
    headers: &HeaderMap,
    route: &str,
    request: SendRequest,
) -> Result<Response, Problem> {
    let names = [("/channel", "/type"), ("/metadata", "/timestamp")];
    let send = request
        .validate(commands.senders())
        .map_err(|errors| Problem::invalid(renamed(errors, &names)))?;
    let key = command_key(headers, TENANT, route, &send)?;
    let accepted = commands.accept(TENANT, send, key).await?;
    Ok(accepted.respond(StatusCode::ACCEPTED, &accepted))
}
