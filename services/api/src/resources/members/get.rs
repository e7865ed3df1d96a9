//! `GET /api/v1/members/{id}`: one member.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::MemberId;
use hatch_readmodel::{MemberInfo, configuration};

use super::write::WHAT;
use crate::auth::Caller;
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;
use crate::queries::{FreshnessParameters, Queries};

/// One member
#[utoipa::path(
    get, path = "/api/v1/members/{id}", operation_id = "get_member", tag = "members",
    security(("bearer" = ["admin"])),
    params(("id" = Uuid, Path, description = "The member."), FreshnessParameters),
    responses((status = 200, description = "The member.", body = MemberInfo))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
) -> Result<Json<MemberInfo>, Problem> {
    parameters.wait(&queries, &[&configuration::DEFINITION]).await?;
    let found = queries.read_model.member(caller.tenant, MemberId(id)).await?;
    found.map(Json).ok_or_else(|| Problem::not_found(WHAT))
}
