//! Conversations: what can be done in one.

mod reply;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::commands::Commands;

/// What can be done in a conversation.
pub(crate) fn command_routes() -> OpenApiRouter<Arc<Commands>> {
    OpenApiRouter::new().routes(routes!(reply::handler))
}
