//! What tests of several modules share.

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Envelope;

pub(crate) fn example() -> Envelope {
    let id = |n: u128| Uuid::from_u128(n);
    Envelope {
        position: 4_711,
        event_id: id(2),
        tenant_id: id(1),
        event_type: "MessageRequested".to_owned(),
        schema_version: 1,
        stream_id: id(3),
        stream_version: 1,
        epoch: 2,
        recorded_at: chrono::DateTime::from_timestamp(1_760_000_000, 0).expect("in range"),
        aggregate: "message".to_owned(),
        conversation_id: None,
        channel: Some("sms".to_owned()),
        priority: Some("normal".to_owned()),
        correlation_id: id(4),
        causation_id: None,
        actor: "api".to_owned(),
        traceparent: None,
        data: Some(RawValue::from_string(r#"{"body":"Hello"}"#.to_owned()).expect("JSON")),
    }
}
