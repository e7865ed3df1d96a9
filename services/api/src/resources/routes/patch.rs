//! `PATCH /api/v1/routes/{id}`: changes a route.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hatch_domain::ids::RouteId;
use hatch_readmodel::RouteInfo;

use super::request::RouteChange;
use super::{answer, write};
use crate::auth::{Caller, Door};
use crate::commands::Commands;
use crate::extract::{JsonBody, NoParameters, PathId, QueryParameters};
use crate::problem::{Body as ProblemBody, Problem};

/// Changes a route
///
/// What is left out stays; a condition that is `null` holds for every message from then on. What is so already is recorded
/// once. It holds within a second; messages that wait for an account are sorted anew then.
#[utoipa::path(
    patch, path = "/api/v1/routes/{id}", operation_id = "change_route", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(("id" = Uuid, Path, description = "The route.")),
    request_body(content = RouteChange, example = json!({"accounts": ["twilio-main"], "to": null})),
    responses(
        (status = 200, description = "Changed, now or before.", body = RouteInfo,
         headers(("Hatch-Position" = i64, description = "A log position by which it is so."))),
        (status = 409, description = "Another route of the tenant has the name (`route_exists`), or \
             it was changed as often as may be (`too_many_routes`).",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    PathId(id): PathId,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    JsonBody(asked): JsonBody<RouteChange>,
) -> Result<Response, Problem> {
    let asked = asked.validate().map_err(Problem::invalid)?;
    let written = write::change(&commands, (&caller, &door), RouteId(id), &asked).await?;
    Ok(answer(&door, StatusCode::OK, written).await)
}
