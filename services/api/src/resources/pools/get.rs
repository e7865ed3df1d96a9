//! `GET /api/v1/pools/{name}`: one pool.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::{PoolInfo, configuration};

use super::{PathName, WHAT};
use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::problem::Problem;
use crate::queries::{FreshnessParameters, Queries};

/// One pool of senders
#[utoipa::path(
    get, path = "/api/v1/pools/{name}", operation_id = "get_pool", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(("name" = String, Path, description = "The pool.", example = "support"), FreshnessParameters),
    responses((status = 200, description = "The pool.", body = PoolInfo))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathName(name): PathName,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
) -> Result<Json<PoolInfo>, Problem> {
    parameters.wait(&queries, &[&configuration::DEFINITION]).await?;
    let found = queries.read_model.pool(caller.tenant, &name).await?;
    found.map(Json).ok_or_else(|| Problem::not_found(WHAT))
}
