//! `POST /api/v1/routes`: makes a route.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use hatch_readmodel::RouteInfo;

use super::request::RouteRequest;
use super::{answer, write};
use crate::auth::{Caller, Door};
use crate::commands::{Commands, IdempotencyKey, command_key};
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::problem::{Body as ProblemBody, Problem};

const ROUTE: &str = "POST /api/v1/routes";

/// Makes a route
///
/// Of the tenant's routes that fit a message the first decides about it, alone: the one with the lowest `order`, and of two
/// alike the older one. Routes of the installation's files come after those of the tenant. It holds within a second;
/// messages that wait for an account are sorted anew then.
#[utoipa::path(
    post, path = "/api/v1/routes", operation_id = "create_route", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(IdempotencyKey),
    request_body(content = RouteRequest, example = json!({
        "name": "Great Britain", "channel": "sms", "to": "+44",
        "accounts": [{"name": "vonage", "weight": 80}, {"name": "twilio-main", "weight": 20}], "backup": ["telnyx"]})),
    responses(
        (status = 201, description = "Made, now or before.", body = RouteInfo, headers(
            ("Hatch-Position" = i64, description = "The log position of the write."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))),
        (status = 409, description = "Another route of the tenant has the name (`route_exists`), or \
             it has as many routes as it may (`too_many_routes`).",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<RouteRequest>,
) -> Result<Response, Problem> {
    let wanted = request.validate().map_err(Problem::invalid)?;
    let key = command_key(&headers, &caller, ROUTE, &wanted)?;
    let written = write::create(&commands, (&caller, &door), wanted, key).await?;
    Ok(answer(&door, StatusCode::CREATED, written).await)
}
