//! `POST /api/v1/messages/{id}/retry`: a new round of attempts for a message that failed or did not arrive.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use hatch_domain::ids::MessageId;
use hatch_domain::message::status::Status;

use super::Commands;
use super::change::{Change, Changed, answer, retry};
use super::idempotency::IdempotencyKey;
use crate::auth::Caller;
use crate::extract::{NoBody, NoParameters, PathId, QueryParameters};
use crate::problem::Body as ProblemBody;
use crate::problem::Problem;

/// Begins a new round of attempts
///
/// For a message that `failed`, or that is `undelivered`: a person asks for it, and hatch asks the provider again.
#[utoipa::path(
    post, path = "/api/v1/messages/{id}/retry", operation_id = "retry_message", tag = "messages",
    security(("bearer" = ["messages:write"])),
    params(("id" = Uuid, Path, description = "The message."), IdempotencyKey),
    responses(
        (status = 202, description = "Done.", body = Changed, headers(
            ("Hatch-Position" = i64, description = "The log position of the write."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))),
        (status = 409, description = "The message's status does not allow it; `detail` says it.",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let id = MessageId(id);
    let route = (&headers, "POST /api/v1/messages/{id}/retry");
    let change = Change::by(caller, &commands, route, id, &id).await?;
    let changed = retry(&commands.store, change, id).await;
    answer(id, changed, (StatusCode::ACCEPTED, Status::Queued))
}
