//! `PATCH /api/v1/members/{id}`: gives a member another role.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use hatch_domain::ids::MemberId;
use hatch_readmodel::MemberInfo;

use super::request::ChangeRequest;
use super::write::{change_role, owners};
use super::{Authority, Written};
use crate::auth::{Caller, Door};
use crate::commands::tell_write;
use crate::extract::{JsonBody, NoParameters, PathId, QueryParameters};
use crate::people::People;
use crate::problem::{Body as ProblemBody, Problem};

/// Gives a member another role
///
/// A role that is less than before ends all of the member's sessions within a second. Who has not come yet gets more than he
/// was invited for by another invitation only: `409` (`member_inactive`). The last owner of a tenant stays one:
/// `409` (`last_owner`). What is so already changes nothing.
#[utoipa::path(
    patch, path = "/api/v1/members/{id}", operation_id = "change_member", tag = "members",
    security(("bearer" = ["admin"])),
    params(("id" = Uuid, Path, description = "The member.")),
    request_body(content = ChangeRequest, example = json!({"role": "viewer"})),
    responses((status = 200, description = "Changed, now or before.", body = MemberInfo,
        headers(("Hatch-Position" = i64, description = "A log position by which it is so."))),
        (status = 409, description = "The member is the last owner, was removed, or has not come yet.",
         body = ProblemBody, content_type = "application/problem+json"))
)]
pub(super) async fn handler(
    State(people): State<Arc<People>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    PathId(id): PathId,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    JsonBody(request): JsonBody<ChangeRequest>,
) -> Result<Response, Problem> {
    let standing = request.validate().map_err(Problem::invalid)?;
    let (authority, others) = (Authority::of(&caller, &door), owners(&door, caller.tenant));
    let changed = change_role(&people.store, &authority, MemberId(id), standing, &others).await;
    let Written { member, position, .. } = changed?;
    door.knows(position).await;
    let mut response = Json(member).into_response();
    tell_write(response.headers_mut(), position, false);
    Ok(response)
}
