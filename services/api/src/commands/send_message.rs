//! `POST /api/v1/messages`: asks for a message to be sent.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::accept::Accepted;
use super::answer::Asked;
use super::idempotency::{IdempotencyKey, command_key};
use super::send_request::SendRequest;
use super::{Admissible, Commands};
use crate::auth::Caller;
use crate::extract::{NoParameters, QueryParameters};
use crate::problem::{Body as ProblemBody, Problem};

/// Both paths of the endpoint are one route for idempotency keys.
const ROUTE: &str = "POST /api/v1/messages";

/// Asks for a message to be sent
///
/// The answer comes after the request is committed. `POST /api/v1/messages/send` is another name of
/// this endpoint. Which fields a channel takes is said at each of them; `docs/api.md` has the limits.
#[utoipa::path(
    post, path = "/api/v1/messages", operation_id = "send_message", tag = "messages",
    security(("bearer" = ["messages:write"])),
    params(IdempotencyKey),
    request_body(content = SendRequest, examples(
        ("1_sms" = (summary = "SMS", value = json!({
            "from": "+12016661234", "to": "+18045551234", "body": "Hello"}))),
        ("2_mms" = (summary = "MMS", value = json!({
            "to": "+18045551234", "body": "This is how it looks.",
            "attachments": ["https://example.com/a.jpg"]}))),
        ("3_email" = (summary = "Email", value = json!({
            "to": ["ann@example.com"], "cc": ["bob@example.com"], "subject": "Your order",
            "body": "It is on its way.", "html": "<p>It is on its way.</p>",
            "metadata": {"order": "42"}}))),
        ("4_answer" = (summary = "Answer in a conversation", value = json!({
            "conversation_id": "9a2476e4-4694-8b3f-8121-f933c8b3c73b", "body": "Hello again"}))),
        ("5_chat" = (summary = "Chat", value = json!({
            "channel": "chat", "from": "support", "to": "ann", "body": "Hello"}))))),
    responses(
        (status = 202, description = "The message is recorded and will be sent.", body = Accepted,
         headers(
            ("Hatch-Position" = i64, description = "The log position of the write."),
            ("Location" = String, description = "Where the message is."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))),
        (status = 404, description = "There is no conversation of that `conversation_id`.",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The conversation cannot be answered; `detail` says why.",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    Admissible(request): Admissible<SendRequest>,
) -> Result<Response, Problem> {
    let asked = Asked::read(&commands, request)?;
    let key = command_key(&headers, &caller, ROUTE, &asked)?;
    let accepted = commands.take(&caller, asked, key).await?;
    Ok(accepted.respond(StatusCode::ACCEPTED, &accepted))
}

#[cfg(test)]
mod tests;
