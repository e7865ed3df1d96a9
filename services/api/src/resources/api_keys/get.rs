//! `GET /api/v1/api-keys/{id}`: one key, and who used it last.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::{KeyInfo, configuration};

use super::PathKeyId;
use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::problem::Problem;
use crate::queries::{FreshnessParameters, Queries};

/// One API key, and who used it last
#[utoipa::path(
    get, path = "/api/v1/api-keys/{id}", operation_id = "get_api_key", tag = "api-keys",
    security(("bearer" = ["keys:write"])),
    params(("id" = String, Path, description = "The key.", example = "7Qm2xVb9Lk4R"), FreshnessParameters),
    responses((status = 200, description = "The key.", body = KeyInfo))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathKeyId(id): PathKeyId,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
) -> Result<Json<KeyInfo>, Problem> {
    parameters.wait(&queries, &[&configuration::DEFINITION]).await?;
    let found = queries.read_model.api_key(caller.tenant, &id).await?;
    let found = found.ok_or_else(|| Problem::not_found("API key"))?;
    Ok(Json(found))
}
