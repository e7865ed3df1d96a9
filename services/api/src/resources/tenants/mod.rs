//! Tenants: whose data it is. Who runs the installation makes them; each has keys of its own.

mod create;
mod get;
mod list;
mod patch;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::write::{
    Change, TeamChange, TeamChanged, Written, change, change_team, create, exists, find,
};
use crate::commands::Commands;
use crate::queries::Queries;

/// What can be done with tenants.
pub(crate) fn command_routes() -> OpenApiRouter<Arc<Commands>> {
    OpenApiRouter::new().routes(routes!(create::handler)).routes(routes!(patch::handler))
}

/// What can be asked about them.
pub(crate) fn query_routes() -> OpenApiRouter<Queries> {
    OpenApiRouter::new().routes(routes!(list::handler)).routes(routes!(get::handler))
}
