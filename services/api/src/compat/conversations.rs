//! `GET /api/conversations` and `GET /api/conversations/{id}/messages`, which has two spellings.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::ConversationId;
use hatch_readmodel::{Conversation, ConversationFilter, List, Message, Page, QueryError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;
use crate::queries::Queries;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// Rows of a page; 50 when it is left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before, of the same list.
    cursor: Option<String>,
}

impl Parameters {
    fn page(self) -> Result<Page, Problem> {
        Page::new(self.limit, self.cursor).map_err(|error| QueryError::from(error).into())
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = CompatConversations)]
pub(super) struct Conversations {
    conversations: Vec<Conversation>,
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CompatMessages)]
pub(super) struct Messages {
    messages: Vec<Message>,
    next_cursor: Option<String>,
}

/// Conversations, the latest activity first
#[utoipa::path(
    get, path = "/api/conversations", operation_id = "compat_list_conversations", tag = "compatibility",
    security(("bearer" = ["conversations:read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = Conversations))
)]
pub(super) async fn list(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<Conversations>, Problem> {
    let (filter, page) = (ConversationFilter::default(), parameters.page()?);
    let List { data, next_cursor } =
        queries.read_model.conversations(caller.tenant, &filter, &page).await?;
    Ok(Json(Conversations { conversations: data, next_cursor }))
}

/// The messages of a conversation, the newest first
///
/// `GET /api/conversation/{id}/messages` is another name.
#[utoipa::path(
    get, path = "/api/conversations/{id}/messages", operation_id = "compat_list_messages", tag = "compatibility",
    security(("bearer" = ["conversations:read"])),
    params(("id" = Uuid, Path, description = "The conversation."), Parameters),
    responses((status = 200, description = "A page.", body = Messages))
)]
pub(super) async fn messages(
    State(queries): State<Queries>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<Messages>, Problem> {
    let page = parameters.page()?;
    let list =
        queries.read_model.conversation_messages(caller.tenant, ConversationId(id), &page).await?;
    let List { data, next_cursor } = list.ok_or_else(|| Problem::not_found("conversation"))?;
    Ok(Json(Messages { messages: data, next_cursor }))
}
