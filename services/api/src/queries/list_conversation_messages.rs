//! `GET /api/v1/conversations/{id}/messages`: the messages of one conversation, the newest first.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::ConversationId;
use hatch_eventstore::Position;
use hatch_readmodel::{List, Message, messages};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Queries;
use super::parameters::{Freshness, page};
use crate::auth::Caller;
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
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

/// The messages of a conversation, the newest first
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}/messages", operation_id = "list_conversation_messages", tag = "conversations",
    security(("bearer" = ["conversations:read"])),
    params(("id" = Uuid, Path, description = "The conversation."), Parameters),
    responses((status = 200, description = "A page.", body = List<Message>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<List<Message>>, Problem> {
    let page = page(parameters.limit, parameters.cursor)?;
    Freshness::new(parameters.after, parameters.wait)
        .wait(&queries, &[&messages::DEFINITION])
        .await?;
    let messages =
        queries.read_model.conversation_messages(caller.tenant, ConversationId(id), &page).await?;
    messages.map(Json).ok_or_else(|| Problem::not_found("conversation"))
}
