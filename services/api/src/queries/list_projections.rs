//! `GET /api/v1/projections`: how far each projection has come.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::ProjectionStatus;
use serde::Serialize;

use super::Queries;
use crate::Problem;

#[derive(Debug, Serialize)]
pub(super) struct Projections {
    data: Vec<ProjectionStatus>,
}

pub(super) async fn handler(State(queries): State<Queries>) -> Result<Json<Projections>, Problem> {
    Ok(Json(Projections { data: queries.read_model.projections().await? }))
}
