//! The paths of the systems that hatch replaces, for their clients as they are. Nothing happens here
//! that the paths under `/api/v1` do not do, too: requests are put into their words, and answers
//! into the old ones.

mod conversations;
mod messages;
mod send;

use axum::Router;
use axum::routing::{get, post};

use crate::commands::{Commands, Recipients, SendRequest};
use crate::problem::FieldError;
use crate::queries::Queries;

/// What clients ask for: endpoints of the command role.
pub fn commands(commands: Commands) -> Router {
    Router::new()
        .route("/api/messages/sms", post(messages::sms))
        .route("/api/messages/email", post(messages::email))
        .route("/api/send_message", post(send::message))
        .route("/api/send_email", post(send::email))
        .with_state(commands)
}

/// What clients read: endpoints of the query role.
pub fn queries(queries: Queries) -> Router {
    Router::new()
        .route("/api/conversations", get(conversations::list))
        .route("/api/conversations/{id}/messages", get(conversations::messages))
        .route("/api/conversation/{id}/messages", get(conversations::messages))
        .with_state(queries)
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
