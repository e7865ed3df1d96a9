//! Accounts at providers that the log keeps. Their secrets go in, sealed, and never come out again.

mod create;
mod get;
mod limits;
mod list;
mod patch;
mod remove;
mod request;
#[cfg(test)]
mod tests;
mod vault;
mod write;

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use hatch_domain::account_name::AccountName;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::vault::{Unusable, Vault, place};
use self::write::Written;
use crate::auth::Door;
use crate::commands::{Commands, tell_write};
use crate::problem::Problem;
use crate::queries::Queries;

/// What accounts are called where there is none.
const WHAT: &str = "account";

/// What can be done with accounts.
pub(crate) fn command_routes() -> OpenApiRouter<Arc<Commands>> {
    OpenApiRouter::new()
        .routes(routes!(create::handler))
        .routes(routes!(patch::handler))
        .routes(routes!(remove::handler))
}

/// What can be asked about them.
pub(crate) fn query_routes() -> OpenApiRouter<Queries> {
    OpenApiRouter::new().routes(routes!(list::handler)).routes(routes!(get::handler))
}

/// The answer to whoever has made or changed an account, once this process knows it.
async fn answer(door: &Door, status: StatusCode, written: Written) -> Response {
    let Written { account, position, replayed } = written;
    door.knows(position).await;
    let mut response = (status, Json(account)).into_response();
    tell_write(response.headers_mut(), position, replayed);
    response
}

/// The name of an account in the path. What is no name names nothing: 404.
struct PathName(AccountName);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let name = text.ok().and_then(|Path(text)| text.parse().ok());
        name.map(Self).ok_or_else(|| Problem::not_found(WHAT))
    }
}
