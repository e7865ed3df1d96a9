//! `DELETE /api/v1/accounts/{name}`: removes an account.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hatch_readmodel::AccountInfo;

use super::{PathName, answer, write};
use crate::auth::{Caller, Door};
use crate::commands::Commands;
use crate::extract::{NoBody, NoParameters, QueryParameters};
use crate::problem::Problem;

/// Removes an account at a provider
///
/// Within a second nothing is sent by it, and its webhooks are refused: take it out of use at the provider first, where
/// receipts are still to come. Its name stays the tenant's, who may make an account of that name again. Removing it again
/// changes nothing.
#[utoipa::path(
    delete, path = "/api/v1/accounts/{name}", operation_id = "remove_account", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(("name" = String, Path, description = "The account.", example = "twilio-main")),
    responses((status = 200, description = "Removed, now or before.", body = AccountInfo,
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
