//! `GET /api/v1/projections`: how far each projection has come.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::ProjectionStatus;
use serde::Serialize;
use utoipa::ToSchema;

use super::Queries;
use super::parameters::FreshnessParameters;
use crate::extract::QueryParameters;
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Projections {
    data: Vec<ProjectionStatus>,
}

/// How far each projection has come
#[utoipa::path(
    get, path = "/api/v1/projections", operation_id = "list_projections", tag = "operations",
    security(("bearer" = ["admin"])),
    params(FreshnessParameters),
    responses((status = 200, description = "Every projection.", body = Projections))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
) -> Result<Json<Projections>, Problem> {
    parameters.wait(&queries, queries.read_model.definitions()).await?;
    Ok(Json(Projections { data: queries.read_model.projections().await? }))
}
