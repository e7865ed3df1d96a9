//! `GET /api/v1/conversations/{id}`: one conversation, as it is or as it was.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::ConversationId;
use hatch_readmodel::{Conversation, messages};

use super::parameters::OneParameters;
use super::{Queries, past};
use crate::auth::Caller;
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;

/// One conversation
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}", operation_id = "get_conversation", tag = "conversations",
    security(("bearer" = ["conversations:read"])),
    params(("id" = Uuid, Path, description = "The conversation."), OneParameters),
    responses((status = 200, description = "The conversation.", body = Conversation))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<OneParameters>,
) -> Result<Json<Conversation>, Problem> {
    let (read_model, id) = (&queries.read_model, ConversationId(id));
    let conversation = match &parameters.at {
        None => {
            parameters.freshness().wait(&queries, &[&messages::DEFINITION]).await?;
            read_model.conversation(caller.tenant, id).await?
        }
        Some(at) => {
            let position = past::position(&queries, at).await?;
            parameters.freshness_for(position).wait(&queries, &[&messages::DEFINITION]).await?;
            read_model.conversation_at(&queries.log, caller.tenant, id, position).await?
        }
    };
    conversation.map(Json).ok_or_else(|| Problem::not_found("conversation"))
}
