//! `GET /api/v1/conversations/{id}`: one conversation.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::ConversationId;
use hatch_readmodel::Conversation;

use super::parameters::OneParameters;
use super::{Queries, TENANT};
use crate::Problem;
use crate::extract::{PathId, QueryParameters};

/// One conversation
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}", operation_id = "get_conversation", tag = "conversations",
    params(("id" = Uuid, Path, description = "The conversation."), OneParameters),
    responses((status = 200, description = "The conversation.", body = Conversation))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<OneParameters>,
) -> Result<Json<Conversation>, Problem> {
    parameters.freshness().wait(&queries).await?;
    let conversation = queries.read_model.conversation(TENANT, ConversationId(id)).await?;
    conversation.map(Json).ok_or_else(|| Problem::not_found("conversation"))
}
