//! `GET /api/v1/webhook-log/{id}`: one webhook, with its headers and its body.

use std::borrow::Cow;

use axum::extract::State;
use axum::{Extension, Json};
use base64::prelude::{BASE64_STANDARD, Engine};
use hatch_domain::scope::Scope;
use hatch_readmodel::LoggedWebhook;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Queries;
use super::parameters::FreshnessParameters;
use crate::auth::Caller;
use crate::client_address::ClientAddress;
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;
use crate::trail::Read;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Webhook {
    #[serde(flatten)]
    webhook: LoggedWebhook,
    /// Its headers, but for secrets. None without the scope `raw:read`.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    headers: Value,
    /// As text; a byte that is not UTF-8 shows as U+FFFD. None without the scope `raw:read`.
    body: Option<String>,
    /// Where it is not all UTF-8: the same byte by byte. None without the scope `raw:read`.
    body_base64: Option<String>,
}

/// One webhook, with its headers and its body
///
/// That its body was shown is in the audit.
#[utoipa::path(
    get, path = "/api/v1/webhook-log/{id}", operation_id = "get_webhook", tag = "webhooks",
    security(("bearer" = ["webhooks:read"])),
    params(("id" = Uuid, Path, description = "The webhook."), FreshnessParameters),
    responses((status = 200, description = "The webhook.", body = Webhook))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    Extension(client): Extension<ClientAddress>,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
) -> Result<Json<Webhook>, Problem> {
    parameters.wait(&queries, &[]).await?;
    let found = queries.read_model.webhook(caller.tenant, id).await?;
    let found = found.ok_or_else(|| Problem::not_found("webhook"))?;
    let (webhook, headers) = (found.webhook, found.headers);
    if !caller.allows(Scope::RawRead) {
        let headers = Value::Null;
        return Ok(Json(Webhook { webhook, headers, body: None, body_base64: None }));
    }
    let details = json!({ "provider": webhook.provider, "bytes": found.body.len() });
    let object = Some(("webhook", id.to_string()));
    let read = Read { action: "webhook_body.read", object, details };
    queries.audit_read(&caller, client, read).await?;
    let body = String::from_utf8_lossy(&found.body);
    let body_base64 = matches!(body, Cow::Owned(_)).then(|| BASE64_STANDARD.encode(&found.body));
    let body = Some(body.into_owned());
    Ok(Json(Webhook { webhook, headers, body, body_base64 }))
}
