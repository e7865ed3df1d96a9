//! `/_sim`: what the providers do not have.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use futures::stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::disturbance::Disturbance;
use crate::registry::{KINDS, Known};
use crate::server::Simulator;

/// The record is read in pieces of so many messages, so that a long one delays nobody.
const PIECE_MESSAGES: usize = 1_000;

pub(crate) fn routes() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/_sim", delete(forget))
        .route("/_sim/messages", get(messages))
        .route("/_sim/accounts", get(accounts))
        .route("/_sim/accounts/{account}", put(disturb))
        .route("/_sim/inbound", post(inbound))
}

/// `GET /_sim/messages`: the record as NDJSON, in order of acceptance.
async fn messages(State(simulator): State<Arc<Simulator>>) -> Response {
    let pieces = stream::unfold((simulator, 0), |(simulator, from)| async move {
        let lines = simulator.record.lines(from, PIECE_MESSAGES);
        let next = (simulator, from + PIECE_MESSAGES);
        (!lines.is_empty()).then(|| (Ok::<_, std::convert::Infallible>(Bytes::from(lines)), next))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces)).into_response()
}

/// `DELETE /_sim`: forgets the record and ends every disturbance. Receipts that are due still come.
async fn forget(State(simulator): State<Arc<Simulator>>) -> Response {
    simulator.disturbances.calm();
    match simulator.record.clear() {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// `GET /_sim/accounts`: hatch's name of each account, its provider's own, and how it is.
async fn accounts(State(simulator): State<Arc<Simulator>>) -> Response {
    let accounts = simulator.accounts().map(|(provider, account)| {
        let Disturbance { mode, latency_ms, .. } = simulator.disturbances.get(account.key);
        json!({
            "provider": provider, "name": account.name, "account": account.key, "mode": mode,
            "latency_ms": latency_ms,
        })
    });
    Json(accounts.collect::<Vec<_>>()).into_response()
}

/// `PUT /_sim/accounts/{account}`: disturbs an account, rotates its credential, or ends both (`up`).
async fn disturb(
    State(simulator): State<Arc<Simulator>>,
    Path(account): Path<String>,
    Asked(disturbance): Asked<Disturbance>,
) -> Response {
    let Some((_, known)) = simulator.account(&account) else {
        return problem(StatusCode::NOT_FOUND, "no such provider account");
    };
    simulator.disturbances.set(known.key, disturbance.clone());
    Json(disturbance).into_response()
}

/// Somebody writes to us.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InboundRequest {
    provider: String,
    /// By which of the provider's accounts, by hatch's name or its own: the first, where none is named.
    #[serde(default)]
    pub(crate) account: Option<String>,
    pub(crate) from: String,
    pub(crate) to: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) body: String,
    /// For mail only.
    #[serde(default)]
    pub(crate) subject: Option<String>,
    /// For mail only: the Message-ID of the mail that it answers.
    #[serde(default)]
    pub(crate) in_reply_to: Option<String>,
    /// For mail only: the Message-IDs of its thread, the oldest first.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) references: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) attachments: Vec<InboundFile>,
    #[serde(default)]
    pub(crate) provider_message_id: Option<String>,
}

impl InboundRequest {
    /// The one of `accounts` that it asks for.
    pub(crate) fn account<'p, A>(
        &self,
        accounts: &'p [A],
        known: impl Fn(&'p A) -> Known<'p>,
    ) -> Result<&'p A, String> {
        let found = match &self.account {
            Some(name) => accounts.iter().find(|account| known(account).is_called(name)),
            None => accounts.first(),
        };
        found.ok_or_else(|| "no such account of the provider is configured".to_owned())
    }
}

/// `null` stands for what is left out.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    value: D,
) -> Result<T, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

/// A file: its URL, or its URL and type.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum InboundFile {
    Url(String),
    Typed { url: String, content_type: Option<String> },
}

/// `POST /_sim/inbound`: posts the provider's signed webhook once, and answers with what hatch
/// answered: `{"status": 204, "provider_message_id": "SM..."}`.
async fn inbound(
    State(simulator): State<Arc<Simulator>>,
    Asked(request): Asked<InboundRequest>,
) -> Response {
    let Some(provider) = simulator.provider(&request.provider) else {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name()).collect();
        let detail = format!("provider: expected {}", names.join(" or "));
        return problem(StatusCode::BAD_REQUEST, &detail);
    };
    let (id, callback) = match provider.inbound(&simulator, request) {
        Ok(webhook) => webhook,
        Err(detail) => return problem(StatusCode::BAD_REQUEST, &detail),
    };
    match simulator.delivery.post_once(&callback).await {
        Ok(status) => Json(json!({"status": status, "provider_message_id": id})).into_response(),
        Err(error) => problem(StatusCode::BAD_GATEWAY, &format!("hatch did not answer: {error}")),
    }
}

/// A body in JSON; one that is not what was expected is answered with a problem that says why.
struct Asked<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let asked = Json::from_request(request, state).await;
        asked
            .map(|Json(asked)| Self(asked))
            .map_err(|rejection: JsonRejection| problem(rejection.status(), &rejection.body_text()))
    }
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let body =
        json!({"title": status.canonical_reason(), "status": status.as_u16(), "detail": detail});
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
