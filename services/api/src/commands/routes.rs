//! The endpoints of the command role.

use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    Commands, cancel_message, preview_message, resolve_message, retry_message, send_batch,
    send_message,
};
use crate::resources::{
    accounts, api_keys, consent, conversations, pools, routes as of_accounts, tasks, team, tenants,
};

/// The endpoints of the command role.
pub fn router(commands: Commands) -> Router {
    Router::from(routes()).with_state(Arc::new(commands))
}

pub(crate) fn routes() -> OpenApiRouter<Arc<Commands>> {
    OpenApiRouter::new()
        .routes(routes!(send_message::handler))
        .route("/api/v1/messages/send", post(send_message::handler))
        .routes(routes!(send_batch::handler))
        .routes(routes!(preview_message::handler))
        .routes(routes!(cancel_message::handler))
        .routes(routes!(retry_message::handler))
        .routes(routes!(resolve_message::handler))
        .merge(accounts::command_routes())
        .merge(api_keys::command_routes())
        .merge(consent::command_routes())
        .merge(conversations::command_routes())
        .merge(pools::command_routes())
        .merge(of_accounts::command_routes())
        .merge(tasks::command_routes())
        .merge(team::command_routes())
        .merge(tenants::command_routes())
}
