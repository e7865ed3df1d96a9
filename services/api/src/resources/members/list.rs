//! `GET /api/v1/members`: the tenant's people, the newest first.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::{List, MemberInfo, configuration};

use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::problem::Problem;
use crate::queries::{PageParameters, Queries};

/// Members, the newest first
///
/// Those who are invited and those who were removed are among them.
#[utoipa::path(
    get, path = "/api/v1/members", operation_id = "list_members", tag = "members",
    security(("bearer" = ["admin"])),
    params(PageParameters),
    responses((status = 200, description = "A page.", body = List<MemberInfo>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<PageParameters>,
) -> Result<Json<List<MemberInfo>>, Problem> {
    let page = parameters.page(&queries, &[&configuration::DEFINITION]).await?;
    Ok(Json(queries.read_model.members(caller.tenant, &page).await?))
}
