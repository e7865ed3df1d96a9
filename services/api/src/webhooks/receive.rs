//! `/api/v1/webhooks/{provider}/{account}` and `/api/v1/webhooks/{provider}/{account}/inbound`, and the same without the
//! account, by the methods that the provider comes by: verify, understand, record, and only then answer.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::ALLOW;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hatch_providers::{NotUnderstood, Observation, RawRequest};

use super::log::{REFUSED_PART_BYTES_MAX, WebhookLogEntry};
use super::ownership::Elsewhere;
use super::reading::Seen;
use super::record::Recording;
use super::refused::NO_SECRET;
use super::verified::VerifiedBy;
use super::{GENERIC, WebhookAccount, Webhooks};
use crate::body::{self, Kind};
use crate::client_address::ClientAddress;
use crate::extract::is_json;
use crate::field_error::token;
use crate::malformed;
use crate::problem::{FieldCode, FieldError, POSITION, Problem};

/// Bytes of the answer to a provider's question, at most: it is what the provider sent, as a rule.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What a provider posts
///
/// The signature is checked over the raw bytes and the public URL before anything is parsed. A
/// repeat is answered as the first was, and adds nothing.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{provider}", operation_id = "receive_webhook", tag = "webhooks",
    params(("provider" = String, Path, description = "The provider.", example = "twilio")),
    request_body(content = String, content_type = "*/*", description = "As the provider defines it."),
    responses(
        (status = 200, description = "Everything it says is recorded, now or before."),
        (status = 201, description = "The same, for providers that expect it."),
        (status = 204, description = "The same, for providers that expect it."),
        (status = 401, description = "It is not signed by the provider; nothing else happened.",
         body = crate::problem::Body, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(webhooks): State<Arc<Webhooks>>,
    Path(provider): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    webhooks.take(&provider, request, Kind::Webhook).await
}

/// A mail that comes in
#[utoipa::path(
    post, path = "/api/v1/webhooks/{provider}/inbound", operation_id = "receive_mail",
    tag = "webhooks",
    params(("provider" = String, Path, description = "The provider.", example = "sendgrid")),
    request_body(content = String, content_type = "multipart/form-data",
        description = "As the provider defines it; 25 MiB at most."),
    responses(
        (status = 200, description = "Everything it says is recorded, now or before."),
        (status = 201, description = "The same, for providers that expect it."),
        (status = 204, description = "The same, for providers that expect it."),
        (status = 401, description = "It is not signed by the provider; nothing else happened.",
         body = crate::problem::Body, content_type = "application/problem+json")
    )
)]
pub(super) async fn inbound_handler(
    State(webhooks): State<Arc<Webhooks>>,
    Path(provider): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let path = format!("{provider}/inbound");
    webhooks.take(&path, request, Kind::Mail).await
}

