//! `POST /api/v1/members`: gives a person a link, which is shown this once.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};

use super::write::invite_once;
use super::{Authority, InviteRequest, InvitedMember};
use crate::auth::{Caller, Door};
use crate::commands::{IdempotencyKey, command_key, tell_write};
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::people::People;
use crate::problem::{Body as ProblemBody, Problem};

const ROUTE: &str = "POST /api/v1/members";

/// Invites a person
///
/// The answer has a link, which is shown this once, lets in once and for three days: hand it to the person. Who was invited
/// before gets another link in its place. A role or a scope that the caller has not is a `403` (`stronger_role`); owners are
/// made by owners.
#[utoipa::path(
    post, path = "/api/v1/members", operation_id = "invite_member", tag = "members",
    security(("bearer" = ["admin"])),
    params(IdempotencyKey),
    request_body(content = InviteRequest, example = json!({"email": "ann@example.com", "role": "agent"})),
    responses((status = 201, description = "Invited, now or before.", body = InvitedMember,
        headers(
            ("Hatch-Position" = i64, description = "The log position of the write."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))),
        (status = 409, description = "The person is a member already (`member_joined`), or the tenant has as many as it may.",
         body = ProblemBody, content_type = "application/problem+json"))
)]
pub(super) async fn handler(
    State(people): State<Arc<People>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<InviteRequest>,
) -> Result<Response, Problem> {
    let wanted = request.validate().map_err(Problem::invalid)?;
    let key = command_key(&headers, &caller, ROUTE, &wanted)?;
    let authority = Authority::of(&caller, &door);
    let wanted = (wanted, people.public_url.as_str());
    let written = invite_once(&people.store, &authority, wanted, key, Some(&door)).await?;
    let (position, replayed) = (written.position, written.replayed);
    door.knows(position).await;
    let body = Json(InvitedMember::from(written));
    let mut response = (StatusCode::CREATED, body).into_response();
    tell_write(response.headers_mut(), position, replayed);
    Ok(response)
}
