//! `DELETE /api/v1/sessions/{id}`: ends a session, wherever it is.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use hatch_domain::ids::SessionId;
use hatch_domain::scope::Scope;

use crate::auth::Caller;
use crate::extract::{NoBody, NoParameters, PathId, QueryParameters};
use crate::people::People;
use crate::problem::Problem;

/// Ends a session
///
/// One's own, or with the scope `admin` anybody's of the tenant. Each process refuses it within a second.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}", operation_id = "end_session", tag = "sessions",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The session.")),
    responses((status = 204, description = "Ended."))
)]
pub(super) async fn handler(
    State(people): State<Arc<People>>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    NoBody: NoBody,
) -> Result<StatusCode, Problem> {
    let own = caller.member().filter(|_| !caller.allows(Scope::Admin));
    if own.is_none() {
        caller.require(Scope::Admin)?;
    }
    let ended = people.sessions.end(caller.tenant, own, SessionId(id)).await?;
    let member = ended.ok_or_else(|| Problem::not_found("session"))?;
    people.session_ended(&caller, member, SessionId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
