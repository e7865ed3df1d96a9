//! `DELETE /api/v1/sessions/{id}`: ends a session, wherever it is.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hatch_domain::ids::SessionId;
use hatch_domain::scope::Scope;

use crate::auth::{Caller, Door};
use crate::commands::tell_write;
use crate::extract::{NoBody, NoParameters, PathId, QueryParameters};
use crate::people::People;
use crate::problem::Problem;
use crate::resources::members::Authority;

/// Ends a session
///
/// One's own, or with the scope `admin` anybody's of the tenant who has no more than the caller: an owner's, owners end. Each
/// process refuses it within a second.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}", operation_id = "end_session", tag = "sessions",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The session.")),
    responses((status = 204, description = "Ended.",
        headers(("Hatch-Position" = i64, description = "A log position by which it is ended."))))
)]
pub(super) async fn handler(
    State(people): State<Arc<People>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    PathId(id): PathId,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let own = caller.member().filter(|_| !caller.allows(Scope::Admin));
    if own.is_none() {
        caller.require(Scope::Admin)?;
        let member = people.sessions.member_of(caller.tenant, SessionId(id)).await?;
        let other = member.filter(|member| caller.member() != Some(*member));
        if let Some(entry) = other.and_then(|member| people.directory.member(member)) {
            Authority::of(&caller, &door).refuse_stronger(*entry.member.standing())?;
        }
    }
    let ended = people.sessions.end(caller.tenant, own, SessionId(id)).await?;
    let member = ended.ok_or_else(|| Problem::not_found("session"))?;
    let position = people.session_ended(&caller, member, SessionId(id)).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    tell_write(response.headers_mut(), position, false);
    Ok(response)
}
