//! `PUT /api/v1/session/password`: gives oneself another password.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hatch_domain::member::command::MemberCommand;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{person, set_cookie};
use crate::auth::{Caller, cookie};
use crate::client_address::ClientAddress;
use crate::commands::tell_write;
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::people::{People, check_password};
use crate::problem::{Body as ProblemBody, FieldCode, FieldError, Problem};

/// The password of now, and the one from now on.
#[derive(Deserialize, ToSchema)]
#[schema(as = PasswordChange)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// The one that counts now.
    #[schema(required)]
    password: Option<String>,
    /// 12 to 128 characters, none of the commonest, and not the email.
    #[schema(required, min_length = 12, max_length = 128)]
    new_password: Option<String>,
}

/// Gives oneself another password
///
/// All of one's sessions end, this one too: sign in by the new one. Who has none, because he signs in by an identity
/// provider, gets none by this: `409` (`no_password`).
#[utoipa::path(
    put, path = "/api/v1/session/password", operation_id = "set_password", tag = "sessions",
    security(("bearer" = [])),
    request_body(content = Change, example = json!({
        "password": "correct horse battery", "new_password": "staple in the rain"})),
    responses((status = 204, description = "It counts from now on.",
        headers(("Hatch-Position" = i64, description = "The log position of the write."))),
        (status = 409, description = "The member has no password.",
         body = ProblemBody, content_type = "application/problem+json"))
)]
pub(super) async fn handler(
    State(people): State<Arc<People>>,
    caller: Caller,
    Extension(address): Extension<ClientAddress>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    JsonBody(change): JsonBody<Change>,
) -> Result<Response, Problem> {
    let entry = person(&people, &caller)?;
    let Some(new) = change.new_password else {
        let error = FieldError::coded(FieldCode::Required, "/new_password", "is required");
        return Err(Problem::invalid(vec![error]));
    };
    if let Some(email) = entry.member.email() {
        check_password("/new_password", &new, email)
            .map_err(|error| Problem::invalid(vec![error]))?;
    }
    let present = change.password.unwrap_or_default();
    let is_same = present == new;
    people.prove(&entry, present, address).await?;
    if is_same {
        let detail = "expected another password than the one that counts now";
        let error = FieldError::coded(FieldCode::NotAllowed, "/new_password", detail);
        return Err(Problem::invalid(vec![error]));
    }
    let hash = people.passwords().hash(new).await?;
    let at = people.store.environment().now();
    let (position, _) = people.record(&entry, &MemberCommand::SetPassword { hash, at }).await?;
    people.knows(position).await;
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(response.headers_mut(), cookie::take(people.is_secure()));
    tell_write(response.headers_mut(), position, false);
    Ok(response)
}
