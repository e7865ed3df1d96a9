//! `POST /api/v1/accounts`: makes an account at a provider.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use hatch_readmodel::AccountInfo;

use super::request::AccountRequest;
use super::{answer, write};
use crate::auth::{Caller, Door};
use crate::commands::{Commands, IdempotencyKey, command_key};
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::problem::{Body as ProblemBody, Problem};

const ROUTE: &str = "POST /api/v1/accounts";

/// Makes an account at a provider
///
/// It is the tenant's alone, and used within a second. What is secret of its settings is sealed with the installation's
/// master key and never shown again. Its webhooks come to `/api/v1/webhooks/{provider}/{name}`. An account that is not at
/// the provider itself (`base_url`) needs the scope `platform`, too.
#[utoipa::path(
    post, path = "/api/v1/accounts", operation_id = "create_account", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(IdempotencyKey),
    request_body(content = AccountRequest, example = json!({
        "name": "twilio-main", "provider": "twilio", "channels": ["sms"], "senders": ["+12016661234"],
        "settings": {"account_sid": "AC00000000000000000000000000000000", "auth_token": "..."}})),
    responses(
        (status = 201, description = "Made, now or before.", body = AccountInfo, headers(
            ("Hatch-Position" = i64, description = "The log position of the write."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))),
        (status = 409, description = "There is no master key (`no_master_key`), another account has the name \
             (`account_exists`) or is the same one at the provider (`account_in_use`), or the tenant has as many as it may \
             (`too_many_accounts`).",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<AccountRequest>,
) -> Result<Response, Problem> {
    let wanted = request.validate().map_err(Problem::invalid)?;
    let key = command_key(&headers, &caller, ROUTE, &wanted)?;
    let written = write::create(&commands, (&caller, &door), wanted, key).await?;
    Ok(answer(&door, StatusCode::CREATED, written).await)
}
