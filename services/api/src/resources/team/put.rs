//! `PUT /api/v1/team-recipients/{address}`: puts an address on the tenant's team list.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use hatch_domain::address::Address;

use super::{PathAddress, TeamRecipientInfo};
use crate::auth::{Caller, Door};
use crate::commands::{Commands, tell_write};
use crate::extract::{NoBody, NoParameters, QueryParameters};
use crate::problem::{Body as ProblemBody, FieldError, Problem};
use crate::resources::tenants::{TeamChange, change_team};

/// Puts an address on the team list
///
/// Keys of the type `team` may write to it from then on. What is on the list already stays as it is.
#[utoipa::path(
    put, path = "/api/v1/team-recipients/{address}", operation_id = "put_team_recipient", tag = "api-keys",
    security(("bearer" = ["admin"])),
    params(("address" = String, Path, description = "A phone number, a mailbox, or a name in chats.",
        example = "ann@example.com")),
    responses(
        (status = 200, description = "It is on the list, now or before.", body = TeamRecipientInfo,
         headers(("Hatch-Position" = i64, description = "A log position by which it is so."))),
        (status = 409, description = "The list is full.",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    Extension(door): Extension<Door>,
    PathAddress(address): PathAddress,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let address = Address::wanted(address.as_str())
        .map_err(|error| Problem::invalid(vec![FieldError::of("", &error)]))?;
    let add = TeamChange::Add(address);
    let changed = change_team(&commands.store, &caller.actor, caller.tenant, &add).await?;
    door.knows(changed.position).await;
    // Somebody else may have taken it from the list again by now.
    let known = changed.tenant.team_recipient(add.address()).map(TeamRecipientInfo::from);
    let known = known.ok_or_else(|| Problem::not_found("address on the list any more"))?;
    let mut response = Json(known).into_response();
    tell_write(response.headers_mut(), changed.position, false);
    Ok(response)
}
