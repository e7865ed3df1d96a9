//! `/api/v1/session/totp`: a second factor for oneself.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use hatch_domain::member::command::MemberCommand;
use hatch_domain::sealed::Sealed;
use hatch_eventstore::SystemEnvironment;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::person;
use crate::auth::Caller;
use crate::client_address::ClientAddress;
use crate::commands::tell_write;
use crate::extract::{JsonBody, NoBody, NoParameters, QueryParameters};
use crate::people::{
    People, SECRET_BYTES, base32, place, recovery_codes, recovery_hash, step_of, uri,
};
use crate::problem::{Body as ProblemBody, FieldError, Problem};

/// What an authenticator is given.
#[derive(Serialize, ToSchema)]
#[schema(as = TotpEnrolment)]
pub(super) struct Enrolment {
    /// The secret, as one types it into an authenticator.
    secret: String,
    /// The same as a link, of which one makes a picture for an authenticator.
    uri: String,
    /// The same, sealed: it goes back with the first code.
    enrolment: String,
}

/// The first code.
#[derive(Deserialize, ToSchema)]
#[schema(as = TotpConfirmation)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmation {
    /// What the enrolment has.
    #[schema(required)]
    enrolment: Option<String>,
    /// Six digits, as the authenticator shows them now.
    #[schema(required, example = "123456")]
    code: Option<String>,
    /// The password.
    #[schema(required)]
    password: Option<String>,
}

/// Codes that stand in for the second factor.
#[derive(Serialize, ToSchema)]
#[schema(as = RecoveryCodes)]
pub(super) struct Codes {
    /// Each counts once. They are shown this once.
    recovery_codes: Vec<String>,
}

/// By what somebody shows that it is he.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = TotpRemoval)]
#[serde(deny_unknown_fields)]
pub(super) struct Removal {
    /// The password.
    #[schema(required)]
    password: Option<String>,
}

/// Begins a second factor
///
/// Nothing is asked for yet: put the secret into an authenticator, and confirm by its first code. Without a master key of the
/// installation there is no second factor: `409` (`no_master_key`). Nor is there another one before the present one is ended
/// (`totp_enabled`), or one of somebody who signs in by an identity provider (`no_password`).
#[utoipa::path(
    post, path = "/api/v1/session/totp", operation_id = "begin_totp", tag = "sessions",
    security(("bearer" = [])),
    responses((status = 200, description = "What an authenticator is given.", body = Enrolment),
        (status = 409, description = "The installation has no master key, or the member no password, or a second factor.",
         body = ProblemBody, content_type = "application/problem+json"))
)]
pub(super) async fn begin(
    State(people): State<Arc<People>>,
    caller: Caller,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    NoBody: NoBody,
) -> Result<Json<Enrolment>, Problem> {
    let entry = person(&people, &caller)?;
    people.refuse_unsealed()?;
    if entry.member.password().is_none() {
        return Err(Problem::no_password());
    }
    if entry.member.totp_secret().is_some() {
        return Err(Problem::totp_enabled());
    }
    let secret = &SystemEnvironment::entropy()[..SECRET_BYTES];
    let sealed = people.keyring.seal(secret, &place(&entry));
    let sealed = sealed.map_err(|error| Problem::fault(&error))?;
    let email = entry.member.email().map(|email| email.to_string()).unwrap_or_default();
    let (secret, uri) = (base32(secret), uri(secret, &email));
    Ok(Json(Enrolment { secret, uri, enrolment: sealed.into() }))
}

/// Confirms a second factor
///
/// It is asked for from now on. The password shows that it is oneself. The answer has ten codes that stand in for it where
/// the authenticator is lost, each once; they are shown this once.
#[utoipa::path(
    put, path = "/api/v1/session/totp", operation_id = "confirm_totp", tag = "sessions",
    security(("bearer" = [])),
    request_body(content = Confirmation, example = json!({
        "enrolment": "s1.0123456789abcdef.a2V5.Ym94", "code": "123456", "password": "correct horse battery"})),
    responses((status = 200, description = "It is asked for from now on.", body = Codes,
        headers(("Hatch-Position" = i64, description = "The log position of the write."))),
        (status = 409, description = "The installation has no master key, or the member no password, or a second factor.",
         body = ProblemBody, content_type = "application/problem+json"))
)]
pub(super) async fn confirm(
    State(people): State<Arc<People>>,
    caller: Caller,
    Extension(address): Extension<ClientAddress>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    JsonBody(confirmation): JsonBody<Confirmation>,
) -> Result<Response, Problem> {
    let entry = person(&people, &caller)?;
    people.refuse_unsealed()?;
    let text = confirmation.enrolment.unwrap_or_default();
    let unknown = || {
        let detail = "expected the enrolment as it was answered";
        Problem::invalid(vec![FieldError::new("/enrolment", detail)])
    };
    let sealed: Sealed = text.parse().map_err(|_| unknown())?;
    let opened = people.keyring.open(&sealed, &place(&entry)).map_err(|_| unknown())?;
    people.prove(&entry, confirmation.password.unwrap_or_default(), address).await?;
    let (code, at) = (confirmation.code.unwrap_or_default(), people.store.environment().now());
    let step = step_of(opened.expose(), code.trim(), at.timestamp());
    let step = step.ok_or_else(Problem::wrong_code)?;
    if !people.attempts.take_step(entry.tenant_id, entry.id, step).await? {
        return Err(Problem::wrong_code());
    }
    let codes = recovery_codes(SystemEnvironment::entropy);
    let recovery = codes.iter().map(|code| recovery_hash(code)).collect();
    let command = MemberCommand::EnableTotp { secret: sealed, recovery, at };
    let (position, _) = people.record(&entry, &command).await?;
    people.knows(position).await;
    let mut response = Json(Codes { recovery_codes: codes }).into_response();
    tell_write(response.headers_mut(), position, false);
    Ok(response)
}

/// Ends the second factor
///
/// It is asked for no more. The password shows that it is oneself.
#[utoipa::path(
    delete, path = "/api/v1/session/totp", operation_id = "end_totp", tag = "sessions",
    security(("bearer" = [])),
    request_body(content = Removal, example = json!({"password": "correct horse battery"})),
    responses((status = 204, description = "It is asked for no more.",
        headers(("Hatch-Position" = i64, description = "A log position by which it is so."))),
        (status = 409, description = "The member has no password.",
         body = ProblemBody, content_type = "application/problem+json"))
)]
pub(super) async fn disable(
    State(people): State<Arc<People>>,
    caller: Caller,
    Extension(address): Extension<ClientAddress>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    JsonBody(removal): JsonBody<Removal>,
) -> Result<Response, Problem> {
    let entry = person(&people, &caller)?;
    people.prove(&entry, removal.password.unwrap_or_default(), address).await?;
    let at = people.store.environment().now();
    let (position, _) = people.record(&entry, &MemberCommand::DisableTotp { at }).await?;
    people.knows(position).await;
    let mut response = StatusCode::NO_CONTENT.into_response();
    tell_write(response.headers_mut(), position, false);
    Ok(response)
}
