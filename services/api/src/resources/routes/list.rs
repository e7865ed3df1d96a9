//! `GET /api/v1/routes`: the tenant's routes that the log keeps, the newest first.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::{List, RouteInfo, configuration};

use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::problem::Problem;
use crate::queries::{PageParameters, Queries};

/// The tenant's routes, the newest first
///
/// Those that were made here. Which one is looked at first, `order` says. Routes of the installation's files are not among
/// them, and neither are those that were removed.
#[utoipa::path(
    get, path = "/api/v1/routes", operation_id = "list_routes", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(PageParameters),
    responses((status = 200, description = "A page.", body = List<RouteInfo>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<PageParameters>,
) -> Result<Json<List<RouteInfo>>, Problem> {
    let page = parameters.page(&queries, &[&configuration::DEFINITION]).await?;
    Ok(Json(queries.read_model.routes(caller.tenant, &page).await?))
}
