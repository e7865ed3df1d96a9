//! `POST /api/v1/invitations/accept`: a person comes by his link, and chooses a password.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hatch_domain::actor::Actor;
use hatch_domain::member::Member;
use hatch_domain::member::command::{Joining, MemberCommand};
use hatch_eventstore::{Execute, Metadata};
use hatch_readmodel::MemberInfo;
use serde::Deserialize;
use utoipa::ToSchema;

use super::refusal;
use crate::auth::NEWS_MAX;
use crate::commands::tell_write;
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::people::{Link, People, check_password};
use crate::problem::{Body as ProblemBody, FieldCode, FieldError, Problem};
use crate::resources::api_keys::name_of;

/// By what a person will come again.
#[derive(Deserialize, ToSchema)]
#[schema(as = Acceptance)]
#[serde(deny_unknown_fields)]
pub(super) struct Acceptance {
    /// What stands behind `#` in the link.
    #[schema(required)]
    invitation: Option<String>,
    /// A password of 12 to 128 characters, none of the commonest, and not the email.
    #[schema(required, min_length = 12, max_length = 128)]
    password: Option<String>,
    /// What the person is called.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
}

/// Accepts an invitation
///
/// The link's secret is in the body, for paths stand in logs, and lets in once. The person signs in by the password from then
/// on.
#[utoipa::path(
    post, path = "/api/v1/invitations/accept", operation_id = "accept_invitation", tag = "members",
    security(()),
    request_body(content = Acceptance, example = json!({
        "invitation": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "password": "correct horse battery"})),
    responses((status = 200, description = "The person is a member.", body = MemberInfo,
        headers(("Hatch-Position" = i64, description = "The log position of the write."))),
        (status = 404, description = "The link was used, is too old, or never was one.",
         body = ProblemBody, content_type = "application/problem+json"))
)]
pub(super) async fn handler(
    State(people): State<Arc<People>>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    JsonBody(mut acceptance): JsonBody<Acceptance>,
) -> Result<Response, Problem> {
    let now = people.store.environment().now();
    let Some(invitation) = acceptance.invitation.take() else {
        let error = FieldError::coded(FieldCode::Required, "/invitation", "is required");
        return Err(Problem::invalid(vec![error]));
    };
    let link = Link::read(&invitation).ok_or_else(Problem::invitation_invalid)?;
    let invited = || {
        let entry = people.directory.member(link.member());
        entry.filter(|entry| entry.member.admits(&link.hash(), now))
    };
    let mut entry = invited();
    // It may have been made a moment ago, elsewhere.
    if entry.is_none() && people.directory.catch_up(NEWS_MAX).await {
        entry = invited();
    }
    let entry = entry.ok_or_else(Problem::invitation_invalid)?;
    let (password, name) = acceptance.validate(&entry.member).map_err(Problem::invalid)?;
    let by = Joining::Password(people.passwords().hash(password).await?);
    let at = people.store.environment().now();
    let command = MemberCommand::Join { invitation: Some(link.hash()), by, name, at };
    let actor = Actor::User(entry.id.0).to_string();
    let metadata = Metadata { correlation_id: entry.id.0, actor, ..Metadata::default() };
    let execute = Execute::<Member>::new(entry.tenant_id.0, entry.id.0, &command, metadata);
    let executed = people.store.execute(execute).await.map_err(joining)?;
    let position = executed.appended.ok_or_else(Problem::invitation_invalid)?.last();
    people.knows(position).await;
    let mut response = Json(MemberInfo::of(entry.id, &executed.state)).into_response();
    tell_write(response.headers_mut(), position, false);
    Ok(response)
}

/// Whoever has a link that does not count learns no more than that.
fn joining(
    error: hatch_eventstore::ExecuteError<hatch_domain::member::command::MemberRejection>,
) -> Problem {
    match error {
        hatch_eventstore::ExecuteError::Rejected(_) => Problem::invitation_invalid(),
        error => refusal(error),
    }
}

impl Acceptance {
    fn validate(self, member: &Member) -> Result<(String, Option<String>), Vec<FieldError>> {
        let mut errors = Vec::new();
        let name = self.name.and_then(|name| name_of("/name", Some(name), &mut errors));
        let Some(password) = self.password else {
            errors.push(FieldError::coded(FieldCode::Required, "/password", "is required"));
            return Err(errors);
        };
        if let Some(email) = member.email() {
            errors.extend(check_password("/password", &password, email).err());
        }
        if errors.is_empty() { Ok((password, name)) } else { Err(errors) }
    }
}
