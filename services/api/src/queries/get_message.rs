//! `GET /api/v1/messages/{id}`: one message.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::MessageId;
use hatch_readmodel::Message;

use super::parameters::OneParameters;
use super::{Queries, TENANT};
use crate::Problem;
use crate::extract::{PathId, QueryParameters};

/// One message
#[utoipa::path(
    get, path = "/api/v1/messages/{id}", operation_id = "get_message", tag = "messages",
    params(("id" = Uuid, Path, description = "The message."), OneParameters),
    responses((status = 200, description = "The message.", body = Message))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<OneParameters>,
) -> Result<Json<Message>, Problem> {
    parameters.freshness().wait(&queries).await?;
    let message = queries.read_model.message(TENANT, MessageId(id)).await?;
    message.map(Json).ok_or_else(|| Problem::not_found("message"))
}
