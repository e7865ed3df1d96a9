//! `GET /api/v1/team-recipients`: the tenant's team list.

use axum::extract::State;
use axum::{Extension, Json};
use hatch_readmodel::List;

use super::TeamRecipientInfo;
use crate::auth::{Caller, Door};
use crate::extract::QueryParameters;
use crate::problem::Problem;
use crate::queries::{FreshnessParameters, Queries};

/// The team list, in the order of the addresses
///
/// Keys of the type `team` send to these addresses and to no others. There are 1,000 at most, which are one page.
#[utoipa::path(
    get, path = "/api/v1/team-recipients", operation_id = "list_team_recipients", tag = "api-keys",
    security(("bearer" = ["admin"])),
    params(FreshnessParameters),
    responses((status = 200, description = "All of it.", body = List<TeamRecipientInfo>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    Extension(door): Extension<Door>,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
) -> Result<Json<List<TeamRecipientInfo>>, Problem> {
    parameters.wait(&queries, &[]).await?;
    let tenant = door.tenant_at(caller.tenant, parameters.after()).await?;
    let data = tenant.iter().flat_map(|tenant| tenant.team()).map(TeamRecipientInfo::from);
    Ok(Json(List { data: data.collect(), next_cursor: None }))
}
