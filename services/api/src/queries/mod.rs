//! What clients read. Every answer comes from the read models, except a message's events, which
//! come from the log itself.

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

use axum::Router;
use axum::routing::get;
use hatch_domain::ids::TenantId;
use hatch_eventstore::Log;
use hatch_readmodel::{QueryError, ReadModel, ReadPosition};

use crate::Problem;
use crate::problem::FieldError;

/// What the query role needs.
#[derive(Clone)]
pub struct Queries {
    /// The tables.
    pub read_model: ReadModel,
    /// How far they are.
    pub read_position: ReadPosition,
    /// The log.
    pub log: Log,
}

/// Whose data is asked for. There is one tenant until requests are authenticated.
const TENANT: TenantId = TenantId::DEFAULT;

/// The endpoints of the query role.
pub fn router(queries: Queries) -> Router {
    let conversations = "/api/v1/conversations";
    Router::new()
        .route("/api/v1/messages", get(list_messages::handler))
        .route("/api/v1/messages/{id}", get(get_message::handler))
        .route("/api/v1/messages/{id}/events", get(list_message_events::handler))
        .route(conversations, get(list_conversations::handler))
        .route(&format!("{conversations}/{{id}}"), get(get_conversation::handler))
        .route(
            &format!("{conversations}/{{id}}/messages"),
            get(list_conversation_messages::handler),
        )
        .route("/api/v1/projections", get(list_projections::handler))
        .route("/api/v1/dead-letters", get(list_dead_letters::handler))
        .route("/api/v1/webhook-log", get(list_webhooks::handler))
        .route("/api/v1/webhook-log/{id}", get(get_webhook::handler))
        .with_state(queries)
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
            QueryError::Database(error) if error.is_unavailable() => {
                Self::unavailable("the read models did not answer")
            }
            QueryError::Database(error) => Self::fault(&error),
        }
    }
}
