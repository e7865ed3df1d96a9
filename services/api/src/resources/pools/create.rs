//! `POST /api/v1/pools`: makes a pool of senders.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use hatch_readmodel::PoolInfo;

use super::request::PoolRequest;
use super::{answer, write};
use crate::auth::{Caller, Door};
use crate::commands::{Commands, IdempotencyKey, command_key};
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::problem::{Body as ProblemBody, Problem};

const ROUTE: &str = "POST /api/v1/pools";

/// Makes a pool of senders
///
/// A message that names the pool in place of `from` has a sender of it: the one that its recipient was written to from
/// before, and else one that is up, of the recipient's country, of its area, and then by weight. Within a second messages
/// may name it.
#[utoipa::path(
    post, path = "/api/v1/pools", operation_id = "create_pool", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(IdempotencyKey),
    request_body(content = PoolRequest, example = json!({
        "name": "support", "channel": "sms", "default": true,
        "senders": [{"address": "+12016661234", "weight": 80}, {"address": "+447700900000"}, "73822"]})),
    responses(
        (status = 201, description = "Made, now or before.", body = PoolInfo, headers(
            ("Hatch-Position" = i64, description = "The log position of the write."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))),
        (status = 409, description = "The tenant has a pool of this name (`pool_exists`), or as many pools as it may \
             (`too_many_pools`).",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<PoolRequest>,
) -> Result<Response, Problem> {
    let wanted = request.validate().map_err(Problem::invalid)?;
    let key = command_key(&headers, &caller, ROUTE, &wanted)?;
    let written = write::create(&commands, (&caller, &door), wanted, key).await?;
    Ok(answer(&door, StatusCode::CREATED, written).await)
}
