//! `PATCH /api/v1/pools/{name}`: changes a pool.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hatch_readmodel::PoolInfo;

use super::request::PoolChange;
use super::{PathName, answer, write};
use crate::auth::{Caller, Door};
use crate::commands::Commands;
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::problem::{Body as ProblemBody, Problem};

/// Changes a pool of senders
///
/// What is left out stays; `senders` are all that the pool has from then on. Whoever was written to from one that is no
/// longer among them gets another with the next message, whose request says so (`rehomed`). What is so already is recorded once.
#[utoipa::path(
    patch, path = "/api/v1/pools/{name}", operation_id = "change_pool", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(("name" = String, Path, description = "The pool.", example = "support")),
    request_body(content = PoolChange, example = json!({"senders": ["+12016661234"], "channel": null})),
    responses(
        (status = 200, description = "Changed, now or before.", body = PoolInfo,
         headers(("Hatch-Position" = i64, description = "A log position by which it is so."))),
        (status = 409, description = "It was changed as often as may be.",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    PathName(name): PathName,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    JsonBody(asked): JsonBody<PoolChange>,
) -> Result<Response, Problem> {
    let asked = asked.validate().map_err(Problem::invalid)?;
    let written = write::change(&commands, &caller, &name, &asked).await?;
    Ok(answer(&door, StatusCode::OK, written).await)
}
