//! `POST /api/v1/api-keys`: makes a key, whose text is shown this once.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::issue::create_once;
use super::{IssuedApiKey, Issuer, KeyRequest, answer};
use crate::auth::{Caller, Door};
use crate::commands::{Commands, IdempotencyKey, command_key};
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::problem::{Body as ProblemBody, Problem};

const ROUTE: &str = "POST /api/v1/api-keys";

/// Makes an API key
///
/// The answer has the key's text, which is shown this once. A key may do no more than the one that makes it: type, scopes,
/// senders, channels, IP ranges or a life beyond the caller's are a `403` (`stronger_key`). Repeated with the same
/// `Idempotency-Key`, it makes no other key and answers the first one without its text.
#[utoipa::path(
    post, path = "/api/v1/api-keys", operation_id = "create_api_key", tag = "api-keys",
    security(("bearer" = ["keys:write"])),
    params(IdempotencyKey),
    request_body(content = KeyRequest, example = json!({
        "name": "shop", "scopes": ["messages:write", "messages:read"], "senders": ["+12016661234"],
        "ip_ranges": ["192.0.2.0/24"], "expires_at": "2030-01-31T12:00:00Z"})),
    responses((status = 201, description = "Made, now or before.", body = IssuedApiKey,
        headers(
            ("Hatch-Position" = i64, description = "The log position of the write."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))),
        (status = 409, description = "The tenant has as many keys as it may.",
         body = ProblemBody, content_type = "application/problem+json"))
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<KeyRequest>,
) -> Result<Response, Problem> {
    let wanted = request.validate().map_err(Problem::invalid)?;
    let key = command_key(&headers, &caller, ROUTE, &wanted)?;
    let tenant = caller.tenant;
    let (store, issuer) = (&commands.store, Issuer::from(caller));
    let issued = create_once(store, &issuer, wanted, key, Some(&door)).await?;
    Ok(answer((&commands, &door), tenant, StatusCode::CREATED, issued).await)
}
