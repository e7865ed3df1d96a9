//! `DELETE /api/v1/session`: signs out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::{person, set_cookie};
use crate::auth::{Caller, cookie};
use crate::commands::tell_write;
use crate::extract::{NoBody, NoParameters, QueryParameters};
use crate::people::People;
use crate::problem::Problem;

/// Signs out
///
/// Ends the session that the request came by, and takes its cookie away.
#[utoipa::path(
    delete, path = "/api/v1/session", operation_id = "sign_out", tag = "sessions",
    security(("bearer" = [])),
    responses((status = 204, description = "Ended.",
        headers(("Hatch-Position" = i64, description = "A log position by which it is ended."))))
)]
pub(super) async fn handler(
    State(people): State<Arc<People>>,
    caller: Caller,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let entry = person(&people, &caller)?;
    let session = caller.session.ok_or_else(Problem::not_signed_in)?;
    let position = people.end_session(&caller, entry.id, session.id).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(response.headers_mut(), cookie::take(people.is_secure()));
    tell_write(response.headers_mut(), position, false);
    Ok(response)
}