/// What a provider posts of one of several accounts
///
/// As `/api/v1/webhooks/{provider}`, which is the path of the account that is called as its provider, and else of the
/// provider's only one. The signature is checked by the credentials of this account alone.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{provider}/{account}", operation_id = "receive_webhook_of_account",
    tag = "webhooks",
    params(("provider" = String, Path, description = "The provider.", example = "twilio"),
           ("account" = String, Path, description = "The account, by its name in the settings.",
            example = "twilio-main")),
    request_body(content = String, content_type = "*/*", description = "As the provider defines it."),
    responses(
        (status = 200, description = "Everything it says is recorded, now or before."),
        (status = 201, description = "The same, for providers that expect it."),
        (status = 204, description = "The same, for providers that expect it."),
        (status = 401, description = "It is not signed by the provider; nothing else happened.",
         body = crate::problem::Body, content_type = "application/problem+json")
    )
)]
pub(super) async fn account_handler(
    State(webhooks): State<Arc<Webhooks>>,
    Path((provider, account)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let path = format!("{provider}/{account}");
    webhooks.take(&path, request, Kind::Webhook).await
}

/// A mail that comes in by one of several accounts
#[utoipa::path(
    post, path = "/api/v1/webhooks/{provider}/{account}/inbound",
    operation_id = "receive_mail_of_account", tag = "webhooks",
    params(("provider" = String, Path, description = "The provider.", example = "sendgrid"),
           ("account" = String, Path, description = "The account, by its name in the settings.",
            example = "sendgrid-main")),
    request_body(content = String, content_type = "multipart/form-data",
        description = "As the provider defines it; 25 MiB at most."),
    responses(
        (status = 200, description = "Everything it says is recorded, now or before."),
        (status = 201, description = "The same, for providers that expect it."),
        (status = 204, description = "The same, for providers that expect it."),
        (status = 401, description = "It is not signed by the provider; nothing else happened.",
         body = crate::problem::Body, content_type = "application/problem+json")
    )
)]
pub(super) async fn account_inbound_handler(
    State(webhooks): State<Arc<Webhooks>>,
    Path((provider, account)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let path = format!("{provider}/{account}/inbound");
    webhooks.take(&path, request, Kind::Mail).await
}

/// A message that comes in, as plain JSON
///
/// `POST /api/webhooks/email` and `POST /api/v1/webhooks/generic` are other names. Open in `hatch up`
/// only; elsewhere it needs the configured bearer secret.
#[utoipa::path(
    post, path = "/api/webhooks/sms", operation_id = "compat_receive", tag = "compatibility",
    request_body(content = Object, description = "`from`, `to`, `type`, `body`, `attachments`, \
        `timestamp`, and `messaging_provider_id` (sms, mms) or `xillio_id` (email).",
        example = json!({"from": "+18045551234", "to": "+12016661234", "type": "sms",
            "messaging_provider_id": "message-1", "body": "Hi back", "attachments": null,
            "timestamp": "2024-11-01T14:00:00Z"})),
    responses(
        (status = 200, description = "Everything it says is recorded, now or before."),
        (status = 201, description = "The same, for providers that expect it."),
        (status = 204, description = "The same, for providers that expect it."),
        (status = 401, description = "It is not signed by the provider; nothing else happened.",
         body = crate::problem::Body, content_type = "application/problem+json")
    )
)]
pub(super) async fn generic_handler(
    State(webhooks): State<Arc<Webhooks>>,
    request: Request,
) -> Result<Response, Problem> {
    webhooks.take(GENERIC, request, Kind::Webhook).await
}

/// The client address for which a refused request is counted.
fn client(request: &Request) -> IpAddr {
    let client = request.extensions().get::<ClientAddress>();
    client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.counted())
}

impl Webhooks {
    /// Nobody posts to `path`. Who has the generic one would come in with a secret.
    fn unknown(&self, path: &str) -> Problem {
        if path == GENERIC {
            self.stats.refused.of(&(GENERIC.to_owned(), NO_SECRET)).increment();
            let detail = "Authorization: expected a secret, and generic.bearer_secret is not set";
            return Problem::wrong_signature(detail);
        }
        self.no_account_at(path)
    }

    /// What is answered to a request that comes to `path`.
    async fn take(&self, path: &str, request: Request, kind: Kind) -> Result<Response, Problem> {
        let client = client(&request);
        if let Some(refused) = self.refuse_method(path, request.method()) {
            return Ok(refused);
        }
        let raw = self.read(path, request, kind).await?;
        self.receive(path, &raw, client).await
    }

    /// What is answered where no provider comes to `path` by `method`. Where nobody posts, nobody comes by another method.
    fn refuse_method(&self, path: &str, method: &Method) -> Option<Response> {
        let (account, usual) = (self.posting(path), [Method::POST]);
        let methods = account.as_ref().map_or(&usual[..], |one| one.webhook.methods());
        if methods.contains(method) {
            return None;
        }
        let allow = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(",");
        let mut refused = StatusCode::METHOD_NOT_ALLOWED.into_response();
        if let Ok(allow) = HeaderValue::from_str(&allow) {
            refused.headers_mut().insert(ALLOW, allow);
        }
        Some(refused)
    }

    /// The request as it came in, within the limits of its kind. Where nobody posts to `path` nothing of it is read,
    /// and of one that is not signed at all no more than the log keeps.
    async fn read(&self, path: &str, request: Request, kind: Kind) -> Result<RawRequest, Problem> {
        let is_signed = self.may_be_signed(path, request.headers())?;
        let (parts, body) = request.into_parts();
        let body = if is_signed {
            body::read_of(&parts, body, kind).await?
        } else {
            body::beginning(body, REFUSED_PART_BYTES_MAX).await
        };
        let Parts { method, uri, headers, .. } = parts;
        let asked = uri.into_parts().path_and_query;
        let path_and_query = asked.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(RawRequest { method, path_and_query, headers, body })
    }

    fn may_be_signed(&self, path: &str, headers: &HeaderMap) -> Result<bool, Problem> {
        let account = self.posting(path).ok_or_else(|| self.unknown(path))?;
        Ok(account.webhook.may_be_signed(headers))
    }

