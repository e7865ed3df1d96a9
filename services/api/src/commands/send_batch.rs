//! `POST /api/v1/messages/batch`: asks for many messages at once, each for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::accept::{Accepted, tell_write};
use super::answer::Asked;
use super::idempotency::{BatchKey, IdempotencyKey};
use super::send_request::SendRequest;
use super::{Admissible, Commands};
use crate::auth::Caller;
use crate::extract::{NoParameters, QueryParameters, parse_json};
use crate::limits::Quota;
use crate::problem::{ErrorPages, FieldCode, FieldError, Problem};
use crate::trail::RefusedParts;

/// Messages of a batch at most.
const MESSAGES_MAX: usize = 1_000;

/// Appends of one batch that are under way at a time.
const CONCURRENCY_MAX: usize = 256;

const ROUTE: &str = "POST /api/v1/messages/batch";

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// 1 to 1,000 messages.
    #[schema(value_type = Vec<SendRequest>, min_items = 1, max_items = 1000)]
    messages: Vec<Box<RawValue>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BatchResults)]
struct Results {
    /// In the order of the request.
    data: Vec<ItemResult>,
}

/// What one message of the batch would have been answered alone.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum ItemResult {
    Accepted(Accepted),
    Refused {
        #[schema(value_type = crate::problem::Body)]
        error: serde_json::Value,
    },
}

/// Asks for many messages at once, each for itself
///
/// Bad items do not fail good ones. A batch that was interrupted can be repeated under its key; what was
/// recorded is not recorded again.
#[utoipa::path(
    post, path = "/api/v1/messages/batch", operation_id = "send_batch", tag = "messages",
    security(("bearer" = ["messages:write"])),
    params(IdempotencyKey),
    request_body(content = Batch, example = json!({"messages": [
        {"to": "+18045551234", "body": "Hello"}, {"to": "ann@example.com", "body": "Hello"}]})),
    responses(
        (status = 202, description = "What each message alone would have been answered, in order.",
         body = Results, headers(
            ("Hatch-Position" = i64, description = "The highest log position of the writes."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before.")))
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    quota: Quota,
    pages: ErrorPages,
    Admissible(batch): Admissible<Batch>,
) -> Result<Response, Problem> {
    let count = batch.messages.len();
    if !(1..=MESSAGES_MAX).contains(&count) {
        let detail = format!("expected 1 to {MESSAGES_MAX} messages, got {count}");
        let error = FieldError::coded(FieldCode::WrongCount, "/messages", detail);
        return Err(Problem::invalid(vec![error]));
    }
    // One was charged before the body was read.
    quota.charge(count - 1)?;
    let read: Vec<Result<Asked, Problem>> =
        batch.messages.iter().map(|item| read(&commands, item)).collect();
    let understood: Vec<Understood<'_>> = read
        .iter()
        .zip(&batch.messages)
        .map(|(read, text)| read.as_ref().map_or(Understood::Not(text), Understood::As))
        .collect();
    let key = BatchKey::of(&headers, &caller, ROUTE, &understood)?;
    if let Some(key) = &key {
        refuse_other(&commands, key).await?;
    }
    // Once the log is away, the rest does not wait for it one by one.
    let away = &AtomicBool::new(false);
    let (commands, caller, key) = (&commands, &caller, &key);
    let results: Vec<Result<Accepted, Problem>> =
        futures::stream::iter(read.into_iter().enumerate())
            .map(|(index, item)| async move {
                if away.load(Ordering::Relaxed) {
                    return Err(Problem::unavailable("the log did not answer in time"));
                }
                let key = key.as_ref().map(|key| key.item(index));
                let result = commands.take(caller, item?, key).await;
                if result.as_ref().is_err_and(Problem::is_unavailable) {
                    away.store(true, Ordering::Relaxed);
                }
                result
            })
            .buffered(CONCURRENCY_MAX)
            .collect()
            .await;
    answer(results, &pages)
}

/// An item as batches are compared by: what was understood, or else its text.
#[derive(Serialize)]
#[serde(untagged)]
enum Understood<'a> {
    As(&'a Asked),
    Not(&'a RawValue),
}

fn read(commands: &Commands, item: &RawValue) -> Result<Asked, Problem> {
    let invalid = |error| Problem::invalid(vec![error]);
    let request: SendRequest = parse_json(item.get().as_bytes()).map_err(invalid)?;
    Asked::read(commands, request)
}

/// Refuses the batch if its key was used for another one, whatever places that had messages at.
async fn refuse_other(commands: &Commands, key: &BatchKey) -> Result<(), Problem> {
    let places: Vec<_> = (0..MESSAGES_MAX).map(|index| key.item(index)).collect();
    let used = commands.store.log().commands(&places).await?;
    match used.iter().any(|used| used.request_hash != places[0].request_hash) {
        true => Err(Problem::key_reused()),
        false => Ok(()),
    }
}

fn answer(
    results: Vec<Result<Accepted, Problem>>,
    pages: &ErrorPages,
) -> Result<Response, Problem> {
    let position = results.iter().flatten().map(|accepted| accepted.position).max();
    let replayed = position.is_some() && results.iter().flatten().all(|accepted| accepted.replayed);
    let mut failed = results.iter().filter_map(|result| result.as_ref().err());
    if let (None, Some(passing)) = (position, failed.find(|p| p.is_passing())) {
        return Err(passing.clone());
    }
    let refused = refused(&results);
    let data = results
        .into_iter()
        .map(|result| match result {
            Ok(accepted) => ItemResult::Accepted(accepted),
            Err(problem) => {
                ItemResult::Refused { error: problem.explained_by(pages.clone()).to_json() }
            }
        })
        .collect();
    let mut response = (StatusCode::ACCEPTED, Json(Results { data })).into_response();
    if let Some(position) = position {
        tell_write(response.headers_mut(), position, replayed);
    }
    if let Some(refused) = refused {
        response.extensions_mut().insert(refused);
    }
    Ok(response)
}

/// What the audit has of the messages that the caller may not send, if there are some.
fn refused(results: &[Result<Accepted, Problem>]) -> Option<RefusedParts> {
    let problems = results.iter().filter_map(|result| result.as_ref().err());
    let mut refused = problems.filter(|problem| problem.is_forbidden());
    let code = refused.next()?.code();
    Some(RefusedParts { count: refused.count() + 1, code })
}

#[cfg(test)]
mod tests;
