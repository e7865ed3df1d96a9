//! Events.

use hatch_bus::{Bus, Envelope, StreamState};
use serde_json::value::RawValue;
use uuid::Uuid;

pub(crate) fn prefix(bus: &Bus) -> &str {
    &bus.settings().prefix
}

/// The stream of the test's first generation.
pub(crate) fn stream_name(bus: &Bus) -> String {
    format!("{}_EVENTS_1", prefix(bus).to_uppercase())
}

/// A plain connection to the same server, for what hatch itself never does.
pub(crate) async fn raw(bus: &Bus) -> async_nats::jetstream::Context {
    hatch_bus::testing::jetstream(&bus.settings().url).await.expect("connects")
}

/// The event at `position`; its id follows from it.
pub(crate) fn event(position: i64) -> Envelope {
    work(position, "sms", "normal")
}

pub(crate) fn work(position: i64, channel: &str, priority: &str) -> Envelope {
    let id = |kind: u128| Uuid::from_u128((kind << 64) + position.unsigned_abs() as u128);
    Envelope {
        position,
        event_id: id(1),
        tenant_id: Uuid::from_u128(1),
        event_type: "MessageRequested".to_owned(),
        schema_version: 1,
        stream_id: id(2),
        stream_version: 1,
        epoch: 1,
        recorded_at: chrono::DateTime::from_timestamp(1_760_000_000, 0).expect("in range"),
        aggregate: "message".to_owned(),
        conversation_id: None,
        channel: Some(channel.to_owned()),
        priority: Some(priority.to_owned()),
        correlation_id: id(3),
        causation_id: None,
        actor: "test".to_owned(),
        traceparent: None,
        data: Some(RawValue::from_string("{}".to_owned()).expect("JSON")),
    }
}

/// Publishes the events at `positions` to `generation`.
pub(crate) async fn publish(bus: &Bus, generation: i32, positions: std::ops::RangeInclusive<i64>) {
    let mut publisher = bus.publisher(generation, positions.start() - 1);
    for position in positions {
        publisher.publish(&event(position)).await.expect("publishes");
    }
    publisher.flush().await.expect("is stored");
}

pub(crate) async fn last_sequence(bus: &Bus) -> i64 {
    match bus.stream_state().await.expect("answers") {
        StreamState::Present { last_sequence, .. } => last_sequence,
        StreamState::Absent => panic!("no stream"),
    }
}
