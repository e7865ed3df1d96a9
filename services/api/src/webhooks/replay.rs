//! `POST /api/v1/webhooks/replay/{id}`: a webhook of the quarantine once more, as with a build or settings
//! that understand it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use hatch_domain::ids::TenantId;
use hatch_eventstore::Position;
use hatch_providers::RawRequest;
use hatch_readmodel::{WaitingReceipt, WebhookContent, WebhookOutcome as Outcome};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::account::PREFIX;
use super::ownership::Owned;
use super::receive::failure;
use super::record::Recording;
use super::verified::{verified, verified_as};
use super::{GENERIC, WebhookAccount, Webhooks};
use crate::auth::Caller;
use crate::extract::{NoBody, PathId};
use crate::problem::{POSITION, Problem};

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
struct Replayed {
    /// Its entry in the webhook log, beside the one that it was replayed from.
    id: Uuid,
    outcome: Outcome,
    #[schema(value_type = i64)]
    position: Position,
}

/// Reads a webhook of the quarantine again
///
/// What it says by now is recorded, and nothing twice: repeating this is safe. The webhook gets a new
/// entry in the log, and the old one leaves the quarantine.
#[utoipa::path(
    post, path = "/api/v1/webhooks/replay/{id}", operation_id = "replay_webhook", tag = "webhooks",
    security(("bearer" = ["webhooks:write"])),
    params(("id" = Uuid, Path, description = "The webhook, by its id in the webhook log.")),
    responses(
        (status = 200, description = "What was made of it now.", body = Replayed,
         headers(("Hatch-Position" = i64, description = "The log position of the write."))),
        (status = 409, description = "It is not in the quarantine, or still not understood.",
         body = crate::problem::Body, content_type = "application/problem+json"))
)]
pub(super) async fn handler(
    State(webhooks): State<Arc<Webhooks>>,
    caller: Caller,
    PathId(id): PathId,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let replayed = webhooks.replay(caller.tenant, id).await?;
    let position = HeaderValue::from(replayed.position.0);
    Ok(([(POSITION, position)], Json(replayed)).into_response())
}

impl Webhooks {
    /// Reads a webhook of the quarantine again, and says under which id it is in the log now, and what was made of it.
    ///
    /// # Errors
    /// Why it was not replayed.
    pub async fn replay_by_id(
        &self,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<(Uuid, Outcome), Problem> {
        let replayed = self.replay(tenant, id).await?;
        Ok((replayed.id, replayed.outcome))
    }

    async fn replay(&self, tenant: TenantId, id: Uuid) -> Result<Replayed, Problem> {
        let kept = self.read_model.webhook(tenant, id).await?;
        let kept = kept.ok_or_else(|| Problem::not_found("webhook"))?;
        let (old, outcome) = (kept.webhook.id, kept.webhook.outcome.as_str());
        if outcome != Outcome::Quarantined.as_str() {
            return Err(Problem::not_replayed(format!("the webhook is {outcome}")));
        }
        let detail = kept.webhook.detail.as_deref().unwrap_or_default();
        if detail.starts_with(WaitingReceipt::REASON) {
            let detail = "it waits for its message, and leaves the quarantine by itself";
            return Err(Problem::not_replayed(detail));
        }
        let path = &kept.webhook.path_and_query;
        let account = self
            .account_of(path, kept.verified.as_ref())
            .ok_or_else(|| Problem::not_replayed(format!("no account is set that takes {path}")))?;
        let account = verified(account, tenant, kept.verified.as_ref())?;
        let said_at = kept.webhook.received_at;
        let raw = raw(kept)?;
        let said = self.readers.parse(&account, &raw).await?;
        let observations = said.map_err(|error| {
            Problem::not_replayed(format!("it is still not understood: {}", failure(&error)))
        })?;
        // Nobody knew for whom it is before it was understood.
        let account =
            WebhookAccount { tenant_id: tenant, ..self.by_recipient(&account, &observations) };
        let tenants = account.tenants.clone();
        if !tenants.has(tenant) {
            let detail = "it is for who has another account, and that account is not this tenant's";
            return Err(Problem::not_replayed(detail));
        }
        let Owned { account, elsewhere } = self.owned(&account, &observations).await?;
        if !tenants.has(account.tenant_id) {
            let detail = "what it says is known already, and is of a tenant without the account";
            return Err(Problem::not_replayed(detail));
        }
        let recording = Recording { said_at, ..self.recording(&account, elsewhere, &raw) };
        let id = recording.entry.id;
        let (position, outcome) = recording.record(observations).await?;
        // One of the two is enough in the quarantine.
        let left = if outcome == Outcome::Quarantined { Outcome::Ignored } else { outcome };
        self.read_model.release_webhook(old, left, &format!("replayed as {id}")).await?;
        Ok(Replayed { id, outcome, position })
    }

    /// Whose a webhook is that came in there: of several that are one account at their provider, the one that it was for.
    fn account_of(&self, path_and_query: &str, verified: Option<&Value>) -> Option<WebhookAccount> {
        let account = self.account_at(path_and_query)?;
        let name = verified.and_then(verified_as).filter(|name| **name != *account.name);
        let sibling = name.and_then(|name| self.sibling_called(&account, &name));
        Some(sibling.unwrap_or(account))
    }

    /// Whose webhooks come in there.
    pub(super) fn account_at(&self, path_and_query: &str) -> Option<WebhookAccount> {
        let path = path_and_query.split('?').next()?;
        // What has no path of an account came in by a name of the generic one.
        self.posting(path.strip_prefix(PREFIX).unwrap_or(GENERIC))
    }
}

/// The request as it came in, as far as the log has it.
fn raw(kept: WebhookContent) -> Result<RawRequest, Problem> {
    let WebhookContent { webhook, headers, body, .. } = kept;
    let parts = (webhook.method.as_str(), webhook.path_and_query.as_str(), &headers);
    let damaged = || Problem::not_replayed("its entry in the log cannot be read");
    request(parts, body).ok_or_else(damaged)
}

/// A request of that method, path and query, and headers as a JSON object; none where they are no such things.
pub(super) fn request(
    (method, path_and_query, headers): (&str, &str, &Value),
    body: Vec<u8>,
) -> Option<RawRequest> {
    let headers: Option<HeaderMap> = headers
        .as_object()?
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::try_from(name.as_str()).ok()?;
            Some((name, HeaderValue::from_bytes(value.as_str()?.as_bytes()).ok()?))
        })
        .collect();
    Some(RawRequest {
        method: Method::try_from(method).ok()?,
        path_and_query: path_and_query.parse().ok()?,
        headers: headers?,
        body: body.into(),
    })
}
