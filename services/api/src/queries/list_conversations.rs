//! `GET /api/v1/conversations`: conversations, the one with the newest message first.

use axum::Json;
use axum::extract::State;
use hatch_eventstore::Position;
use hatch_readmodel::{Conversation, ConversationFilter, List};
use serde::Deserialize;

use super::parameters::{Freshness, channel, page, participant};
use super::{Queries, TENANT};
use crate::Problem;
use crate::extract::QueryParameters;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    participant: Option<String>,
    channel: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
    after: Option<Position>,
    wait: Option<f64>,
}

pub(super) async fn handler(
    State(queries): State<Queries>,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<List<Conversation>>, Problem> {
    let filter = ConversationFilter {
        participant: participant(parameters.participant.as_deref())?,
        channel: channel(parameters.channel.as_deref())?,
    };
    let page = page(parameters.limit, parameters.cursor)?;
    Freshness::new(parameters.after, parameters.wait).wait(&queries).await?;
    Ok(Json(queries.read_model.conversations(TENANT, &filter, &page).await?))
}
