//! `GET /api/v1/events/{position}`: one event with its data, which `dataref` names where that was too
//! large to travel.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use hatch_domain::envelope::Envelope;
use hatch_eventstore::{Position, RecordedEvent};

use super::Live;
use crate::auth::Caller;
use crate::extract::{NoParameters, QueryParameters};
use crate::problem::Problem;

/// The media type of a structured CloudEvent (CloudEvents JSON format, section 3).
const MEDIA_TYPE: &str = "application/cloudevents+json";

/// One event with its data
///
/// `dataref` names it where the data was too large to travel.
#[utoipa::path(
    get, path = "/api/v1/events/{position}", operation_id = "get_event", tag = "events",
    security(("bearer" = ["messages:read"])),
    params(("position" = i64, Path, minimum = 1, description = "The event's place in the log.")),
    responses((status = 200, description = "A structured CloudEvents 1.0 JSON.", body = Object,
        content_type = "application/cloudevents+json"))
)]
pub(super) async fn handler(
    State(live): State<Arc<Live>>,
    caller: Caller,
    position: Result<Path<i64>, PathRejection>,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
) -> Result<impl IntoResponse, Problem> {
    let unknown = || Problem::not_found("event");
    let Path(position) = position.map_err(|_| unknown())?;
    if position <= 0 {
        return Err(unknown());
    }
    let found = live.log.read_at(Position(position)).await?;
    let is_shown = |event: &RecordedEvent| {
        event.tenant_id == caller.tenant.0 && caller.may_see(&event.aggregate)
    };
    let event = found.filter(is_shown).ok_or_else(unknown)?;
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], Envelope::from(event).whole().to_json()))
}
