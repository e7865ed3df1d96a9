//! `PATCH /api/v1/accounts/{name}`: changes an account.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hatch_readmodel::AccountInfo;

use super::request::AccountChange;
use super::{PathName, answer, write};
use crate::auth::{Caller, Door};
use crate::commands::Commands;
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::problem::{Body as ProblemBody, Problem};

/// Changes an account at a provider
///
/// What is left out stays; of `settings`, each key that is there is set, and taken away where it is `null`. So a secret is
/// replaced without saying the others again. What is so already is recorded once. What is under way goes on as it began.
#[utoipa::path(
    patch, path = "/api/v1/accounts/{name}", operation_id = "change_account", tag = "accounts",
    security(("bearer" = ["admin"])),
    params(("name" = String, Path, description = "The account.", example = "twilio-main")),
    request_body(content = AccountChange, example = json!({"settings": {"auth_token": "..."}})),
    responses(
        (status = 200, description = "Changed, now or before.", body = AccountInfo,
            headers(("Hatch-Position" = i64, description = "A log position by which it is so."))),
        (status = 409, description = "The master key of its secrets is not set (`no_master_key`), or it would be the same \
             one at the provider as another account (`account_in_use`).",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    PathName(name): PathName,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    JsonBody(asked): JsonBody<AccountChange>,
) -> Result<Response, Problem> {
    let asked = asked.validate().map_err(Problem::invalid)?;
    let written = write::change(&commands, &caller, &name, asked).await?;
    Ok(answer(&door, StatusCode::OK, written).await)
}
