//! Changing what becomes of a message that exists. Who was first, a client or a dispatcher that
//! claimed an attempt, the log decides: the loser's append conflicts, and it decides anew.

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use hatch_domain::actor::Actor;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, MessageRejection, ResolveDoubt};
use hatch_domain::message::event::Resolution;
use hatch_domain::message::status::Status;
use hatch_eventstore::{
    Appended, CommandKey, Execute, ExecuteError, Executed, Loaded, Metadata, Position, Store,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::Commands;
use super::accept::tell_write;
use super::idempotency::command_key;
use crate::auth::Caller;
use crate::names::StatusName;
use crate::problem::Problem;

/// The origin of a change, and the idempotency key, if there is one.
#[derive(Debug, Clone)]
pub struct Change {
    /// Whose message it is.
    pub tenant_id: TenantId,
    /// Who does it, as the event has it.
    pub actor: Actor,
    /// The client's idempotency key.
    pub key: Option<CommandKey>,
}

impl Change {
    /// One that a client asks for. `route` is the scope of its idempotency keys, and `asked` what is compared under one.
    ///
    /// # Errors
    /// 400 for a key that is none; 403 where the client may not send such a message.
    pub(super) async fn by(
        caller: Caller,
        commands: &Commands,
        (headers, route): (&HeaderMap, &str),
        id: MessageId,
        asked: &impl Serialize,
    ) -> Result<Self, Problem> {
        let key = command_key(headers, &caller, route, asked)?;
        // Most keys send everything: then the message need not be known yet.
        if caller.is_restricted() {
            let Loaded::<Message> { state, .. } =
                commands.store.load(caller.tenant.0, id.0).await?;
            if let Some(requested) = state.requested() {
                caller.may_change(requested)?;
            }
        }
        Ok(Self { tenant_id: caller.tenant, actor: caller.actor, key })
    }
}

/// The result of a change.
pub type ChangeResult = Result<Executed<Message>, ExecuteError<MessageRejection>>;

/// Begins a new round of attempts for a message that failed or did not arrive.
///
/// # Errors
/// The domain's rejection when the message is in another status, and whatever keeps the log from taking the event.
pub async fn retry(store: &Store, change: Change, id: MessageId) -> ChangeResult {
    let command = MessageCommand::Retry { at: store.environment().now() };
    execute(store, change, id, &command).await
}

/// Calls a message off before an attempt begins.
pub(super) async fn cancel(store: &Store, change: Change, id: MessageId) -> ChangeResult {
    let command = MessageCommand::Cancel { at: store.environment().now() };
    execute(store, change, id, &command).await
}

/// Says by a person's word what an attempt in doubt was.
///
/// # Errors
/// The domain's rejection when nothing is in doubt, and whatever keeps the log from taking the event.
pub async fn resolve(
    store: &Store,
    change: Change,
    id: MessageId,
    (resolution, reason): (Resolution, String),
) -> ChangeResult {
    let at = store.environment().now();
    let command = MessageCommand::ResolveDoubt(ResolveDoubt { resolution, reason, at });
    execute(store, change, id, &command).await
}

async fn execute(
    store: &Store,
    change: Change,
    id: MessageId,
    command: &MessageCommand,
) -> ChangeResult {
    let Change { tenant_id, actor, key } = change;
    let metadata =
        Metadata { correlation_id: id.0, actor: actor.to_string(), ..Metadata::default() };
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
            rejection @ (MessageRejection::NotCancelable(_)
            | MessageRejection::NotRetryable(_)
            | MessageRejection::NotInDoubt(_)),
        ) => Problem::conflict(rejection.to_string()),
        error => error.into(),
    }
}
