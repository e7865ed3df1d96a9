//! `DELETE /api/v1/members/{id}`: removes a member.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use hatch_domain::ids::MemberId;
use hatch_readmodel::MemberInfo;

use super::write::owners;
use super::{Authority, Written, remove};
use crate::auth::{Caller, Door};
use crate::commands::tell_write;
use crate::extract::{NoBody, NoParameters, PathId, QueryParameters};
use crate::people::People;
use crate::problem::{Body as ProblemBody, Problem};

/// Removes a member
///
/// All of the member's sessions end within a second, and so does a link that was not used. The member stays in the list, and
/// may be invited again. The last owner of a tenant stays: `409` (`last_owner`).
#[utoipa::path(
    delete, path = "/api/v1/members/{id}", operation_id = "remove_member", tag = "members",
    security(("bearer" = ["admin"])),
    params(("id" = Uuid, Path, description = "The member.")),
    responses((status = 200, description = "Removed, now or before.", body = MemberInfo,
        headers(("Hatch-Position" = i64, description = "A log position by which it is so."))),
        (status = 409, description = "The member is the last owner.",
         body = ProblemBody, content_type = "application/problem+json"))
)]
pub(super) async fn handler(
    State(people): State<Arc<People>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    PathId(id): PathId,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let (authority, others) = (Authority::of(&caller, &door), owners(&door, caller.tenant));
    let removed = remove(&people.store, &authority, MemberId(id), &others).await;
    let Written { member, position, .. } = removed?;
    door.knows(position).await;
    let mut response = Json(member).into_response();
    tell_write(response.headers_mut(), position, false);
    Ok(response)
}
