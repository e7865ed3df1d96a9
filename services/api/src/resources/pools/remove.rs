//! `DELETE /api/v1/pools/{name}`: removes a pool.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hatch_readmodel::PoolInfo;

use super::{PathName, answer, write};
use crate::auth::{Caller, Door};
use crate::commands::Commands;
use crate::extract::{NoBody, NoParameters, QueryParameters};
use crate::problem::Problem;

/// Removes a pool of senders
///
/// Messages that have a sender of it keep that one. Removing it again changes nothing.
#[utoipa::path(
    delete, path = "/api/v1/pools/{name}", operation_id = "remove_pool", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(("name" = String, Path, description = "The pool.", example = "support")),
    responses((status = 200, description = "Removed, now or before.", body = PoolInfo,
        headers(("Hatch-Position" = i64, description = "A log position by which it is removed."))))
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    PathName(name): PathName,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let written = write::remove(&commands, &caller, &name).await?;
    Ok(answer(&door, StatusCode::OK, written).await)
}
