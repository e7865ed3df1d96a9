//! `GET /api/v1/tenants`: every tenant, the newest first.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::{List, TenantInfo, configuration};

use crate::extract::QueryParameters;
use crate::problem::Problem;
use crate::queries::{PageParameters, Queries};

/// Every tenant, the newest first
///
/// The default tenant is one of them. It has always been there: without a change, it has no times.
#[utoipa::path(
    get, path = "/api/v1/tenants", operation_id = "list_tenants", tag = "tenants",
    security(("bearer" = ["platform"])),
    params(PageParameters),
    responses((status = 200, description = "A page.", body = List<TenantInfo>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    QueryParameters(parameters): QueryParameters<PageParameters>,
) -> Result<Json<List<TenantInfo>>, Problem> {
    let page = parameters.page(&queries, &[&configuration::DEFINITION]).await?;
    Ok(Json(queries.read_model.tenants(&page).await?))
}
