//! `PUT /api/v1/consent`: says what a person wishes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use hatch_domain::consent::command::Said;
use hatch_domain::consent::event::Evidence;
use hatch_domain::consent::{Consent, Wish};
use hatch_eventstore::{Appended, Execute};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::get::{past, past_default};
use super::{ConsentView, Subject};
use crate::auth::Caller;
use crate::commands::{Commands, IdempotencyKey, command_key, tell_write};
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::problem::{FieldCode, FieldError, Problem};

const ROUTE: &str = "PUT /api/v1/consent";

/// Characters of a note at most.
const EVIDENCE_CHARACTERS_MAX: usize = 500;

/// What a person wishes, as the client writes it.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsentRequest {
    /// Whose wish it is: a phone number or an email address.
    #[schema(example = "+18045551234", required)]
    address: Option<String>,
    /// What it is for; the default programme of the address's channel when it is left out.
    #[schema(example = "sms", max_length = 64)]
    programme: Option<String>,
    /// What the person wishes.
    #[schema(required)]
    state: Option<Asked>,
    /// How that is known, in your own words: a form, a call, a file.
    #[schema(max_length = 500)]
    evidence: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = ConsentWish)]
#[serde(rename_all = "snake_case")]
enum Asked {
    OptedIn,
    OptedOut,
}

/// Says what a person wishes
///
/// Once the answer is there, no message to the address is begun that the wish forbids; those that wait fail with
/// `opted_out`. A provider's own block stays, whatever the person wishes. What is so already is recorded once.
#[utoipa::path(
    put, path = "/api/v1/consent", operation_id = "put_consent", tag = "consent",
    security(("bearer" = ["consent:write"])),
    params(IdempotencyKey),
    request_body(content = ConsentRequest, example = json!({
        "address": "+18045551234", "state": "opted_out", "evidence": "asked on the phone"})),
    responses((status = 200, description = "Recorded, now or before.", body = ConsentView,
        headers(
            ("Hatch-Position" = i64, description = "The log position of the write."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))))
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ConsentRequest>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant;
    let (subject, state, note) = request.validate().map_err(Problem::invalid)?;
    let normalised = (&subject.address, &subject.programme, state, &note);
    let key = command_key(&headers, &caller, ROUTE, &normalised)?;
    let store = &commands.store;
    let (address, programme) = (subject.address.clone(), subject.programme.clone());
    let (evidence, at) = (Evidence::Request { note }, store.environment().now());
    let said = Said { address, programme, evidence, conversation_id: None, at };
    let command = said.wishes(match state {
        Asked::OptedIn => Wish::OptedIn,
        Asked::OptedOut => Wish::OptedOut,
    });
    let id = subject.id(tenant);
    let metadata = caller.metadata(id.0);
    let execute = Execute::<Consent>::new(tenant.0, id.0, &command, metadata).key(key);
    let executed = store.execute(execute).await?;
    let replayed = matches!(executed.appended, Some(Appended::Duplicate { .. }));
    let (position, state) = match executed.appended {
        // The first answer again, whatever was said since.
        Some(duplicate) if replayed => {
            let position = duplicate.last();
            (position, past(store.log(), tenant, id, Some(position)).await?)
        }
        Some(appended) => (appended.last(), executed.state),
        // It was so already: whoever reads up to here sees it.
        None => (store.log().head().await?, executed.state),
    };
    let default = past_default(store.log(), tenant, &subject, Some(position)).await?;
    let mut response = Json(subject.view(&state, default.as_ref())).into_response();
    tell_write(response.headers_mut(), position, replayed);
    Ok(response)
}

impl ConsentRequest {
    fn validate(self) -> Result<(Subject, Asked, Option<String>), Vec<FieldError>> {
        let subject = Subject::read(
            ("/address", self.address.as_deref()),
            ("/programme", self.programme.as_deref()),
        );
        let mut errors = Vec::new();
        let subject = subject.map_err(|wrong| errors.extend(wrong)).ok();
        if self.state.is_none() {
            let detail = "is required: opted_in or opted_out";
            errors.push(FieldError::coded(FieldCode::Required, "/state", detail));
        }
        let long = |text: &String| text.chars().count() > EVIDENCE_CHARACTERS_MAX;
        if self.evidence.as_ref().is_some_and(|text| long(text) || text.contains('\0')) {
            let detail =
                format!("expected at most {EVIDENCE_CHARACTERS_MAX} characters, none of them NUL");
            errors.push(FieldError::coded(FieldCode::TooLong, "/evidence", detail));
        }
        match (subject, self.state) {
            (Some(subject), Some(state)) if errors.is_empty() => {
                Ok((subject, state, self.evidence))
            }
            _ => Err(errors),
        }
    }
}
