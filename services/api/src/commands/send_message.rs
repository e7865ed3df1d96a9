//! `POST /api/v1/messages`: asks for a message to be sent.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::idempotency::command_key;
use super::send_request::SendRequest;
use super::{Commands, TENANT};
use crate::Problem;
use crate::extract::JsonBody;

/// Both paths of the endpoint are one route for idempotency keys.
const ROUTE: &str = "POST /api/v1/messages";

pub(super) async fn handler(
    State(commands): State<Commands>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<SendRequest>,
) -> Result<Response, Problem> {
    let send = request.validate(commands.senders()).map_err(Problem::invalid)?;
    let key = command_key(&headers, TENANT, ROUTE, &send)?;
    let accepted = commands.accept(TENANT, send, key).await?;
    Ok(accepted.respond(StatusCode::ACCEPTED, &accepted))
}
