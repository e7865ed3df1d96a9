//! `DELETE /api/v1/routes/{id}`: removes a route.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hatch_domain::ids::RouteId;
use hatch_readmodel::RouteInfo;

use super::{answer, write};
use crate::auth::{Caller, Door};
use crate::commands::Commands;
use crate::extract::{NoBody, NoParameters, PathId, QueryParameters};
use crate::problem::Problem;

/// Removes a route
///
/// Within a second its messages go by the next route that fits them; those that wait for an account are sorted anew then.
/// Removing it again changes nothing.
#[utoipa::path(
    delete, path = "/api/v1/routes/{id}", operation_id = "remove_route", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(("id" = Uuid, Path, description = "The route.")),
    responses((status = 200, description = "Removed, now or before.", body = RouteInfo,
        headers(("Hatch-Position" = i64, description = "A log position by which it is removed."))))
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    PathId(id): PathId,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let written = write::remove(&commands, &caller, RouteId(id)).await?;
    Ok(answer(&door, StatusCode::OK, written).await)
}
