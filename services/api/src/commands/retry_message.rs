//! `POST /api/v1/messages/{id}/retry`: a new round of attempts for a message that failed.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use hatch_domain::ids::MessageId;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::status::Status;

use super::Commands;
use super::change::{Change, change};
use crate::Problem;
use crate::extract::PathId;

pub(super) async fn handler(
    State(commands): State<Commands>,
    PathId(id): PathId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let at = commands.store.environment().now();
    let retried = Change {
        route: "POST /api/v1/messages/{id}/retry",
        command: MessageCommand::Retry { at },
        becomes: Status::Queued,
        answer: StatusCode::ACCEPTED,
    };
    change(&commands, MessageId(id), &headers, retried).await
}
