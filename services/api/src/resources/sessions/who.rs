//! `GET /api/v1/session`: who asks.

use axum::{Extension, Json};

use super::WhoAmI;
use crate::auth::{Caller, Door};
use crate::extract::{NoParameters, QueryParameters};
use crate::problem::Problem;

/// Who asks, and what he may do
///
/// For whoever is known, by whatever he came.
#[utoipa::path(
    get, path = "/api/v1/session", operation_id = "get_session", tag = "sessions",
    security(("bearer" = [])),
    responses((status = 200, description = "Who asks.", body = WhoAmI))
)]
pub(super) async fn handler(
    caller: Caller,
    Extension(door): Extension<Door>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
) -> Result<Json<WhoAmI>, Problem> {
    let entry = caller.member().and_then(|id| door.directory().member(id));
    Ok(Json(WhoAmI::of(&caller, entry.as_ref())))
}
