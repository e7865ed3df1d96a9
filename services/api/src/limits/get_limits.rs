//! `GET /api/v1/limits`: what is left to the caller.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::Quota;
use super::quota::Left;
use super::seconds;
use crate::extract::{NoParameters, QueryParameters};

/// What is left to the caller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RateLimits)]
pub(crate) struct RateLimits {
    /// Whether requests are limited at all.
    enabled: bool,
    /// Each route that the caller asked for lately, by name.
    data: Vec<RateLimit>,
}

/// What is left at one route.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RateLimit)]
struct RateLimit {
    /// Method and pattern of the path.
    #[schema(example = "POST /api/v1/messages")]
    route: String,
    /// What the limit comes from: `default`, `route`, `tenant` or `key`.
    #[schema(example = "default")]
    policy: &'static str,
    /// Requests of a window.
    limit: u32,
    /// How long a window is.
    window_seconds: u32,
    /// Requests that pass now.
    remaining: u32,
    /// Seconds until more pass.
    reset_seconds: u32,
}

impl From<Left> for RateLimit {
    fn from(left: Left) -> Self {
        let Left { route, policy, window_s, standing } = left;
        Self {
            route,
            policy,
            limit: standing.limit,
            window_seconds: window_s,
            remaining: standing.left,
            reset_seconds: seconds(standing.reset_ms),
        }
    }
}

/// What is left to the caller
///
/// Each route that this process answers and that the caller asked for within a window, over all processes. A route that is
/// not there has its whole limit left.
#[utoipa::path(
    get, path = "/api/v1/limits", operation_id = "get_limits", tag = "operations",
    security(("bearer" = [])),
    responses((status = 200, description = "What is left.", body = RateLimits))
)]
pub(crate) async fn handler(
    quota: Quota,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
) -> Json<RateLimits> {
    let left = quota.left();
    let enabled = left.is_some();
    Json(RateLimits { enabled, data: left.into_iter().flatten().map(RateLimit::from).collect() })
}
