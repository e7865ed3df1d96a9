//! Changing what becomes of a message that exists. Who was first, a client or a dispatcher that
//! claimed an attempt, the log decides: the loser's append conflicts, and it decides anew.

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, MessageRejection};
use hatch_domain::message::status::Status;
use hatch_eventstore::{
    Appended, CommandKey, Execute, ExecuteError, Executed, Metadata, Position, Store,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::TENANT;
use super::accept::{ACTOR, tell_write};
use super::idempotency::command_key;
use crate::names::StatusName;
use crate::problem::Problem;

/// The origin of a change, and the idempotency key, if there is one.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// Whose message it is.
    pub tenant_id: TenantId,
    /// As the event has it, such as `api`.
    pub actor: &'static str,
    /// The client's idempotency key.
    pub key: Option<CommandKey>,
}

impl Caller {
    /// A client of the API. `route` is the scope of its idempotency keys.
    pub(super) fn client(headers: &HeaderMap, route: &str, id: MessageId) -> Result<Self, Problem> {
        let key = command_key(headers, TENANT, route, &id)?;
        Ok(Self { tenant_id: TENANT, actor: ACTOR, key })
    }
}

/// The result of a change.
pub type ChangeResult = Result<Executed<Message>, ExecuteError<MessageRejection>>;

/// Begins a new round of attempts for a message that failed or did not arrive.
///
/// # Errors
/// The domain's rejection when the message is in another status, and whatever keeps the log from taking the event.
pub async fn retry(store: &Store, caller: Caller, id: MessageId) -> ChangeResult {
    let command = MessageCommand::Retry { at: store.environment().now() };
    execute(store, caller, id, &command).await
}

/// Calls a message off before an attempt begins.
pub(super) async fn cancel(store: &Store, caller: Caller, id: MessageId) -> ChangeResult {
    let command = MessageCommand::Cancel { at: store.environment().now() };
    execute(store, caller, id, &command).await
}

async fn execute(
    store: &Store,
    caller: Caller,
    id: MessageId,
    command: &MessageCommand,
) -> ChangeResult {
    let Caller { tenant_id, actor, key } = caller;
    let metadata =
        Metadata { correlation_id: id.0, actor: actor.to_owned(), ..Metadata::default() };
    store.execute(Execute::<Message>::new(tenant_id.0, id.0, command, metadata).key(key)).await
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

/// The answer to a change of message `id`, which has this status now.
pub(super) fn answer(
    id: MessageId,
    changed: ChangeResult,
    (answer, status): (StatusCode, Status),
) -> Result<Response, Problem> {
    let executed = changed.map_err(refusal)?;
    let (position, replayed) = match executed.appended {
        Some(Appended::Committed { first, .. }) => (first, false),
        Some(Appended::Duplicate { first, .. }) => (first, true),
        None => return Err(Problem::unavailable("the command made no event")),
    };
    let body = Changed { id, status, position };
    let mut response = (answer, Json(body)).into_response();
    tell_write(response.headers_mut(), position, replayed);
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
