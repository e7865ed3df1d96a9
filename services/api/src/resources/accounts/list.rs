//! `GET /api/v1/accounts`: the tenant's accounts that the log keeps, the newest first.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::{AccountInfo, List, configuration};

use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::problem::Problem;
use crate::queries::{PageParameters, Queries};

/// The tenant's accounts at providers, the newest first
///
/// Those that were made here. Accounts of the installation's files are not among them, and neither are those that were
/// removed.
#[utoipa::path(
    get, path = "/api/v1/accounts", operation_id = "list_accounts", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(PageParameters),
    responses((status = 200, description = "A page.", body = List<AccountInfo>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<PageParameters>,
) -> Result<Json<List<AccountInfo>>, Problem> {
    let page = parameters.page(&queries, &[&configuration::DEFINITION]).await?;
    Ok(Json(queries.read_model.accounts(caller.tenant, &page).await?))
}
