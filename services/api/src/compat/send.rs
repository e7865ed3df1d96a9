//! `POST /api/send_message` and `POST /api/send_email`. They answer 200, which is all that their
//! clients were ever told.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{OneOrSeveral, Recipients, SendRequest, Written, renamed};
use crate::auth::Caller;
use crate::commands::{Accepted, Admissible, Commands, IdempotencyKey, command_key};
use crate::problem::Problem;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CompatTextMessage)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageRequest {
    from: Option<String>,
    #[schema(value_type = OneOrSeveral, required)]
    to: Option<Recipients>,
    body: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CompatEmail)]
#[serde(deny_unknown_fields)]
pub(super) struct EmailRequest {
    #[schema(value_type = OneOrSeveral, required)]
    to_email: Option<Recipients>,
    subject: Option<String>,
    body: Option<String>,
    from_email: Option<String>,
    html_content: Option<String>,
    #[schema(value_type = Option<OneOrSeveral>)]
    cc: Option<Recipients>,
    #[schema(value_type = Option<OneOrSeveral>)]
    bcc: Option<Recipients>,
    reply_to: Option<String>,
}

/// What the two say; each names the id in its own way.
#[derive(Serialize, ToSchema)]
#[schema(as = CompatSent)]
struct Sent {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_id: Option<String>,
}

/// A text message, in the old words
///
/// Between two names it is a chat message.
#[utoipa::path(
    post, path = "/api/send_message", operation_id = "compat_send_message", tag = "compatibility",
    security(("bearer" = ["messages:write"])),
    params(IdempotencyKey),
    request_body(content = MessageRequest, example = json!({
        "from": "+12016661234", "to": "+18045551234", "body": "Hello"})),
    responses((status = 200, description = "Recorded, and will be sent.", body = Sent))
)]
pub(super) async fn message(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    headers: HeaderMap,
    Admissible(request): Admissible<MessageRequest>,
) -> Result<Response, Problem> {
    let MessageRequest { from, to, body } = request;
    let from = from.map(Written::from);
    let request = SendRequest { from, to, body, names_mean_chat: true, ..SendRequest::default() };
    let accepted =
        accept(&commands, &caller, (&headers, "POST /api/send_message"), request, &[]).await?;
    let id = Some(accepted.id.to_string());
    Ok(accepted.respond(StatusCode::OK, &Sent { success: true, message_id: id, email_id: None }))
}

/// A mail, in the old words
#[utoipa::path(
    post, path = "/api/send_email", operation_id = "compat_send_email_to", tag = "compatibility",
    security(("bearer" = ["messages:write"])),
    params(IdempotencyKey),
    request_body(content = EmailRequest, example = json!({
        "to_email": "contact@gmail.com", "subject": "Hello", "body": "Hello"})),
    responses((status = 200, description = "Recorded, and will be sent.", body = Sent))
)]
pub(super) async fn email(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    headers: HeaderMap,
    Admissible(request): Admissible<EmailRequest>,
) -> Result<Response, Problem> {
    let EmailRequest { to_email, subject, body, from_email, html_content, cc, bcc, reply_to } =
        request;
    let request = SendRequest {
        channel: Some("email".to_owned()),
        from: from_email.map(Written::from),
        to: to_email,
        subject,
        body,
        html: html_content,
        cc,
        bcc,
        reply_to: reply_to.map(Written::from),
        ..SendRequest::default()
    };
    let names = [("/from", "/from_email"), ("/to", "/to_email"), ("/html", "/html_content")];
    let accepted =
        accept(&commands, &caller, (&headers, "POST /api/send_email"), request, &names).await?;
    let id = Some(accepted.id.to_string());
    Ok(accepted.respond(StatusCode::OK, &Sent { success: true, message_id: None, email_id: id }))
}

async fn accept(
    commands: &Commands,
    caller: &Caller,
    (headers, route): (&HeaderMap, &str),
    request: SendRequest,
    names: &[(&str, &str)],
) -> Result<Accepted, Problem> {
    let send = request
        .validate(commands.defaults())
        .map_err(|errors| Problem::invalid(renamed(errors, names)))?;
    let key = command_key(headers, caller, route, &send)?;
    commands.accept(caller, send, key).await
}
