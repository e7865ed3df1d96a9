//! `GET /api/v1/messages/{id}/attempts`: every attempt to send a message, the oldest first.

mod fold;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use hatch_domain::ErrorClass;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::AGGREGATE;
use hatch_domain::message::event::MessageEvent;
use hatch_domain::scope::Scope;
use hatch_readmodel::{AttemptDetails, List, QueryError, WholeList};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use self::fold::{MadeAttempt, Outcome, attempts_of};
use super::Queries;
use super::parameters::PageParameters;
use crate::auth::Caller;
use crate::client_address::ClientAddress;
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;
use crate::trail::Read;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AttemptList)]
pub(super) struct Attempts {
    /// The oldest first.
    data: Vec<Attempt>,
    /// Where the next page begins; none when this is the last.
    next_cursor: Option<String>,
}

/// An attempt to send a message.
#[derive(Debug, Serialize, ToSchema)]
struct Attempt {
    /// Its number, from 1.
    attempt: u32,
    /// In which round of attempts it was made, from 1: each retry begins one.
    round: u32,
    /// The account that made it: hatch's name of it, or its provider's where none is known.
    account: String,
    /// The provider.
    provider: String,
    /// The route that chose the account, where one did.
    route: Option<String>,
    /// Why that account was chosen, where that was said.
    reason: Option<String>,
    /// When it was claimed.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    claimed_at: DateTime<Utc>,
    /// When the provider was called, as long as that is kept.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    called_at: Option<DateTime<Utc>>,
    /// Milliseconds that it waited from when it was due until it was claimed.
    queue_ms: i64,
    /// Milliseconds that a new connection took: name, TCP and TLS. None where an idle one was used.
    connect_ms: Option<i32>,
    /// Milliseconds until the answer began; none where none came.
    first_byte_ms: Option<i32>,
    /// Milliseconds until the whole answer was there, or nobody waited any more.
    total_ms: Option<i32>,
    /// What came of it, as far as that is known.
    outcome: Outcome,
    /// What kind of error it was, if it was one.
    class: Option<ErrorClass>,
    /// The status of the HTTP answer, as long as that is kept.
    http_status: Option<i32>,
    /// The provider's code, or ours, of the error.
    provider_code: Option<String>,
    /// What was said of it, for people.
    detail: Option<String>,
    /// What the provider calls the message, where it took it.
    provider_message_id: Option<String>,
    /// What was sent, without secrets: the first 4 KiB. None without the scope `raw:read`, and once it is not kept.
    request: Option<SentRequest>,
    /// What came back, likewise.
    response: Option<SentResponse>,
}

/// A request to a provider, without secrets.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AttemptRequest)]
struct SentRequest {
    /// The method.
    method: String,
    /// The URL.
    url: String,
    /// Those of its headers that hold no secrets.
    headers: BTreeMap<String, String>,
    /// The beginning of its body, as text; none of one that was streamed.
    body: Option<String>,
}

/// An answer of a provider, without secrets.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AttemptResponse)]
struct SentResponse {
    /// Its status.
    status: u16,
    /// Those of its headers that hold no secrets.
    headers: BTreeMap<String, String>,
    /// The beginning of its body, as text.
    body: Option<String>,
}

/// Every attempt to send a message, the oldest first
///
/// What is said of each comes from the log. Times of the call, request and response are kept for
/// `dispatcher.attempts_kept_days`, and are absent where they could not be kept. That requests were shown is in the audit.
#[utoipa::path(
    get, path = "/api/v1/messages/{id}/attempts", operation_id = "list_message_attempts", tag = "messages",
    security(("bearer" = ["messages:read"])),
    params(("id" = Uuid, Path, description = "The message."), PageParameters),
    responses((status = 200, description = "A page.", body = Attempts))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    Extension(client): Extension<ClientAddress>,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<PageParameters>,
) -> Result<Json<Attempts>, Problem> {
    let page = parameters.page(&queries, &[]).await?;
    let events = queries.log.read_stream_of(AGGREGATE, caller.tenant.0, id).await?;
    if events.is_empty() {
        return Err(Problem::not_found("message"));
    }
    let events: Result<Vec<MessageEvent>, _> = events.iter().map(|event| event.decode()).collect();
    let events = events.map_err(|error| Problem::fault(&error))?;
    let made = attempts_of(&events);
    let mut kept = match made.is_empty() {
        true => BTreeMap::new(),
        false => queries.read_model.attempts(caller.tenant, MessageId(id)).await?,
    };
    let raw = caller.allows(Scope::RawRead);
    if raw && kept.values().any(|one| one.request.is_some() || one.response.is_some()) {
        let details = json!({ "attempts": kept.len() });
        let object = Some(("message", id.to_string()));
        let read = Read { action: "attempts.read", object, details };
        queries.audit_read(&caller, client, read).await?;
    }
    let tenant = caller.tenant;
    let shown = |made: MadeAttempt| {
        let details = kept.remove(&made.attempt);
        (format!("{:010}", made.attempt), shown(&queries, tenant, made, (details, raw)))
    };
    let cut = page.of(WholeList::Attempts, made.into_iter().map(shown));
    let List { data, next_cursor } = cut.map_err(QueryError::from)?;
    Ok(Json(Attempts { data, next_cursor }))
}

fn shown(
    queries: &Queries,
    tenant: TenantId,
    made: MadeAttempt,
    (details, raw): (Option<AttemptDetails>, bool),
) -> Attempt {
    let (called_at, times, http_status, request, response) = match details {
        None => (None, [None; 3], None, None, None),
        Some(kept) => (
            Some(kept.called_at),
            [kept.connect_ms, kept.first_byte_ms, kept.total_ms],
            kept.http_status,
            kept.request.filter(|_| raw),
            kept.response.filter(|_| raw),
        ),
    };
    let [connect_ms, first_byte_ms, total_ms] = times;
    let called = || queries.doubts.account(tenant, Some(&made.provider), Some(&made.account));
    let account = match made.choice.as_ref() {
        Some(choice) => choice.name.as_str().to_owned(),
        None => called().map_or_else(|| made.account.clone(), |one| one.name.as_str().to_owned()),
    };
    let (route, reason) = match made.choice {
        Some(choice) => (choice.route, Some(choice.reason)),
        None => (None, None),
    };
    let error = made.error;
    Attempt {
        attempt: made.attempt,
        round: made.round,
        account,
        provider: made.provider,
        route,
        reason,
        claimed_at: made.claimed_at,
        called_at,
        queue_ms: made.queued.num_milliseconds().max(0),
        connect_ms,
        first_byte_ms,
        total_ms,
        outcome: made.outcome,
        class: error.as_ref().map(|error| error.class),
        http_status,
        provider_code: error.map(|error| error.code),
        detail: made.detail,
        provider_message_id: made.provider_message_id,
        request: request.and_then(read::<SentRequest>),
        response: response.and_then(read::<SentResponse>),
    }
}

/// What a newer build keeps otherwise is not shown.
fn read<T: serde::de::DeserializeOwned>(kept: Value) -> Option<T> {
    serde_json::from_value(kept).ok()
}
