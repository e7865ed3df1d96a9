//! `GET /api/v1/api-keys`: the tenant's keys, the newest first.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::{KeyInfo, List, configuration};

use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::problem::Problem;
use crate::queries::{PageParameters, Queries};

/// API keys, the newest first
///
/// Those that are revoked or have expired are among them.
#[utoipa::path(
    get, path = "/api/v1/api-keys", operation_id = "list_api_keys", tag = "api-keys",
    security(("bearer" = ["keys:write"])),
    params(PageParameters),
    responses((status = 200, description = "A page.", body = List<KeyInfo>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<PageParameters>,
) -> Result<Json<List<KeyInfo>>, Problem> {
    let page = parameters.page(&queries, &[&configuration::DEFINITION]).await?;
    Ok(Json(queries.read_model.api_keys(caller.tenant, &page).await?))
}
