//! An event as it is seen from outside: a structured CloudEvents 1.0 JSON, the same in queries, in the live
//! feed, in exports and on the bus.
//!
//! The envelope holds everything needed to get the recorded event back without loss, but for the fields that
//! stay in the log ([`published`](crate::published::published)). Attribute names follow the specification's rule (lower-case letters and
//! digits). `position` and `streamversion` are JSON numbers although CloudEvents' own Integer ends at 2^31:
//! readers compare them, and its JSON format has no other number.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

mod wire;

pub use wire::CloudEvent;

/// Data over this size does not travel: the event then carries `dataref`.
pub const DATA_BYTES_MAX: usize = 256 * 1024;

/// A recorded event with all that it is known by outside.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Its place in the log, and its sequence in the stream.
    pub position: i64,
    /// UUIDv7, unique for ever; `id`.
    pub event_id: Uuid,
    /// Whose it is; `tenantid`, and in `source`.
    pub tenant_id: Uuid,
    /// The type's name; in `type`.
    pub event_type: String,
    /// Version of the data's shape as written; in `type`.
    pub schema_version: i16,
    /// The stream of the event store that it belongs to; `subject`.
    pub stream_id: Uuid,
    /// Its place in that stream, from 1; `streamversion`.
    pub stream_version: i64,
    /// The epoch of the log that it was written in.
    pub epoch: i32,
    /// When it was appended; `time`.
    pub recorded_at: DateTime<Utc>,
    /// The kind of stream, such as `message`.
    pub aggregate: String,
    /// The conversation that it belongs to; `conversationid`.
    pub conversation_id: Option<Uuid>,
    /// The channel, such as `sms`.
    pub channel: Option<String>,
    /// The priority, such as `normal`.
    pub priority: Option<String>,
    /// The same for all that one first cause set off; `correlationid`.
    pub correlation_id: Uuid,
    /// The event that caused this one; `causationid`.
    pub causation_id: Option<Uuid>,
    /// Who did it.
    pub actor: String,
    /// W3C Trace Context of the request that did it.
    pub traceparent: Option<String>,
    /// The payload as it is published. `None` when it was over [`DATA_BYTES_MAX`]: it is in the log at
    /// `position`; `dataref` names the path of the query API that shows the event.
    pub data: Option<Box<RawValue>>,
}

/// Why a message of the stream is not an event of hatch.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// It is no CloudEvent with hatch's extensions.
    #[error("decode the envelope")]
    Json(#[source] serde_json::Error),
    /// Its `type` is not `hatch.<EventType>.v<N>`.
    #[error("decode the envelope: type {0} is not hatch.<EventType>.v<N>")]
    Type(String),
    /// It has neither data nor `dataref`.
    #[error("decode the envelope: neither data nor dataref")]
    NoData,
}

impl Envelope {
    /// The event as a stream carries it: data over [`DATA_BYTES_MAX`] is left out, and `dataref` says where
    /// it is.
    #[must_use]
    pub fn travelling(&self) -> CloudEvent<'_> {
        CloudEvent::of(self, DATA_BYTES_MAX)
    }

    /// The event as an answer shows it: with its data, whatever the size.
    #[must_use]
    pub fn whole(&self) -> CloudEvent<'_> {
        CloudEvent::of(self, usize::MAX)
    }

    /// The envelope of a CloudEvent's JSON text.
    ///
    /// # Errors
    /// [`EnvelopeError`] when hatch did not write it.
    pub fn decode(json: &[u8]) -> Result<Self, EnvelopeError> {
        serde_json::from_slice::<CloudEvent<'_>>(json).map_err(EnvelopeError::Json)?.try_into()
    }
}

#[cfg(test)]
mod tests;
