//! `GET /api/v1/messages`: messages, the newest first.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::ConversationId;
use hatch_eventstore::Position;
use hatch_readmodel::{List, Message, MessageFilter, messages};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::Queries;
use super::parameters::{Freshness, channel, direction, page, participant, status};
use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::names::{ChannelName, DirectionName, StatusName};
use crate::problem::Problem;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// With this address among its participants.
    participant: Option<String>,
    /// Of this conversation.
    conversation: Option<Uuid>,
    /// By this channel.
    #[param(value_type = Option<ChannelName>)]
    channel: Option<String>,
    /// Of this direction.
    #[param(value_type = Option<DirectionName>)]
    direction: Option<String>,
    /// In this status.
    #[param(value_type = Option<StatusName>)]
    status: Option<String>,
    /// `true` for tests, `false` for what is none.
    test: Option<bool>,
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

/// Messages, the newest first
#[utoipa::path(
    get, path = "/api/v1/messages", operation_id = "list_messages", tag = "messages",
    security(("bearer" = ["messages:read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Message>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<List<Message>>, Problem> {
    let filter = MessageFilter {
        participant: participant(parameters.participant.as_deref())?,
        conversation: parameters.conversation.map(ConversationId),
        channel: channel(parameters.channel.as_deref())?,
        direction: direction(parameters.direction.as_deref())?,
        status: status(parameters.status.as_deref())?,
        test: parameters.test,
        ..MessageFilter::default()
    };
    let page = page(parameters.limit, parameters.cursor)?;
    Freshness::new(parameters.after, parameters.wait)
        .wait(&queries, &[&messages::DEFINITION])
        .await?;
    Ok(Json(queries.read_model.messages(caller.tenant, &filter, &page).await?))
}
