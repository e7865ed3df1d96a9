//! `GET /api/v1/messages`: messages, the newest first.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::ConversationId;
use hatch_eventstore::Position;
use hatch_readmodel::{List, Message, MessageFilter};
use serde::Deserialize;
use uuid::Uuid;

use super::parameters::{Freshness, channel, direction, page, participant, status};
use super::{Queries, TENANT};
use crate::Problem;
use crate::extract::QueryParameters;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    participant: Option<String>,
    conversation: Option<Uuid>,
    channel: Option<String>,
    direction: Option<String>,
    status: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
    after: Option<Position>,
    wait: Option<f64>,
}

pub(super) async fn handler(
    State(queries): State<Queries>,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<List<Message>>, Problem> {
    let filter = MessageFilter {
        participant: participant(parameters.participant.as_deref())?,
        conversation: parameters.conversation.map(ConversationId),
        channel: channel(parameters.channel.as_deref())?,
        direction: direction(parameters.direction.as_deref())?,
        status: status(parameters.status.as_deref())?,
    };
    let page = page(parameters.limit, parameters.cursor)?;
    Freshness::new(parameters.after, parameters.wait).wait(&queries).await?;
    Ok(Json(queries.read_model.messages(TENANT, &filter, &page).await?))
}
