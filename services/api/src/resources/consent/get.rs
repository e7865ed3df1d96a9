//! `GET /api/v1/consent`: whether an address may be written to, now or then.

use axum::Json;
use axum::extract::State;
use hatch_domain::Decider;
use hatch_domain::consent::Consent;
use hatch_domain::consent::event::ConsentEvent;
use hatch_domain::ids::{ConsentId, TenantId};
use hatch_eventstore::{Log, Position};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{ConsentView, Subject};
use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::problem::Problem;
use crate::queries::{Freshness, Queries, past as moment, with_plus};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// Whose consent: a phone number or an email address.
    #[param(required, example = "+18045551234")]
    address: Option<String>,
    /// What it is for; the default programme of the address's channel when it is left out.
    #[param(example = "sms", max_length = 64)]
    programme: Option<String>,
    /// The moment that the answer is to be of, as an RFC 3339 time such as `2026-01-31T12:00:00Z` or a
    /// log position; now, if none.
    at: Option<String>,
    /// Shows the log at least up to this position, or answers 503.
    #[param(value_type = Option<i64>, minimum = 0)]
    after: Option<Position>,
    /// Seconds that `after` may wait; 2 when it is left out.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<f64>,
}

/// Whether an address may be written to
///
/// Of an address that nobody said anything about, the state is `unknown`: it may be. The answer comes from the
/// log, and shows whatever was answered before.
#[utoipa::path(
    get, path = "/api/v1/consent", operation_id = "get_consent", tag = "consent",
    security(("bearer" = ["contacts:read"])),
    params(Parameters),
    responses((status = 200, description = "The consent.", body = ConsentView))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<ConsentView>, Problem> {
    let Parameters { address, programme, at, after, wait } = &parameters;
    Freshness::new(*after, *wait).wait(&queries, &[]).await?;
    let address = address.as_deref().map(with_plus);
    let subject =
        Subject::read(("?address", address.as_deref()), ("?programme", programme.as_deref()));
    let subject = subject.map_err(Problem::invalid)?;
    let until = match at {
        Some(at) => Some(moment::position(&queries, at).await?),
        None => None,
    };
    let consent = past(&queries.log, caller.tenant, subject.id(caller.tenant), until).await?;
    let default = past_default(&queries.log, caller.tenant, &subject, until).await?;
    Ok(Json(subject.view(&consent, default.as_ref())))
}

/// The consent to the default programme, where the subject is about another one; as [`past`].
pub(super) async fn past_default(
    log: &Log,
    tenant: TenantId,
    subject: &Subject,
    until: Option<Position>,
) -> Result<Option<Consent>, Problem> {
    match subject.default_id(tenant) {
        Some(id) => past(log, tenant, id, until).await.map(Some),
        None => Ok(None),
    }
}

/// The consent as its events leave it, those after `until` left out.
pub(super) async fn past(
    log: &Log,
    tenant: TenantId,
    id: ConsentId,
    until: Option<Position>,
) -> Result<Consent, Problem> {
    let events = log.read_stream_of(Consent::KIND, tenant.0, id.0).await?;
    let mut consent = Consent::default();
    for recorded in
        events.iter().filter(|recorded| until.is_none_or(|end| recorded.position <= end))
    {
        let event: ConsentEvent = recorded.decode().map_err(|error| Problem::fault(&error))?;
        consent = consent.evolve(&event);
    }
    Ok(consent)
}
