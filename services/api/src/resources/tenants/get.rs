//! `GET /api/v1/tenants/{id}`: one tenant.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::TenantId;
use hatch_readmodel::{TenantInfo, configuration};

use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;
use crate::queries::{FreshnessParameters, Queries};

/// One tenant
#[utoipa::path(
    get, path = "/api/v1/tenants/{id}", operation_id = "get_tenant", tag = "tenants",
    security(("bearer" = ["platform"])),
    params(("id" = Uuid, Path, description = "The tenant."), FreshnessParameters),
    responses((status = 200, description = "The tenant.", body = TenantInfo))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
) -> Result<Json<TenantInfo>, Problem> {
    parameters.wait(&queries, &[&configuration::DEFINITION]).await?;
    let found = queries.read_model.tenant(TenantId(id)).await?;
    found.map(Json).ok_or_else(|| Problem::not_found("tenant"))
}
