//! `GET /api/v1/routes/{id}`: one route.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::RouteId;
use hatch_readmodel::{RouteInfo, configuration};

use super::WHAT;
use crate::auth::Caller;
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;
use crate::queries::{FreshnessParameters, Queries};

/// One route
#[utoipa::path(
    get, path = "/api/v1/routes/{id}", operation_id = "get_route", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(("id" = Uuid, Path, description = "The route."), FreshnessParameters),
    responses((status = 200, description = "The route.", body = RouteInfo))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
) -> Result<Json<RouteInfo>, Problem> {
    parameters.wait(&queries, &[&configuration::DEFINITION]).await?;
    let found = queries.read_model.route(caller.tenant, RouteId(id)).await?;
    found.map(Json).ok_or_else(|| Problem::not_found(WHAT))
}
