//! API keys: who may ask for what, from where and until when.

mod create;
mod get;
mod issue;
mod list;
mod power;
mod request;
mod revoke;
mod rotate;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use hatch_domain::api_key::{ApiKey, KeyId};
use hatch_domain::ids::TenantId;
use hatch_readmodel::{KeyInfo, ReadModel};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::issue::{Changed, Issued, Issuer, create, revoke, rotate};
pub use self::request::KeyRequest;
pub(super) use self::request::{channels_of, name_of, senders_of};
use crate::auth::Door;
use crate::commands::{Commands, tell_write};
use crate::problem::Problem;
use crate::queries::Queries;

/// Seconds that the text before a rotation works for when nothing is said, and at most.
pub const KEEP_OLD_SECONDS_DEFAULT: i64 = 86_400;
/// See [`KEEP_OLD_SECONDS_DEFAULT`].
pub const KEEP_OLD_SECONDS_MAX: i64 = 604_800;

/// What can be done with keys.
pub(crate) fn command_routes() -> OpenApiRouter<Arc<Commands>> {
    OpenApiRouter::new()
        .routes(routes!(create::handler))
        .routes(routes!(rotate::handler))
        .routes(routes!(revoke::handler))
}

/// What can be asked about them.
pub(crate) fn query_routes() -> OpenApiRouter<Queries> {
    OpenApiRouter::new().routes(routes!(list::handler)).routes(routes!(get::handler))
}

/// A key with its text.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedApiKey)]
pub struct IssuedApiKey {
    #[serde(flatten)]
    info: KeyInfo,
    /// What its user presents as `Authorization: Bearer`. It is here this once, and kept nowhere: `null` where the
    /// idempotency key was used before.
    key: Option<String>,
}

/// Without its text.
impl std::fmt::Debug for IssuedApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedApiKey").field("info", &self.info).finish_non_exhaustive()
    }
}

impl IssuedApiKey {
    /// `issued`, with its last use where `read_model` tells it.
    pub async fn of(read_model: &ReadModel, tenant: TenantId, issued: Issued) -> Self {
        let Issued { id, key, text, .. } = issued;
        Self { info: shown(read_model, tenant, &id, &key).await, key: text }
    }

    /// What is known of the key.
    #[must_use]
    pub const fn info(&self) -> &KeyInfo {
        &self.info
    }

    /// The key's text, where it is shown.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// The key as it is shown. Its last use is in the tables alone, and nothing fails without it.
pub async fn shown(read_model: &ReadModel, tenant: TenantId, id: &KeyId, key: &ApiKey) -> KeyInfo {
    let known = read_model.api_key(tenant, id).await.ok().flatten();
    KeyInfo::of(key, known.and_then(|known| known.last_used))
}

/// The answer that has a key's text.
async fn answer(
    (commands, door): (&Commands, &Door),
    tenant: TenantId,
    status: StatusCode,
    issued: Issued,
) -> Response {
    let (position, replayed) = (issued.position, issued.replayed);
    door.knows(position).await;
    let read_model = &commands.conversations.read_model;
    let body = IssuedApiKey::of(read_model, tenant, issued).await;
    let mut response = (status, Json(body)).into_response();
    tell_write(response.headers_mut(), position, replayed);
    response
}

/// The id of a key in the path. What is no id names nothing: 404.
struct PathKeyId(KeyId);

impl<S: Send + Sync> FromRequestParts<S> for PathKeyId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let id = text.ok().and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(|| Problem::not_found("API key"))
    }
}
