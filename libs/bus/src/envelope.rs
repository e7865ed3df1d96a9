//! What travels the bus: a recorded event as a structured CloudEvents 1.0 JSON.
//!
//! The envelope holds everything needed to get the recorded event back without loss. Attribute names
//! follow the specification's rule (lower-case letters and digits). `position` and `streamversion`
//! are JSON numbers although CloudEvents' own Integer ends at 2^31: readers compare them, and its
//! JSON format has no other number.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::subject::Tokens;

mod wire;

/// Data over this size does not travel: the envelope then carries `dataref`.
pub const DATA_BYTES_MAX: usize = 256 * 1024;

/// A recorded event on the bus.
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
    /// The payload, byte for byte as written. `None` when it was over [`DATA_BYTES_MAX`]: it is in
    /// the log at `position`; `dataref` names the path of the query API that shows the event.
    pub data: Option<Box<RawValue>>,
}

/// Why a message of the stream is not an event of hatch.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
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
    /// What the event's subject says of it beside its tenant.
    pub(crate) fn tokens(&self) -> Tokens {
        let (channel, priority) = (self.channel.as_deref(), self.priority.as_deref());
        Tokens::new(&self.aggregate, &self.event_type, channel, priority)
    }

    /// The CloudEvent's JSON text.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let text = serde_json::to_vec(&wire::Wire::from(self));
        text.expect("strings, numbers and JSON text always serialize").into()
    }

    /// The envelope of a CloudEvent's JSON text.
    ///
    /// # Errors
    /// [`DecodeError`] when hatch did not write it.
    pub fn decode(json: &[u8]) -> Result<Self, DecodeError> {
        serde_json::from_slice::<wire::Wire<'_>>(json).map_err(DecodeError::Json)?.try_into()
    }
}

#[cfg(test)]
pub(crate) fn example() -> Envelope {
    let id = |n: u128| Uuid::from_u128(n);
    Envelope {
        position: 4_711,
        event_id: id(0x0198_c0de_0000_7000_8000_0000_0000_0002),
        tenant_id: id(1),
        event_type: "MessageRequested".to_owned(),
        schema_version: 1,
        stream_id: id(0x0198_c0de_0000_7000_8000_0000_0000_0003),
        stream_version: 1,
        epoch: 2,
        recorded_at: DateTime::from_timestamp_micros(1_760_000_000_123_456).expect("in range"),
        aggregate: "message".to_owned(),
        conversation_id: Some(id(0x9a24_76e4_4694_8b3f_8121_f933_c8b3_c73b)),
        channel: Some("sms".to_owned()),
        priority: Some("normal".to_owned()),
        correlation_id: id(0x0198_c0de_0000_7000_8000_0000_0000_0004),
        causation_id: Some(id(0x0198_c0de_0000_7000_8000_0000_0000_0005)),
        actor: "api".to_owned(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        data: Some(
            RawValue::from_string(r#"{ "body": "H\u00e9llo",  "cost":1.10 }"#.to_owned())
                .expect("JSON"),
        ),
    }
}

#[cfg(test)]
mod tests;
