//! Work that takes its time: asked for by one request, done by whichever process has time, and seen by all.

mod get;
mod redrive;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::worker::run;
use crate::commands::Commands;
use crate::queries::Queries;

/// What can be asked to be done.
pub(crate) fn command_routes() -> OpenApiRouter<Arc<Commands>> {
    OpenApiRouter::new().routes(routes!(redrive::handler))
}

/// What can be asked of it.
pub(crate) fn query_routes() -> OpenApiRouter<Queries> {
    OpenApiRouter::new().routes(routes!(get::handler))
}
