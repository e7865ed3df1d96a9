//! `DELETE /api/v1/team-recipients/{address}`: takes an address from the tenant's team list.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::PathAddress;
use crate::auth::{Caller, Door};
use crate::commands::{Commands, tell_write};
use crate::extract::{NoBody, NoParameters, QueryParameters};
use crate::problem::Problem;
use crate::resources::tenants::{TeamChange, change_team};

/// Takes an address from the team list
///
/// Within a second, no process takes a message to it from a key of the type `team`. Messages that were taken before go on
/// their way. Taking it away again changes nothing.
#[utoipa::path(
    delete, path = "/api/v1/team-recipients/{address}", operation_id = "delete_team_recipient",
    tag = "api-keys",
    security(("bearer" = ["admin"])),
    params(("address" = String, Path, description = "A phone number, a mailbox, or a name in chats.",
        example = "ann@example.com")),
    responses((status = 204, description = "It is not on the list, now or before.",
        headers(("Hatch-Position" = i64, description = "A log position by which it is so."))))
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    PathAddress(address): PathAddress,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let remove = TeamChange::Remove(address);
    let changed = change_team(&commands.store, &caller.actor, caller.tenant, &remove).await?;
    door.knows(changed.position).await;
    let mut response = StatusCode::NO_CONTENT.into_response();
    tell_write(response.headers_mut(), changed.position, false);
    Ok(response)
}
