//! `POST /api/v1/messages/{id}/resolve`: a person says what an attempt in doubt was.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use hatch_domain::ids::MessageId;
use hatch_domain::message::event::Resolution;
use hatch_domain::message::status::Status;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Commands;
use super::change::{Change, Changed, answer, resolve};
use super::idempotency::IdempotencyKey;
use crate::auth::Caller;
use crate::extract::{JsonBody, NoParameters, PathId, QueryParameters};
use crate::problem::Body as ProblemBody;
use crate::problem::{FieldCode, FieldError, Problem};

/// Characters of a reason at most.
const REASON_CHARACTERS_MAX: usize = 500;

/// What a person found out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResolveRequest {
    /// `sent`: the provider has it. `not_sent`: it has not, and the message fails. `resend`: it is sent again, at the risk
    /// of a second copy if it was sent after all.
    #[serde(rename = "as")]
    #[schema(required, value_type = Resolution)]
    resolution: Option<String>,
    /// How the person knows: it stands in the event.
    #[schema(
        required,
        min_length = 1,
        max_length = 500,
        example = "their console shows it as sent"
    )]
    reason: Option<String>,
}

/// The same as it was understood: what is compared under an idempotency key.
#[derive(Debug, Serialize)]
struct Understood {
    id: MessageId,
    resolution: Resolution,
    reason: String,
}

/// Says what an attempt in doubt was
///
/// For a message that is `in_doubt`: a person looked at the provider's own pages, or decides. Who is faster, this, a receipt
/// or a look-up, counts; a receipt that comes later still says what became of the message.
#[utoipa::path(
    post, path = "/api/v1/messages/{id}/resolve", operation_id = "resolve_message", tag = "messages",
    security(("bearer" = ["messages:write"])),
    params(("id" = Uuid, Path, description = "The message."), IdempotencyKey),
    request_body = ResolveRequest,
    responses(
        (status = 200, description = "Done.", body = Changed, headers(
            ("Hatch-Position" = i64, description = "The log position of the write."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))),
        (status = 409, description = "Nothing about the message is in doubt; `detail` says its status.",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ResolveRequest>,
) -> Result<Response, Problem> {
    let understood = request.understood(MessageId(id)).map_err(Problem::invalid)?;
    let route = (&headers, "POST /api/v1/messages/{id}/resolve");
    let change = Change::by(caller, &commands, route, understood.id, &understood).await?;
    let Understood { id, resolution, reason } = understood;
    let resolved = resolve(&commands.store, change, id, (resolution, reason)).await;
    let status = match resolution {
        Resolution::Sent => Status::Sent,
        Resolution::NotSent => Status::Failed,
        Resolution::Resend => Status::Retrying,
    };
    answer(id, resolved, (StatusCode::OK, status))
}

impl ResolveRequest {
    fn understood(self, id: MessageId) -> Result<Understood, Vec<FieldError>> {
        let mut errors = Vec::new();
        let required = |at: &str| FieldError::coded(FieldCode::Required, at, "is required");
        let resolution = match self.resolution.as_deref() {
            None => {
                errors.push(required("/as"));
                None
            }
            Some(text) => {
                let found = Resolution::ALL.into_iter().find(|one| one.as_str() == text);
                if found.is_none() {
                    let detail = format!("expected one of sent, not_sent, resend, got {text:?}");
                    errors.push(FieldError::coded(FieldCode::UnknownValue, "/as", detail));
                }
                found
            }
        };
        let reason = match self.reason.as_deref().map(str::trim) {
            None => {
                errors.push(required("/reason"));
                None
            }
            Some(text) => match reason_fault(text) {
                Some((code, detail)) => {
                    errors.push(FieldError::coded(code, "/reason", detail));
                    None
                }
                None => Some(text.to_owned()),
            },
        };
        match (resolution, reason) {
            (Some(resolution), Some(reason)) if errors.is_empty() => {
                Ok(Understood { id, resolution, reason })
            }
            _ => Err(errors),
        }
    }
}

/// What is wrong with a reason that stands in an event, or in a task.
pub(crate) fn reason_fault(text: &str) -> Option<(FieldCode, String)> {
    let characters = text.chars().count();
    if text.contains(|c: char| c.is_control() && c != '\n') {
        return Some((FieldCode::ForbiddenCharacter, "expected no control characters".to_owned()));
    }
    if characters == 0 {
        return Some((FieldCode::Required, "expected how you know".to_owned()));
    }
    (characters > REASON_CHARACTERS_MAX).then(|| {
        let detail =
            format!("expected at most {REASON_CHARACTERS_MAX} characters, got {characters}");
        (FieldCode::TooLong, detail)
    })
}
