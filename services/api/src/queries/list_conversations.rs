//! `GET /api/v1/conversations`: conversations, the one with the newest message first.

use axum::Json;
use axum::extract::State;
use hatch_eventstore::Position;
use hatch_readmodel::{Conversation, ConversationFilter, List, messages};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Queries;
use super::parameters::{Freshness, channel, page, participant};
use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::names::ChannelName;
use crate::problem::Problem;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// With this address among its participants.
    participant: Option<String>,
    /// By this channel.
    #[param(value_type = Option<ChannelName>)]
    channel: Option<String>,
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

/// Conversations, the latest activity first
#[utoipa::path(
    get, path = "/api/v1/conversations", operation_id = "list_conversations", tag = "conversations",
    security(("bearer" = ["conversations:read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Conversation>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<List<Conversation>>, Problem> {
    let filter = ConversationFilter {
        participant: participant(parameters.participant.as_deref())?,
        channel: channel(parameters.channel.as_deref())?,
    };
    let page = page(parameters.limit, parameters.cursor)?;
    Freshness::new(parameters.after, parameters.wait)
        .wait(&queries, &[&messages::DEFINITION])
        .await?;
    Ok(Json(queries.read_model.conversations(caller.tenant, &filter, &page).await?))
}
