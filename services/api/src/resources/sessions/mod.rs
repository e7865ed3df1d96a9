//! Sessions: who has signed in, where, and since when; and what he signs in by.

mod end;
mod list;
mod password;
mod sign_in;
mod sign_out;
#[cfg(test)]
mod tests;
mod totp;
mod who;

use std::sync::Arc;

use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use hatch_directory::MemberEntry;
use hatch_domain::ids::{SessionId, TenantId};
use hatch_domain::scope::{Scope, Scopes};
use hatch_readmodel::MemberInfo;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Caller;
use crate::people::People;
use crate::problem::Problem;
use crate::queries::Queries;

/// What can be done.
pub(crate) fn command_routes() -> OpenApiRouter<Arc<People>> {
    OpenApiRouter::new()
        .routes(routes!(sign_in::handler))
        .routes(routes!(sign_out::handler))
        .routes(routes!(end::handler))
        .routes(routes!(password::handler))
        .routes(routes!(totp::begin))
        .routes(routes!(totp::confirm))
        .routes(routes!(totp::disable))
}

/// What can be asked.
pub(crate) fn query_routes() -> OpenApiRouter<Queries> {
    OpenApiRouter::new().routes(routes!(who::handler)).routes(routes!(list::handler))
}

/// Who makes a request, and what he may do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Caller)]
pub(crate) struct WhoAmI {
    /// As events have it, such as `user:` or `key:` and an id.
    actor: String,
    /// The tenant that is asked for.
    #[schema(value_type = Uuid)]
    tenant_id: TenantId,
    /// What may be asked for.
    #[schema(value_type = Vec<Scope>)]
    scopes: Scopes,
    /// The session; `null` where a program asks.
    #[schema(value_type = Option<Uuid>)]
    session_id: Option<SessionId>,
    /// The person; `null` where a program asks.
    member: Option<MemberInfo>,
    /// How many codes are left that stand in for the second factor.
    recovery_codes: usize,
}

impl WhoAmI {
    fn of(caller: &Caller, entry: Option<&MemberEntry>) -> Self {
        Self {
            actor: caller.actor.to_string(),
            tenant_id: caller.tenant,
            scopes: caller.scopes,
            session_id: caller.session.map(|session| session.id),
            member: entry.map(|entry| MemberInfo::of(entry.id, &entry.member)),
            recovery_codes: entry.map_or(0, |entry| entry.member.recovery_codes()),
        }
    }
}

/// The person who makes a request.
fn person(people: &People, caller: &Caller) -> Result<MemberEntry, Problem> {
    let entry = caller.member().and_then(|id| people.directory.member(id));
    entry.ok_or_else(Problem::not_signed_in)
}

fn set_cookie(headers: &mut HeaderMap, cookie: Option<HeaderValue>) {
    headers.extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
}
