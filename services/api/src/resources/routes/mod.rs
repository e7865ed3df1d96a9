//! Routes that the log keeps: which messages of a tenant go by which accounts.

mod create;
mod get;
mod list;
mod patch;
mod remove;
mod request;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::write::Written;
use crate::auth::Door;
use crate::commands::{Commands, tell_write};
use crate::queries::Queries;

/// What routes are called where there is none.
const WHAT: &str = "route";

/// What can be done with routes.
pub(crate) fn command_routes() -> OpenApiRouter<Arc<Commands>> {
    OpenApiRouter::new()
        .routes(routes!(create::handler))
        .routes(routes!(patch::handler))
        .routes(routes!(remove::handler))
}

/// What can be asked about them.
pub(crate) fn query_routes() -> OpenApiRouter<Queries> {
    OpenApiRouter::new().routes(routes!(list::handler)).routes(routes!(get::handler))
}

/// The answer to whoever has made or changed a route, once this process knows it.
async fn answer(door: &Door, status: StatusCode, written: Written) -> Response {
    let Written { route, position, replayed } = written;
    door.knows(position).await;
    let mut response = (status, Json(route)).into_response();
    tell_write(response.headers_mut(), position, replayed);
    response
}
