//! `GET /api/v1/projections`: how far each projection has come.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::ProjectionStatus;
use serde::Serialize;
use utoipa::ToSchema;

use super::Queries;
use crate::Problem;
use crate::extract::{NoParameters, QueryParameters};
use crate::problem::Body as ProblemBody;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Projections {
    data: Vec<ProjectionStatus>,
}

/// How far each projection has come
#[utoipa::path(
    get, path = "/api/v1/projections", operation_id = "list_projections", tag = "operations",
    responses(
        (status = 200, description = "Every projection.", body = Projections),
        (status = 400, description = "It takes no parameters; `errors` names the first.",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
) -> Result<Json<Projections>, Problem> {
    Ok(Json(Projections { data: queries.read_model.projections().await? }))
}
