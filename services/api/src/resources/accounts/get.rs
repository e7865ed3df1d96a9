//! `GET /api/v1/accounts/{name}`: one account, without its secrets.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::{AccountInfo, configuration};

use super::{PathName, WHAT};
use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::problem::Problem;
use crate::queries::{FreshnessParameters, Queries};

/// One account at a provider, without its secrets
#[utoipa::path(
    get, path = "/api/v1/accounts/{name}", operation_id = "get_account", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(("name" = String, Path, description = "The account.", example = "twilio-main"), FreshnessParameters),
    responses((status = 200, description = "The account.", body = AccountInfo))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathName(name): PathName,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
) -> Result<Json<AccountInfo>, Problem> {
    parameters.wait(&queries, &[&configuration::DEFINITION]).await?;
    let found = queries.read_model.account(caller.tenant, &name).await?;
    found.map(Json).ok_or_else(|| Problem::not_found(WHAT))
}
