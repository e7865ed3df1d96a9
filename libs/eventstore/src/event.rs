//! An event before and after it is recorded.

use chrono::{DateTime, Utc};
use hatch_domain::envelope::Envelope;
use hatch_domain::published::published;
use hatch_domain::{DecodeError, DomainEvent, Routing};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Position;

/// Where an event came from; kept with it, never read by a decision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// The same for all that one first cause set off.
    pub correlation_id: Uuid,
    /// The event that caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// Who did it, such as `api`, `dispatcher` or `webhook:twilio`.
    pub actor: String,
    /// W3C Trace Context of the request that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The id of the request that did it. It stays in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Metadata {
    /// As JSON text.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of strings and ids always serialises")
    }
}

/// An event to be appended.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// UUIDv7, unique for ever.
    pub event_id: Uuid,
    /// The type's name.
    pub event_type: &'static str,
    /// Version of the payload's shape.
    pub schema_version: i16,
    /// How bus and read side find it.
    pub routing: Routing,
    /// Where it came from.
    pub metadata: Metadata,
    /// JSON text.
    pub payload: String,
}

/// An event of the log.
#[derive(Debug, Clone)]
pub struct RecordedEvent {
    /// Its place in the log.
    pub position: Position,
    /// The stream that it belongs to.
    pub stream_id: Uuid,
    /// Its place in the stream, from 1.
    pub version: i64,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// UUIDv7, unique for ever.
    pub event_id: Uuid,
    /// The type's name.
    pub event_type: String,
    /// Version of the payload's shape as written; readers upcast.
    pub schema_version: i16,
    /// The epoch of the log that it was written in.
    pub epoch: i32,
    /// When it was appended.
    pub recorded_at: DateTime<Utc>,
    /// The kind of stream, such as `message`.
    pub aggregate: String,
    /// The conversation that it belongs to.
    pub conversation_id: Option<Uuid>,
    /// The channel, such as `sms`.
    pub channel: Option<String>,
    /// The priority, such as `normal`.
    pub priority: Option<String>,
    /// Where it came from.
    pub metadata: Metadata,
    /// The payload as written.
    pub payload: Box<RawValue>,
}

impl RecordedEvent {
    /// The event as the domain knows it.
    ///
    /// # Errors
    /// [`DecodeError`] when this build does not know its type, version or shape.
    pub fn decode<E: DomainEvent>(&self) -> Result<E, DecodeError> {
        E::decode(&self.event_type, self.schema_version, self.payload.get())
    }
}

/// As it is seen from outside; nothing is lost but the fields that stay in the log.
impl From<RecordedEvent> for Envelope {
    fn from(event: RecordedEvent) -> Self {
        Self {
            position: event.position.0,
            event_id: event.event_id,
            tenant_id: event.tenant_id,
            data: Some(published(&event.event_type, event.payload)),
            event_type: event.event_type,
            schema_version: event.schema_version,
            stream_id: event.stream_id,
            stream_version: event.version,
            epoch: event.epoch,
            recorded_at: event.recorded_at,
            aggregate: event.aggregate,
            conversation_id: event.conversation_id,
            channel: event.channel,
            priority: event.priority,
            correlation_id: event.metadata.correlation_id,
            causation_id: event.metadata.causation_id,
            actor: event.metadata.actor,
            traceparent: event.metadata.traceparent,
        }
    }
}

impl RecordedEvent {
    /// The event that an envelope tells of; none where its data stayed in the log.
    #[must_use]
    pub fn told_by(envelope: Envelope) -> Option<Self> {
        Some(Self {
            position: Position(envelope.position),
            stream_id: envelope.stream_id,
            version: envelope.stream_version,
            tenant_id: envelope.tenant_id,
            event_id: envelope.event_id,
            event_type: envelope.event_type,
            schema_version: envelope.schema_version,
            epoch: envelope.epoch,
            recorded_at: envelope.recorded_at,
            aggregate: envelope.aggregate,
            conversation_id: envelope.conversation_id,
            channel: envelope.channel,
            priority: envelope.priority,
            metadata: Metadata {
                correlation_id: envelope.correlation_id,
                causation_id: envelope.causation_id,
                actor: envelope.actor,
                traceparent: envelope.traceparent,
                request_id: None,
            },
            payload: envelope.data?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEnvironment;
    use hatch_domain::Environment as _;

    #[test]
    fn an_event_comes_back_as_it_was_sent() {
        let id = || SystemEnvironment.new_id();
        let payload = RawValue::from_string("{\"a\":1.50}".to_owned()).expect("JSON");
        let event = RecordedEvent {
            position: Position(7),
            stream_id: id(),
            version: 3,
            tenant_id: id(),
            event_id: id(),
            event_type: "Happened".to_owned(),
            schema_version: 2,
            epoch: 4,
            recorded_at: SystemEnvironment.now(),
            aggregate: "thing".to_owned(),
            conversation_id: Some(id()),
            channel: Some("sms".to_owned()),
            priority: Some("low".to_owned()),
            metadata: Metadata {
                correlation_id: id(),
                causation_id: Some(id()),
                actor: "test".to_owned(),
                traceparent: Some("00-1-2-01".to_owned()),
                request_id: None,
            },
            payload,
        };
        let back = RecordedEvent::told_by(event.clone().into()).expect("it has its data");
        assert_eq!(format!("{back:?}"), format!("{event:?}"));
    }
}
