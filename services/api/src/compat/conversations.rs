//! `GET /api/conversations` and `GET /api/conversations/{id}/messages`, which has two spellings.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::ConversationId;
use hatch_readmodel::{Conversation, ConversationFilter, List, Message, Page, QueryError};
use serde::{Deserialize, Serialize};

use crate::Problem;
use crate::commands::TENANT;
use crate::extract::{PathId, QueryParameters};
use crate::queries::Queries;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    limit: Option<u32>,
    cursor: Option<String>,
}

impl Parameters {
    fn page(self) -> Result<Page, Problem> {
        Page::new(self.limit, self.cursor).map_err(|error| QueryError::from(error).into())
    }
}

#[derive(Serialize)]
pub(super) struct Conversations {
    conversations: Vec<Conversation>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Messages {
    messages: Vec<Message>,
    next_cursor: Option<String>,
}

pub(super) async fn list(
    State(queries): State<Queries>,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<Conversations>, Problem> {
    let (filter, page) = (ConversationFilter::default(), parameters.page()?);
    let List { data, next_cursor } =
        queries.read_model.conversations(TENANT, &filter, &page).await?;
    Ok(Json(Conversations { conversations: data, next_cursor }))
}

pub(super) async fn messages(
    State(queries): State<Queries>,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<Messages>, Problem> {
    let page = parameters.page()?;
    let list = queries.read_model.conversation_messages(TENANT, ConversationId(id), &page).await?;
    let List { data, next_cursor } = list.ok_or_else(|| Problem::not_found("conversation"))?;
    Ok(Json(Messages { messages: data, next_cursor }))
}
