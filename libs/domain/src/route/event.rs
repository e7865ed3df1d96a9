//! The facts about a route, as the log keeps them. How a shape may change, says [`events!`](crate::events!).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RouteTerms;

/// A route was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RouteCreatedData)]
pub struct RouteCreated {
    /// What its tenant calls it, if it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it stands among the tenant's routes: the lowest is looked at first, and of two alike the older one.
    pub order: i32,
    /// Which messages are its, and who carries them.
    pub terms: RouteTerms,
    /// Who made it, such as `key:0123456789AB`.
    pub created_by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A route is another from now on. All that can change is here, as it is then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RouteChangedData)]
pub struct RouteChanged {
    /// What its tenant calls it, if it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it stands among the tenant's routes.
    pub order: i32,
    /// Which messages are its, and who carries them.
    pub terms: RouteTerms,
    /// When.
    pub at: DateTime<Utc>,
}

/// A route was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RouteRemovedData)]
pub struct RouteRemoved {
    /// When.
    pub at: DateTime<Utc>,
}

crate::events! {
    /// Every event of a route's stream.
    pub enum RouteEvent {
        RouteCreated as Box<RouteCreated>,
        RouteChanged as Box<RouteChanged>,
        RouteRemoved,
    }
}
