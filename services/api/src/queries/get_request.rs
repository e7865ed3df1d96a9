//! `GET /api/v1/requests/{id}`: one request, by the id that its answer had.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use hatch_domain::scope::Scope;
use hatch_readmodel::LoggedRequest;
use serde_json::json;

use super::Queries;
use crate::auth::Caller;
use crate::client_address::ClientAddress;
use crate::extract::{NoParameters, QueryParameters};
use crate::head::is_request_id;
use crate::problem::Problem;
use crate::trail::Read;

/// One request, by the id that its answer had
///
/// The newest, where a client has used the id again. With the scope `raw:read` it shows the names and types of its body's
/// fields, and that is in the audit.
#[utoipa::path(
    get, path = "/api/v1/requests/{id}", operation_id = "get_request", tag = "operations",
    security(("bearer" = ["audit:read"])),
    params(("id" = String, Path, description = "The request, as `X-Request-Id` says it.")),
    responses((status = 200, description = "The request.", body = LoggedRequest))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    Extension(client): Extension<ClientAddress>,
    id: Result<Path<String>, PathRejection>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
) -> Result<Json<LoggedRequest>, Problem> {
    let unknown = || Problem::not_found("request");
    let id = id.ok().map(|Path(id)| id).filter(|id| is_request_id(id)).ok_or_else(unknown)?;
    let found = queries.read_model.request(caller.tenant, &id).await?;
    let mut request = found.ok_or_else(unknown)?;
    if !caller.allows(Scope::RawRead) {
        request.body = None;
    }
    if request.body.is_some() {
        let details = json!({ "method": request.method, "route": request.route });
        let read = Read { action: "request_body.read", object: Some(("request", id)), details };
        queries.audit_read(&caller, client, read).await?;
    }
    Ok(Json(request))
}
