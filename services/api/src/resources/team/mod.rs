//! The tenant's team list: whom keys of the type `team` may write to.

mod delete;
mod list;
mod put;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use hatch_domain::address::Address;
use hatch_domain::tenant::TeamRecipient;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::commands::Commands;
use crate::problem::{FieldError, Problem};
use crate::queries::{Queries, with_plus};

/// What can be done with the list.
pub(crate) fn command_routes() -> OpenApiRouter<Arc<Commands>> {
    OpenApiRouter::new().routes(routes!(put::handler)).routes(routes!(delete::handler))
}

/// What can be asked about it.
pub(crate) fn query_routes() -> OpenApiRouter<Queries> {
    OpenApiRouter::new().routes(routes!(list::handler))
}

/// Somebody whom keys of the type `team` may write to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TeamRecipient)]
pub(crate) struct TeamRecipientInfo {
    /// As it was written.
    #[schema(value_type = String)]
    pub(crate) address: Address,
    /// Since when.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub(crate) added_at: DateTime<Utc>,
}

impl From<&TeamRecipient> for TeamRecipientInfo {
    fn from(one: &TeamRecipient) -> Self {
        Self { address: one.address.clone(), added_at: one.added_at }
    }
}

/// The address in the path.
struct PathAddress(Address);

impl<S: Send + Sync> FromRequestParts<S> for PathAddress {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let Ok(Path(text)) = text else { return Err(Problem::not_found("address")) };
        let address = Address::sought(&with_plus(&text));
        address.map(Self).map_err(|error| Problem::invalid(vec![FieldError::of("", &error)]))
    }
}
