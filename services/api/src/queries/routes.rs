//! The endpoints of the query role.

use axum::Router;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    Queries, get_attachment, get_conversation, get_message, get_request, get_webhook,
    list_attempts, list_audit, list_conversation_events, list_conversation_messages,
    list_conversations, list_dead_letters, list_in_doubt, list_message_events,
    list_message_recipients, list_messages, list_projections, list_providers, list_requests,
    list_webhooks,
};
use crate::limits::get_limits;
use crate::resources::{
    accounts, api_keys, consent, members, pools, routes as of_accounts, sessions, tasks, team,
    tenants,
};

/// The endpoints of the query role.
pub fn router(queries: Queries) -> Router {
    Router::from(routes()).with_state(queries)
}

pub(crate) fn routes() -> OpenApiRouter<Queries> {
    OpenApiRouter::new()
        .routes(routes!(list_messages::handler))
        .routes(routes!(get_message::handler))
        .routes(routes!(list_message_events::handler))
        .routes(routes!(get_attachment::handler))
        .routes(routes!(list_attempts::handler))
        .routes(routes!(list_message_recipients::handler))
        .routes(routes!(list_conversations::handler))
        .routes(routes!(get_conversation::handler))
        .routes(routes!(list_conversation_messages::handler))
        .routes(routes!(list_conversation_events::handler))
        .routes(routes!(list_projections::handler))
        .routes(routes!(list_providers::handler))
        .routes(routes!(list_dead_letters::handler))
        .routes(routes!(list_in_doubt::handler))
        .routes(routes!(list_webhooks::handler))
        .routes(routes!(get_webhook::handler))
        .routes(routes!(get_limits::handler))
        .routes(routes!(list_audit::handler))
        .routes(routes!(list_requests::handler))
        .routes(routes!(get_request::handler))
        .merge(accounts::query_routes())
        .merge(api_keys::query_routes())
        .merge(consent::query_routes())
        .merge(members::query_routes())
        .merge(pools::query_routes())
        .merge(of_accounts::query_routes())
        .merge(sessions::query_routes())
        .merge(tasks::query_routes())
        .merge(team::query_routes())
        .merge(tenants::query_routes())
}
