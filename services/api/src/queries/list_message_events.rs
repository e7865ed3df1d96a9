//! `GET /api/v1/messages/{id}/events`: everything that happened to a message, oldest first.

use axum::Json;
use axum::extract::State;
use hatch_domain::envelope::Envelope;
use hatch_domain::message::AGGREGATE;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::Queries;
use super::parameters::FreshnessParameters;
use crate::auth::Caller;
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventList)]
pub(super) struct Events {
    #[schema(value_type = Vec<Object>)]
    #[serde(serialize_with = "whole")]
    data: Vec<Envelope>,
}

/// Events with all of their data.
pub(super) fn whole<S: Serializer>(events: &[Envelope], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(events.iter().map(Envelope::whole))
}

/// Everything that happened to a message
///
/// Oldest first, from the log itself.
#[utoipa::path(
    get, path = "/api/v1/messages/{id}/events", operation_id = "list_message_events", tag = "messages",
    security(("bearer" = ["messages:read"])),
    params(("id" = Uuid, Path, description = "The message."), FreshnessParameters),
    responses((status = 200, description = "The events.", body = Events))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
) -> Result<Json<Events>, Problem> {
    parameters.wait(&queries, &[]).await?;
    let events = queries.log.read_stream_of(AGGREGATE, caller.tenant.0, id).await?;
    if events.is_empty() {
        return Err(Problem::not_found("message"));
    }
    Ok(Json(Events { data: events.into_iter().map(Envelope::from).collect() }))
}
