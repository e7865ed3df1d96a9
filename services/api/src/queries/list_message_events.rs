//! `GET /api/v1/messages/{id}/events`: everything that happened to a message, oldest first.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hatch_domain::message::AGGREGATE;
use hatch_eventstore::{Metadata, Position, RecordedEvent};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::parameters::FreshnessParameters;
use super::{Queries, TENANT};
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageEvents)]
pub(super) struct Events {
    data: Vec<Event>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageEvent)]
struct Event {
    /// The event's place in the log.
    #[schema(value_type = i64)]
    position: Position,
    event_id: Uuid,
    #[serde(rename = "type")]
    event_type: String,
    schema_version: i16,
    /// The event's place in the message's stream.
    version: i64,
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    recorded_at: DateTime<Utc>,
    /// What happened; its shape is that of `type` and `schema_version`.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
    /// Where the event came from: `correlation_id`, `causation_id`, `actor`, `traceparent`.
    #[schema(value_type = Object)]
    metadata: Metadata,
}

/// Everything that happened to a message
///
/// Oldest first, from the log itself.
#[utoipa::path(
    get, path = "/api/v1/messages/{id}/events", operation_id = "list_message_events", tag = "messages",
    params(("id" = Uuid, Path, description = "The message."), FreshnessParameters),
    responses((status = 200, description = "The events.", body = Events))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
) -> Result<Json<Events>, Problem> {
    parameters.wait(&queries, &[]).await?;
    let events = queries.log.read_stream_of(AGGREGATE, TENANT.0, id).await?;
    if events.is_empty() {
        return Err(Problem::not_found("message"));
    }
    Ok(Json(Events { data: events.into_iter().map(Event::from).collect() }))
}

impl From<RecordedEvent> for Event {
    fn from(event: RecordedEvent) -> Self {
        Self {
            position: event.position,
            event_id: event.event_id,
            event_type: event.event_type,
            schema_version: event.schema_version,
            version: event.version,
            recorded_at: event.recorded_at,
            data: event.payload,
            metadata: event.metadata,
        }
    }
}
