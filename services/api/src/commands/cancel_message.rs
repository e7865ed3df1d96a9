//! `POST /api/v1/messages/{id}/cancel`: calls a message off before an attempt begins.

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
    let canceled = Change {
        route: "POST /api/v1/messages/{id}/cancel",
        command: MessageCommand::Cancel { at },
        becomes: Status::Canceled,
        answer: StatusCode::OK,
    };
    change(&commands, MessageId(id), &headers, canceled).await
}
