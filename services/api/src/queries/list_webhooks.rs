//! `GET /api/v1/webhook-log`: what providers posted and what was made of it, the newest first. Bodies
//! and headers come with a single one only.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::MessageId;
use hatch_readmodel::{List, LoggedWebhook, WebhookFilter, WebhookOutcome};
use serde::Deserialize;
use uuid::Uuid;

use super::parameters::{one_of, page};
use super::{Queries, TENANT};
use crate::Problem;
use crate::extract::QueryParameters;

const OUTCOMES: [WebhookOutcome; 5] = [
    WebhookOutcome::Applied,
    WebhookOutcome::Duplicate,
    WebhookOutcome::Ignored,
    WebhookOutcome::Quarantined,
    WebhookOutcome::RejectedSignature,
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    outcome: Option<String>,
    message: Option<Uuid>,
    limit: Option<u32>,
    cursor: Option<String>,
}

pub(super) async fn handler(
    State(queries): State<Queries>,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<List<LoggedWebhook>>, Problem> {
    let outcome = parameters.outcome.as_deref();
    let filter = WebhookFilter {
        outcome: one_of("?outcome", outcome, &OUTCOMES, WebhookOutcome::as_str)?,
        message: parameters.message.map(MessageId),
    };
    let page = page(parameters.limit, parameters.cursor)?;
    Ok(Json(queries.read_model.webhooks(TENANT, &filter, &page).await?))
}
