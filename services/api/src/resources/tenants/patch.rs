//! `PATCH /api/v1/tenants/{id}`: gives a tenant another name, suspends it, or lets it go on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hatch_domain::ids::TenantId;
use hatch_readmodel::TenantInfo;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Change, Written, change};
use crate::auth::Caller;
use crate::commands::{Commands, tell_write};
use crate::extract::{JsonBody, NoParameters, PathId, QueryParameters};
use crate::problem::{FieldCode, FieldError, Problem};

/// What is to become of a tenant. What is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantChange {
    /// What it is to be called.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Whether its keys are refused.
    suspended: Option<bool>,
    /// Why it is suspended, in your own words.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// Gives a tenant another name, suspends it, or lets it go on
///
/// All that is asked for with a key of a suspended tenant is answered `403` (`tenant_suspended`). Its messages that are on
/// their way go on. What is so already is recorded once.
#[utoipa::path(
    patch, path = "/api/v1/tenants/{id}", operation_id = "change_tenant", tag = "tenants",
    security(("bearer" = ["platform"])),
    params(("id" = Uuid, Path, description = "The tenant.")),
    request_body(content = TenantChange, example = json!({"suspended": true, "reason": "not paid"})),
    responses((status = 200, description = "Changed, now or before.", body = TenantInfo,
        headers(("Hatch-Position" = i64, description = "A log position by which it is so."))))
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    JsonBody(asked): JsonBody<TenantChange>,
) -> Result<Response, Problem> {
    let changes = asked.read().map_err(|error| Problem::invalid(vec![error]))?;
    let Written { tenant, position, .. } =
        change(&commands.store, &caller.actor, TenantId(id), changes).await?;
    let mut response = Json(tenant).into_response();
    tell_write(response.headers_mut(), position, false);
    Ok(response)
}

impl TenantChange {
    fn read(self) -> Result<Vec<Change>, FieldError> {
        let state = match (self.suspended, self.reason) {
            (Some(true), reason) => Some(Change::Suspend(reason)),
            (_, Some(_)) => {
                let detail = "expected only beside \"suspended\": true";
                return Err(FieldError::coded(FieldCode::NotAllowed, "/reason", detail));
            }
            (Some(false), None) => Some(Change::Resume),
            (None, None) => None,
        };
        Ok(self.name.map(Change::Rename).into_iter().chain(state).collect())
    }
}
