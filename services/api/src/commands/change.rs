//! Changing what becomes of a message that exists. Who was first, a client or a dispatcher that
//! claimed an attempt, the log decides: the loser's append conflicts, and it decides anew.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hatch_domain::ids::MessageId;
use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, MessageRejection};
use hatch_domain::message::status::Status;
use hatch_eventstore::{Appended, Execute, ExecuteError, Position};
use serde::Serialize;
use utoipa::ToSchema;

use super::accept::{REPLAYED, metadata};
use super::idempotency::command_key;
use super::{Commands, TENANT};
use crate::names::StatusName;
use crate::problem::{POSITION, Problem};

/// A command of a client, and what it is answered.
pub(super) struct MessageChange {
    /// The scope of its idempotency keys.
    pub(super) route: &'static str,
    pub(super) command: MessageCommand,
    /// The status of the message after it.
    pub(super) becomes: Status,
    pub(super) answer: StatusCode,
}

/// What became of a message.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Changed {
    #[schema(value_type = Uuid)]
    id: MessageId,
    #[schema(value_type = StatusName)]
    status: Status,
    #[schema(value_type = i64)]
    position: Position,
}

pub(super) async fn change(
    commands: &Commands,
    id: MessageId,
    headers: &HeaderMap,
    change: MessageChange,
) -> Result<Response, Problem> {
    let key = command_key(headers, TENANT, change.route, &id)?;
    let executed = commands
        .store
        .execute::<Message>(Execute::new(TENANT.0, id.0, &change.command, metadata(id)).key(key))
        .await
        .map_err(refusal)?;
    let (position, replayed) = match executed.appended {
        Some(Appended::Committed { first, .. }) => (first, false),
        Some(Appended::Duplicate { first, .. }) => (first, true),
        None => return Err(Problem::unavailable("the command made no event")),
    };
    let body = Changed { id, status: change.becomes, position };
    let mut response = (change.answer, Json(body)).into_response();
    response.headers_mut().insert(POSITION, HeaderValue::from(position.0));
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn refusal(error: ExecuteError<MessageRejection>) -> Problem {
    match error {
        ExecuteError::Rejected(MessageRejection::Unknown) => Problem::not_found("message"),
        ExecuteError::Rejected(MessageRejection::Inbound) => {
            let status = Status::Received.as_str();
            Problem::conflict(format!("the message is {status}: it came in, and is not sent"))
        }
        ExecuteError::Rejected(
            rejection @ (MessageRejection::NotCancelable(_) | MessageRejection::NotRetryable(_)),
        ) => Problem::conflict(rejection.to_string()),
        error => error.into(),
    }
}
