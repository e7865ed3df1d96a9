//! Pools that the log keeps: several senders of a tenant, of which hatch takes one for each recipient.

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
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use hatch_domain::pool::PoolName;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::write::Written;
use crate::auth::Door;
use crate::commands::{Commands, tell_write};
use crate::problem::Problem;
use crate::queries::Queries;

/// What pools are called where there is none.
const WHAT: &str = "pool";

/// What can be done with pools.
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

/// The answer to whoever has made or changed a pool, once this process knows it.
async fn answer(door: &Door, status: StatusCode, written: Written) -> Response {
    let Written { pool, position, replayed } = written;
    door.knows(position).await;
    let mut response = (status, Json(pool)).into_response();
    tell_write(response.headers_mut(), position, replayed);
    response
}

/// The name of a pool in the path. What is no name names nothing: 404.
struct PathName(PoolName);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let name = text.ok().and_then(|Path(text)| text.parse().ok());
        name.map(Self).ok_or_else(|| Problem::not_found(WHAT))
    }
}
