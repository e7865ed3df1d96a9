//! `GET /api/v1/webhook-log`: what providers posted and what was made of it, the newest first. Bodies
//! and headers come with a single one only.

use axum::Json;
use axum::extract::State;
use hatch_domain::ids::MessageId;
use hatch_eventstore::Position;
use hatch_readmodel::{List, LoggedWebhook, WebhookFilter, WebhookOutcome};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::Queries;
use super::parameters::{Freshness, one_of, page};
use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::problem::Problem;

const OUTCOMES: [WebhookOutcome; 5] = [
    WebhookOutcome::Applied,
    WebhookOutcome::Duplicate,
    WebhookOutcome::Ignored,
    WebhookOutcome::Quarantined,
    WebhookOutcome::RejectedSignature,
];

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// Of which this was made.
    #[param(value_type = Option<hatch_readmodel::WebhookOutcome>)]
    outcome: Option<String>,
    /// That speak of this message.
    message: Option<Uuid>,
    /// Shows the log at least up to this position, or answers 503.
    #[param(value_type = Option<i64>, minimum = 0)]
    after: Option<Position>,
    /// Seconds that `after` may wait; 2 when it is left out.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<f64>,
    /// Rows of a page; 50 when it is left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before, of the same list.
    cursor: Option<String>,
}

/// What providers posted and what was made of it, the newest first
#[utoipa::path(
    get, path = "/api/v1/webhook-log", operation_id = "list_webhooks", tag = "webhooks",
    security(("bearer" = ["webhooks:read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<LoggedWebhook>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<List<LoggedWebhook>>, Problem> {
    Freshness::new(parameters.after, parameters.wait).wait(&queries, &[]).await?;
    let outcome = parameters.outcome.as_deref();
    let filter = WebhookFilter {
        outcome: one_of("?outcome", outcome, &OUTCOMES, WebhookOutcome::as_str)?,
        message: parameters.message.map(MessageId),
    };
    let page = page(parameters.limit, parameters.cursor)?;
    Ok(Json(queries.read_model.webhooks(caller.tenant, &filter, &page).await?))
}
