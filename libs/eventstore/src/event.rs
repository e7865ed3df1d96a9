//! An event before and after it is recorded.

use chrono::{DateTime, Utc};
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
