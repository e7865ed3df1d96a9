//! `POST /api/v1/tenants`: makes a tenant.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hatch_readmodel::TenantInfo;
use serde::Deserialize;
use utoipa::ToSchema;

use super::write::checked_name;
use super::{Written, create};
use crate::auth::Caller;
use crate::commands::{Commands, IdempotencyKey, command_key, tell_write};
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::problem::Problem;

const ROUTE: &str = "POST /api/v1/tenants";

/// A tenant that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantRequest {
    /// What it is called.
    #[schema(example = "Example Ltd", required, min_length = 1, max_length = 100)]
    name: Option<String>,
}

/// Makes a tenant
///
/// It has nothing yet, and no keys: `hatch keys create --tenant` makes its first one. Two tenants may have one name.
#[utoipa::path(
    post, path = "/api/v1/tenants", operation_id = "create_tenant", tag = "tenants",
    security(("bearer" = ["platform"])),
    params(IdempotencyKey),
    request_body(content = TenantRequest, example = json!({"name": "Example Ltd"})),
    responses((status = 201, description = "Made, now or before.", body = TenantInfo,
        headers(
            ("Hatch-Position" = i64, description = "The log position of the write."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))))
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    JsonBody(TenantRequest { name }): JsonBody<TenantRequest>,
) -> Result<Response, Problem> {
    let name = checked_name(name).map_err(Problem::invalid)?;
    let key = command_key(&headers, &caller, ROUTE, &name)?;
    let Written { tenant, position, replayed } =
        create(&commands.store, &caller.actor, name, key).await?;
    let mut response = (StatusCode::CREATED, Json(tenant)).into_response();
    tell_write(response.headers_mut(), position, replayed);
    Ok(response)
}
