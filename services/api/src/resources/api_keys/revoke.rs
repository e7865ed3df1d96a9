//! `DELETE /api/v1/api-keys/{id}`: ends a key.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};

use hatch_readmodel::KeyInfo;

use super::{Changed, Issuer, PathKeyId, revoke, shown};
use crate::auth::{Caller, Door};
use crate::commands::{Commands, tell_write};
use crate::extract::{NoBody, NoParameters, QueryParameters};
use crate::problem::Problem;

/// Ends an API key
///
/// At once and for good: each process refuses it within a second. It stays in the list. Ending it again changes nothing.
/// A key ends itself, and those that have no scope beyond its own; others are a `403` (`stronger_key`).
#[utoipa::path(
    delete, path = "/api/v1/api-keys/{id}", operation_id = "revoke_api_key", tag = "api-keys",
    security(("bearer" = ["keys:write"])),
    params(("id" = String, Path, description = "The key.", example = "7Qm2xVb9Lk4R")),
    responses((status = 200, description = "Ended, now or before.", body = KeyInfo,
        headers(("Hatch-Position" = i64, description = "A log position by which it is ended."))))
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    PathKeyId(id): PathKeyId,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let tenant = caller.tenant;
    let Changed { id, key, position } = revoke(&commands.store, &Issuer::from(caller), &id).await?;
    door.knows(position).await;
    let body = shown(&commands.conversations.read_model, tenant, &id, &key).await;
    let mut response = Json(body).into_response();
    tell_write(response.headers_mut(), position, false);
    Ok(response)
}
