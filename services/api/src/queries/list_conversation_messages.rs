//! `GET /api/v1/conversations/{id}/messages`: the messages of one conversation, the newest first.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::ConversationId;
use hatch_eventstore::Position;
use hatch_readmodel::{List, Message};
use serde::Deserialize;

use super::parameters::{Freshness, page};
use super::{Queries, TENANT};
use crate::Problem;
use crate::extract::{PathId, QueryParameters};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    limit: Option<u32>,
    cursor: Option<String>,
    after: Option<Position>,
    wait: Option<f64>,
}

pub(super) async fn handler(
    State(queries): State<Queries>,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<List<Message>>, Problem> {
    let page = page(parameters.limit, parameters.cursor)?;
    Freshness::new(parameters.after, parameters.wait).wait(&queries).await?;
    let messages =
        queries.read_model.conversation_messages(TENANT, ConversationId(id), &page).await?;
    messages.map(Json).ok_or_else(|| Problem::not_found("conversation"))
}
