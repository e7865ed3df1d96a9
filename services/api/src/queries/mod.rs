//! What clients read. Every answer comes from the read models, except a message's events and what was
//! at a moment of the past, which come from the log itself.

mod get_conversation;
mod get_message;
mod get_webhook;
mod list_conversation_messages;
mod list_conversations;
mod list_dead_letters;
mod list_message_events;
mod list_messages;
mod list_projections;
mod list_webhooks;
mod parameters;
pub(crate) mod past;

use std::sync::Arc;

use axum::Router;
use hatch_domain::ids::TenantId;
use hatch_eventstore::{HeadWatch, Log};
use hatch_readmodel::{QueryError, ReadModel, ReadPosition};
use hatch_telemetry::limit::Limit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::parameters::{Freshness, with_plus};
use crate::problem::{FieldError, Problem};

/// What the query role needs.
#[derive(Clone)]
pub struct Queries {
    /// The tables.
    pub read_model: ReadModel,
    /// How far they are.
    pub read_position: ReadPosition,
    /// The log.
    pub log: Log,
    /// How far that is known to be.
    pub head: HeadWatch,
    /// Reads that may wait for a position at a time.
    pub waiting: Arc<Limit>,
}

/// Whose data is asked for. There is one tenant until requests are authenticated.
pub(crate) const TENANT: TenantId = TenantId::DEFAULT;

/// The endpoints of the query role.
pub fn router(queries: Queries) -> Router {
    Router::from(routes()).with_state(queries)
}

pub(crate) fn routes() -> OpenApiRouter<Queries> {
    OpenApiRouter::new()
        .routes(routes!(list_messages::handler))
        .routes(routes!(get_message::handler))
        .routes(routes!(list_message_events::handler))
        .routes(routes!(list_conversations::handler))
        .routes(routes!(get_conversation::handler))
        .routes(routes!(list_conversation_messages::handler))
        .routes(routes!(list_projections::handler))
        .routes(routes!(list_dead_letters::handler))
        .routes(routes!(list_webhooks::handler))
        .routes(routes!(get_webhook::handler))
        .merge(crate::resources::consent::query_routes())
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Page(error) => {
                let parameter = match error {
                    hatch_readmodel::PageError::Limit => "?limit",
                    hatch_readmodel::PageError::Cursor => "?cursor",
                };
                Self::invalid(vec![FieldError::new(parameter, error.to_string())])
            }
            QueryError::Moment(error) => {
                Self::invalid(vec![FieldError::new("?at", error.to_string())])
            }
            QueryError::Database(error) if error.is_unavailable() => {
                Self::unavailable("the read models did not answer")
            }
            QueryError::Database(error) => Self::fault(&error),
        }
    }
}