    async fn receive(
        &self,
        path: &str,
        raw: &RawRequest,
        client: IpAddr,
    ) -> Result<Response, Problem> {
        let _on_its_way = self.intake.enter();
        let account = self.posting(path).ok_or_else(|| self.unknown(path))?;
        match self.readers.see(&account, raw).await? {
            Seen::Signed { said, once } => match self.reused(&account, once).await? {
                None => self.believe(&account, raw, said).await,
                Some(refusal) => Err(self.refuse(&account, raw, client, refusal).await),
            },
            Seen::Refused(refusal) => Err(self.refuse(&account, raw, client, refusal).await),
            Seen::Question(answer) => answered(&account, answer),
        }
    }

    async fn believe(
        &self,
        account: &WebhookAccount,
        raw: &RawRequest,
        said: Result<Vec<Observation>, NotUnderstood>,
    ) -> Result<Response, Problem> {
        if account.webhook.refuses_nonsense() && !is_json(&raw.headers) {
            return Err(Problem::unsupported_media_type("application/json"));
        }
        let observations = said.as_deref().unwrap_or_default();
        let owned = self.owned(&self.by_recipient(account, observations), observations).await?;
        let recording = self.recording(&owned.account, owned.elsewhere, raw);
        let position = match said {
            Ok(observations) => recording.record(observations).await?.0,
            // Its sender can mend it, and is told; a provider cannot, and would only repeat it.
            Err(error) if account.webhook.refuses_nonsense() => {
                return Err(Problem::invalid(vec![nonsense(&error)]));
            }
            Err(error) => recording.quarantine(failure(&error)).await?,
        };
        let mut response = account.webhook.success().map(Body::from);
        response.headers_mut().insert(POSITION, HeaderValue::from(position.0));
        Ok(response)
    }

    pub(super) fn recording<'a>(
        &'a self,
        account: &'a WebhookAccount,
        elsewhere: Vec<Elsewhere>,
        raw: &RawRequest,
    ) -> Recording<'a> {
        let environment = self.store.environment();
        let (id, now) = (environment.new_id(), environment.now());
        let mut entry = WebhookLogEntry::new(id, account.tenant_id.0, account.provider, raw, now);
        entry.verified = Some(VerifiedBy::of(account));
        Recording { webhooks: self, account, elsewhere, entry, raw: None, now, said_at: now }
    }

    /// The entry of a request without a valid signature: no more than the beginning of its parts.
    pub(super) fn refused_recording<'a>(
        &'a self,
        account: &'a WebhookAccount,
        raw: &RawRequest,
    ) -> Recording<'a> {
        let environment = self.store.environment();
        let (id, now) = (environment.new_id(), environment.now());
        let entry = WebhookLogEntry::refused(id, account.tenant_id.0, account.provider, raw, now);
        let elsewhere = Vec::new();
        Recording { webhooks: self, account, elsewhere, entry, raw: None, now, said_at: now }
    }
}

/// What a provider's question is answered: as its webhook says, and no more than an answer needs.
fn answered(account: &WebhookAccount, answer: http::Response<Bytes>) -> Result<Response, Problem> {
    let bytes = answer.body().len();
    if bytes > ANSWER_BYTES_MAX {
        tracing::error!(path = &*account.path, bytes, "a webhook's answer is too long to be given");
        return Err(Problem::unavailable("its answer is too long"));
    }
    Ok(answer.map(Body::from))
}

/// The problem that the sender of a request is told.
fn nonsense(error: &NotUnderstood) -> FieldError {
    match error {
        NotUnderstood::Missing { field } => {
            FieldError::coded(FieldCode::Required, format!("/{field}"), "is required")
        }
        NotUnderstood::Unknown { field } => {
            FieldError::coded(FieldCode::UnknownField, token(field), "unknown field")
        }
        NotUnderstood::Field { field, expected } => {
            FieldError::new(format!("/{field}"), format!("expected {expected}"))
        }
        NotUnderstood::Address { field, source } => FieldError::of(format!("/{field}"), source),
        NotUnderstood::ContentType { expected } => {
            FieldError::coded(FieldCode::WrongType, "", format!("expected {expected}"))
        }
        NotUnderstood::NotJson { line, column } => malformed::not_json(*line, *column),
        other => FieldError::new("", failure(other)),
    }
}

/// What could not be done with a webhook, and why.
pub(super) fn failure(error: &NotUnderstood) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("failed to {error}: {source}"),
        None => format!("failed to {error}"),
    }
}
