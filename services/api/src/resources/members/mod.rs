//! Members: the people of a tenant, and what each may do.

mod accept;
mod change;
mod get;
mod invite;
mod list;
mod remove;
mod request;
#[cfg(test)]
pub(crate) mod tests;
mod write;

use std::sync::Arc;

use hatch_readmodel::MemberInfo;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::request::InviteRequest;
pub(crate) use self::write::refusal;
pub use self::write::{Authority, Written, invite, remove};
use crate::people::People;
use crate::queries::Queries;

/// What can be done with members.
pub(crate) fn command_routes() -> OpenApiRouter<Arc<People>> {
    OpenApiRouter::new()
        .routes(routes!(invite::handler))
        .routes(routes!(change::handler, remove::handler))
        .routes(routes!(accept::handler))
}

/// What can be asked about them.
pub(crate) fn query_routes() -> OpenApiRouter<Queries> {
    OpenApiRouter::new().routes(routes!(list::handler)).routes(routes!(get::handler))
}

/// A member with the link that lets him in.
#[derive(Serialize, ToSchema)]
#[schema(as = InvitedMember)]
pub struct InvitedMember {
    #[serde(flatten)]
    info: MemberInfo,
    /// What he opens in a browser. It is here this once, and kept nowhere: `null` where the idempotency key was used
    /// before.
    invitation_url: Option<String>,
}

/// Without the link.
impl std::fmt::Debug for InvitedMember {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InvitedMember").field("info", &self.info).finish_non_exhaustive()
    }
}

impl From<Written> for InvitedMember {
    fn from(Written { member, url, .. }: Written) -> Self {
        Self { info: member, invitation_url: url }
    }
}
