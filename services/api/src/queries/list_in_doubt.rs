//! `GET /api/v1/in-doubt`: the messages of which nobody knows whether they were sent, the newest first.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hatch_domain::OnDoubt;
use hatch_domain::ids::TenantId;
use hatch_domain::message::event::MessageEvent;
use hatch_eventstore::Position;
use hatch_readmodel::{DoubtFilter, List, Message, MessageInDoubt, messages};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Queries;
use super::parameters::{Freshness, channel, page, plain};
use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::names::ChannelName;
use crate::problem::Problem;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// By this channel.
    #[param(value_type = Option<ChannelName>)]
    channel: Option<String>,
    /// Whose attempt was by this account: hatch's name of it, or its provider's.
    account: Option<String>,
    /// Rows of a page; 50 when it is left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before, of the same list.
    cursor: Option<String>,
    /// Shows the log at least up to this position, or answers 503.
    #[param(value_type = Option<i64>, minimum = 0)]
    after: Option<Position>,
    /// Seconds that `after` may wait; 2 when it is left out.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<f64>,
}

/// A message in doubt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageInDoubt)]
pub(super) struct InDoubt {
    #[serde(flatten)]
    message: Message,
    /// How the doubt stands.
    doubt: DoubtView,
}

/// How a doubt stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Doubt)]
struct DoubtView {
    /// The attempt of which nobody knows whether it sent.
    attempt: i32,
    /// The account that made it: hatch's name of it, or its provider's where there is no such account any more.
    account: Option<String>,
    /// Since when.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    since: DateTime<Utc>,
    /// What becomes of it: by the message's `on_doubt`, or else by the account's.
    policy: OnDoubt,
    /// How often somebody looked, such as by asking the provider.
    looks: u32,
    /// When somebody looks next.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    next_look_at: Option<DateTime<Utc>>,
    /// Whether nothing ends it by itself but a late receipt: `POST /api/v1/messages/{id}/resolve` does.
    left_to_person: bool,
}

/// Messages in doubt, the newest first
///
/// An attempt was made, and nobody knows whether it sent the message. `POST /api/v1/messages/{id}/resolve` says it.
#[utoipa::path(
    get, path = "/api/v1/in-doubt", operation_id = "list_in_doubt", tag = "messages",
    security(("bearer" = ["messages:read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<InDoubt>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<List<InDoubt>>, Problem> {
    let account = plain("?account", parameters.account)?;
    let filter = DoubtFilter {
        channel: channel(parameters.channel.as_deref())?,
        account: account.map(|named| queries.doubts.used(caller.tenant, named)),
    };
    let page = page(parameters.limit, parameters.cursor)?;
    Freshness::new(parameters.after, parameters.wait)
        .wait(&queries, &[&messages::DEFINITION])
        .await?;
    let List { data, next_cursor } =
        queries.read_model.in_doubt(caller.tenant, &filter, &page).await?;
    let asked = asked(&queries, &data).await?;
    let data = data.into_iter().map(|one| shown(&queries, caller.tenant, one, &asked)).collect();
    Ok(Json(List { data, next_cursor }))
}

/// What was asked for each message of a page, by the position of its request.
async fn asked(
    queries: &Queries,
    page: &[MessageInDoubt],
) -> Result<BTreeMap<Position, OnDoubt>, Problem> {
    if page.is_empty() {
        return Ok(BTreeMap::new());
    }
    let positions: Vec<_> = page.iter().map(|one| one.created_position).collect();
    let events = queries.log.read_positions(&positions).await?;
    let asked = events.iter().filter_map(|recorded| match recorded.decode() {
        Ok(MessageEvent::MessageRequested(request)) => {
            Some((recorded.position, request.options.on_doubt?))
        }
        _ => None,
    });
    Ok(asked.collect())
}

fn shown(
    queries: &Queries,
    tenant: TenantId,
    one: MessageInDoubt,
    asked: &BTreeMap<Position, OnDoubt>,
) -> InDoubt {
    let MessageInDoubt { message, created_position, account, since, looks, next_look_at } = one;
    let rules = &queries.doubts;
    let known = rules.account(tenant, message.provider.as_deref(), account.as_deref());
    let policy = rules.policy(known.as_deref(), asked.get(&created_position).copied());
    let doubt = DoubtView {
        attempt: message.attempts,
        account: known.map(|known| known.name.as_str().to_owned()).or(account),
        since,
        policy,
        looks,
        next_look_at,
        left_to_person: policy == OnDoubt::Wait && looks > 0,
    };
    InDoubt { message, doubt }
}
