//! `GET /api/v1/tasks/{id}`: how far a task is.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::Task;

use crate::auth::Caller;
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;
use crate::queries::{FreshnessParameters, Queries};

/// How far a task is
///
/// A task goes on where it was when its process ends. It is kept for 30 days once it is over.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", operation_id = "get_task", tag = "operations",
    security(("bearer" = ["messages:read"])),
    params(("id" = Uuid, Path, description = "The task."), FreshnessParameters),
    responses((status = 200, description = "The task.", body = Task))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
) -> Result<Json<Task>, Problem> {
    parameters.wait(&queries, &[]).await?;
    let task = queries.read_model.task(caller.tenant, id).await?;
    task.map(Json).ok_or_else(|| Problem::not_found("task"))
}
