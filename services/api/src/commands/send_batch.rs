//! `POST /api/v1/messages/batch`: asks for many messages at once, each for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::accept::Accepted;
use super::idempotency::{IdempotencyKey, check_key, item_key};
use super::send_request::SendRequest;
use super::{Admissible, Commands, TENANT};
use crate::Problem;
use crate::extract::parse_json;
use crate::problem::{FieldError, POSITION};

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
/// Bad items do not fail good ones. A key counts for each message with its place, so that a batch that
/// was interrupted can be repeated.
#[utoipa::path(
    post, path = "/api/v1/messages/batch", operation_id = "send_batch", tag = "messages",
    params(IdempotencyKey),
    request_body(content = Batch, example = json!({"messages": [
        {"to": "+18045551234", "body": "Hello"}, {"to": "ann@example.com", "body": "Hello"}]})),
    responses(
        (status = 202, description = "What each message alone would have been answered, in order.",
         body = Results, headers(
            ("Hatch-Position" = i64, description = "The highest log position of the writes.")))
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    headers: HeaderMap,
    Admissible(batch): Admissible<Batch>,
) -> Result<Response, Problem> {
    check_key(&headers)?;
    let count = batch.messages.len();
    if !(1..=MESSAGES_MAX).contains(&count) {
        let detail = format!("expected 1 to {MESSAGES_MAX} messages, got {count}");
        return Err(Problem::invalid(vec![FieldError::new("/messages", detail)]));
    }
    // Once the log is away, the rest does not wait for it one by one.
    let away = &AtomicBool::new(false);
    let (commands, headers) = (&commands, &headers);
    let items = batch.messages.into_iter().enumerate();
    let results: Vec<Result<Accepted, Problem>> = futures::stream::iter(items)
        .map(|(index, item)| async move {
            if away.load(Ordering::Relaxed) {
                return Err(Problem::unavailable("the log did not answer in time"));
            }
            let result = one(commands, headers, index, &item).await;
            if result.as_ref().is_err_and(Problem::is_unavailable) {
                away.store(true, Ordering::Relaxed);
            }
            result
        })
        .buffered(CONCURRENCY_MAX)
        .collect()
        .await;
    answer(results)
}

async fn one(
    commands: &Commands,
    headers: &HeaderMap,
    index: usize,
    item: &RawValue,
) -> Result<Accepted, Problem> {
    let invalid = |error| Problem::invalid(vec![error]);
    let request: SendRequest = parse_json(item.get().as_bytes()).map_err(invalid)?;
    let send = request.validate(commands.senders()).map_err(Problem::invalid)?;
    let key = item_key(headers, TENANT, ROUTE, index, &send)?;
    commands.accept(TENANT, send, key).await
}

fn answer(results: Vec<Result<Accepted, Problem>>) -> Result<Response, Problem> {
    let position = results.iter().flatten().map(|accepted| accepted.position).max();
    let mut failed = results.iter().filter_map(|result| result.as_ref().err());
    if let (None, Some(passing)) = (position, failed.find(|p| p.is_passing())) {
        return Err(passing.clone());
    }
    let data = results
        .into_iter()
        .map(|result| match result {
            Ok(accepted) => ItemResult::Accepted(accepted),
            Err(problem) => ItemResult::Refused { error: problem.to_json() },
        })
        .collect();
    let mut response = (StatusCode::ACCEPTED, Json(Results { data })).into_response();
    if let Some(position) = position {
        response.headers_mut().insert(POSITION, HeaderValue::from(position.0));
    }
    Ok(response)
}
