//! `GET /api/v1/messages/{id}`: one message, as it is or as it was.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_readmodel::{Message, messages};

use super::parameters::OneParameters;
use super::{Queries, past};
use crate::auth::Caller;
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;

/// One message
#[utoipa::path(
    get, path = "/api/v1/messages/{id}", operation_id = "get_message", tag = "messages",
    security(("bearer" = ["messages:read"])),
    params(("id" = Uuid, Path, description = "The message."), OneParameters),
    responses((status = 200, description = "The message.", body = Message))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<OneParameters>,
) -> Result<Json<Message>, Problem> {
    one(&queries, caller.tenant, MessageId(id), &parameters).await.map(Json)
}

/// The message, as it is or as it was.
///
/// # Errors
/// 404 where there is none; as its parameters are waited for and read.
pub(super) async fn one(
    queries: &Queries,
    tenant: TenantId,
    id: MessageId,
    parameters: &OneParameters,
) -> Result<Message, Problem> {
    parameters.freshness().wait(queries, &[&messages::DEFINITION]).await?;
    let read_model = &queries.read_model;
    let message = match &parameters.at {
        None => read_model.message_or_its_beginning(&queries.log, tenant, id).await?,
        Some(at) => {
            let position = past::position(queries, at).await?;
            read_model.message_at(&queries.log, tenant, id, position).await?
        }
    };
    message.ok_or_else(|| Problem::not_found("message"))
}
