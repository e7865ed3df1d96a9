//! `POST /api/v1/session`: signs somebody in by a password.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use hatch_directory::SESSION_LIFE_MAX;
use hatch_domain::actor::Actor;
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use hatch_eventstore::SystemEnvironment;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{WhoAmI, set_cookie};
use crate::auth::{Caller, cookie};
use crate::client_address::ClientAddress;
use crate::commands::tell_write;
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::people::{Attempt, KNOWN_SECONDS, Origin, People, SignedIn, known_browser};
use crate::problem::{Body as ProblemBody, FieldCode, FieldError, Problem};

/// Characters of a code at most, as people type it.
const CODE_CHARACTERS_MAX: usize = 64;

/// What somebody signs in by.
#[derive(Deserialize, ToSchema)]
#[schema(as = SignIn)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// The email.
    #[schema(required, example = "ann@example.com")]
    email: Option<String>,
    /// The password.
    #[schema(required)]
    password: Option<String>,
    /// The code of the authenticator, or a recovery code, where a second factor is asked for.
    #[schema(max_length = 64, example = "123456")]
    totp: Option<String>,
    /// The tenant, where the email is a member's of several.
    #[schema(value_type = Option<Uuid>)]
    tenant: Option<String>,
}

/// Signs in by a password
///
/// The answer sets a cookie, which opens a new session: `HttpOnly`, `SameSite=Lax`. Requests that change something count by
/// it only from a page of this installation (`Sec-Fetch-Site`, `Origin`). The answer and the time that it takes are the same
/// whether there is such a member or not. 5 attempts in 20 seconds are taken from an address, and 20 in 5 minutes for an
/// email; a browser that its member has signed in by before, which another cookie says, is counted apart.
#[utoipa::path(
    post, path = "/api/v1/session", operation_id = "sign_in", tag = "sessions",
    security(()),
    request_body(content = Request, example = json!({
        "email": "ann@example.com", "password": "correct horse battery", "totp": "123456"})),
    responses(
        (status = 201, description = "Signed in.", body = WhoAmI,
         headers(("Set-Cookie" = String, description = "The session."),
            ("Hatch-Position" = i64, description = "The log position of the write."))),
        (status = 401, description = "They are those of no member (`wrong_sign_in`), or a code is asked for (`totp_required`).",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "A page of another site made the request.",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The email and the password are those of members of several tenants, which `errors` names.",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts of the address or for the email, or too many requests of the address.",
         body = ProblemBody, content_type = "application/problem+json",
         headers(("Retry-After" = i64, description = "Seconds to wait before the next attempt."))))
)]
pub(super) async fn handler(
    State(people): State<Arc<People>>,
    Extension(address): Extension<ClientAddress>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<Request>,
) -> Result<Response, Problem> {
    let mut attempt = request.validate().map_err(Problem::invalid)?;
    let name_of_browser = cookie::name_of_browser(people.is_secure());
    attempt.browser = cookie::value_of(&headers, name_of_browser).map(str::to_owned);
    let origin = Origin::of(address, &headers);
    let signed_in = people.sign_in(attempt, &origin).await?;
    let position = signed_in.position;
    let given = cookie::give(&signed_in.secret, SESSION_LIFE_MAX.num_seconds(), people.is_secure());
    let SignedIn { session, entry, .. } = signed_in;
    let actor = Actor::User(entry.id.0);
    let caller = Caller::of(entry.tenant_id, actor, entry.member.scopes());
    let mut body = WhoAmI::of(&caller, Some(&entry));
    body.session_id = Some(session.id);
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    set_cookie(response.headers_mut(), given);
    let known = known_browser(&entry, &SystemEnvironment::entropy()).and_then(|known| {
        cookie::set((name_of_browser, &known), "/", KNOWN_SECONDS, people.is_secure())
    });
    set_cookie(response.headers_mut(), known);
    tell_write(response.headers_mut(), position, false);
    Ok(response)
}

impl Request {
    fn validate(self) -> Result<Attempt, Vec<FieldError>> {
        let required =
            |pointer: &str| vec![FieldError::coded(FieldCode::Required, pointer, "is required")];
        let email = self.email.ok_or_else(|| required("/email"))?;
        let password = self.password.ok_or_else(|| required("/password"))?;
        let email =
            Address::email(&email).map_err(|error| vec![FieldError::of("/email", &error)])?;
        let tenant = match self.tenant.as_deref().map(str::parse::<TenantId>) {
            Some(Ok(tenant)) => Some(tenant),
            Some(Err(_)) => {
                return Err(vec![FieldError::new("/tenant", "expected a tenant's id, a UUID")]);
            }
            None => None,
        };
        let totp = self.totp;
        if totp.as_ref().is_some_and(|code| code.chars().count() > CODE_CHARACTERS_MAX) {
            let detail = "expected six digits or a recovery code";
            return Err(vec![FieldError::coded(FieldCode::TooLong, "/totp", detail)]);
        }
        Ok(Attempt { email, tenant, password, totp, browser: None })
    }
}
