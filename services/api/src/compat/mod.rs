//! The paths of the systems that hatch replaces, for their clients as they are. Nothing happens here
//! that the paths under `/api/v1` do not do, too: requests are put into their words, and answers
//! into the old ones.

mod conversations;
mod messages;
mod send;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::commands::{Commands, OneOrSeveral, Recipients, SendRequest, Written};
use crate::problem::FieldError;
use crate::queries::Queries;

/// What clients ask for: endpoints of the command role.
pub fn commands(commands: Commands) -> Router {
    Router::from(command_routes()).with_state(Arc::new(commands))
}

pub(crate) fn command_routes() -> OpenApiRouter<Arc<Commands>> {
    OpenApiRouter::new()
        .routes(routes!(messages::sms))
        .routes(routes!(messages::email))
        .routes(routes!(send::message))
        .routes(routes!(send::email))
}

/// What clients read: endpoints of the query role.
pub fn queries(queries: Queries) -> Router {
    Router::from(query_routes()).with_state(queries)
}

pub(crate) fn query_routes() -> OpenApiRouter<Queries> {
    OpenApiRouter::new()
        .routes(routes!(conversations::list))
        .routes(routes!(conversations::messages))
        .route("/api/conversation/{id}/messages", get(conversations::messages))
}

/// The errors with the names that the old requests have for the fields.
fn renamed(errors: Vec<FieldError>, names: &[(&str, &str)]) -> Vec<FieldError> {
    let rename = |error: FieldError| {
        let new = names.iter().find_map(|(new, old)| {
            let rest = error.pointer.strip_prefix(new)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{old}{rest}"))
        });
        FieldError { pointer: new.unwrap_or(error.pointer), ..error }
    };
    errors.into_iter().map(rename).collect()
}

#[cfg(test)]
mod tests;
