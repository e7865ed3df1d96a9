//! `POST /api/v1/api-keys/{id}/rotate`: gives a key another text, and lets the one before work for a while.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::TimeDelta;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    IssuedApiKey, Issuer, KEEP_OLD_SECONDS_DEFAULT, KEEP_OLD_SECONDS_MAX, PathKeyId, answer, rotate,
};
use crate::auth::{Caller, Door};
use crate::commands::{Commands, IdempotencyKey, command_key};
use crate::extract::{NoParameters, OptionalJsonBody, QueryParameters};
use crate::problem::{Body as ProblemBody, FieldCode, FieldError, Problem};

const ROUTE: &str = "POST /api/v1/api-keys/{id}/rotate";

/// How a key gets another text.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ApiKeyRotation)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// Seconds for which the text before works, too: 86,400 when it is left out, and 0 to end it at once.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 604_800, example = 86_400)]
    keep_old_for_s: Option<i64>,
}

/// Gives an API key another text
///
/// The key's id and all else that it is stay. The answer has the new text, which is shown this once; the one before works
/// for `keep_old_for_s` longer, so that its users can change over. Of more than two texts only the last two work. As in
/// making a key, the caller must be able to do all that the key may.
#[utoipa::path(
    post, path = "/api/v1/api-keys/{id}/rotate", operation_id = "rotate_api_key", tag = "api-keys",
    security(("bearer" = ["keys:write"])),
    params(("id" = String, Path, description = "The key.", example = "7Qm2xVb9Lk4R"), IdempotencyKey),
    request_body(content = Option<Rotation>, example = json!({"keep_old_for_s": 3_600})),
    responses(
        (status = 200, description = "Done, now or before.", body = IssuedApiKey, headers(
            ("Hatch-Position" = i64, description = "The log position of the write."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))),
        (status = 409, description = "The key is revoked or has expired.",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    PathKeyId(id): PathKeyId,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    OptionalJsonBody(rotation): OptionalJsonBody<Rotation>,
) -> Result<Response, Problem> {
    let keep_old = rotation.keep_old()?;
    let key = command_key(&headers, &caller, ROUTE, &(&id, keep_old.num_seconds()))?;
    let tenant = caller.tenant;
    let issued = rotate(&commands.store, &Issuer::from(caller), &id, keep_old, key).await?;
    Ok(answer((&commands, &door), tenant, StatusCode::OK, issued).await)
}

impl Rotation {
    fn keep_old(&self) -> Result<TimeDelta, Problem> {
        let seconds = self.keep_old_for_s.unwrap_or(KEEP_OLD_SECONDS_DEFAULT);
        if (0..=KEEP_OLD_SECONDS_MAX).contains(&seconds) {
            return Ok(TimeDelta::seconds(seconds));
        }
        let detail = format!("expected 0 to {KEEP_OLD_SECONDS_MAX} seconds, got {seconds}");
        let error = FieldError::coded(FieldCode::OutOfRange, "/keep_old_for_s", detail);
        Err(Problem::invalid(vec![error]))
    }
}
