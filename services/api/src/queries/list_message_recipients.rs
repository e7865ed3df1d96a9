//! `GET /api/v1/messages/{id}/recipients`: what became of each recipient of a message.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::MessageId;
use hatch_readmodel::Recipient;
use serde::Serialize;
use utoipa::ToSchema;

use super::parameters::OneParameters;
use super::{Queries, get_message};
use crate::auth::Caller;
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecipientList)]
pub(super) struct Recipients {
    /// All of them, as the message names them: `to`, `cc`, `bcc`. Up to 100 whom only receipts name follow.
    data: Vec<Recipient>,
    /// Always `null`: the list has one page.
    next_cursor: Option<String>,
}

/// What became of each recipient of a message
///
/// Of a message to a single recipient, and of one that came in, each recipient stands where the message does.
#[utoipa::path(
    get, path = "/api/v1/messages/{id}/recipients", operation_id = "list_message_recipients", tag = "messages",
    security(("bearer" = ["messages:read"])),
    params(("id" = Uuid, Path, description = "The message."), OneParameters),
    responses((status = 200, description = "The recipients.", body = Recipients))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<OneParameters>,
) -> Result<Json<Recipients>, Problem> {
    let message = get_message::one(&queries, caller.tenant, MessageId(id), &parameters).await?;
    Ok(Json(Recipients { data: message.into_recipients(), next_cursor: None }))
}
