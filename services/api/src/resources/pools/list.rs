//! `GET /api/v1/pools`: the tenant's pools that the log keeps, the newest first.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::{List, PoolInfo, configuration};

use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::problem::Problem;
use crate::queries::{PageParameters, Queries};

/// The tenant's pools of senders, the newest first
///
/// Those that were made here. Pools of the installation's files are not among them, and neither are those that were
/// removed.
#[utoipa::path(
    get, path = "/api/v1/pools", operation_id = "list_pools", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(PageParameters),
    responses((status = 200, description = "A page.", body = List<PoolInfo>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<PageParameters>,
) -> Result<Json<List<PoolInfo>>, Problem> {
    let page = parameters.page(&queries, &[&configuration::DEFINITION]).await?;
    Ok(Json(queries.read_model.pools(caller.tenant, &page).await?))
}
