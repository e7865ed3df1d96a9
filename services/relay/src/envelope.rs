//! A recorded event as it travels, field by field, there and back.

use hatch_bus::Envelope;
use hatch_eventstore::{Metadata, Position, RecordedEvent};

/// The envelope of a recorded event; nothing is lost.
pub(crate) fn of(event: RecordedEvent) -> Envelope {
    Envelope {
        position: event.position.0,
        event_id: event.event_id,
        tenant_id: event.tenant_id,
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
        data: Some(event.payload),
    }
}

/// The recorded event of an envelope; none when its data was too large to travel.
#[must_use]
pub fn recorded(envelope: Envelope) -> Option<RecordedEvent> {
    Some(RecordedEvent {
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
        },
        payload: envelope.data?,
    })
}

#[cfg(test)]
mod tests {
    use hatch_domain::Environment as _;
    use hatch_eventstore::SystemEnvironment;
    use serde_json::value::RawValue;

    use super::*;

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
            },
            payload,
        };
        let back = recorded(of(event.clone())).expect("it has its data");
        assert_eq!(format!("{back:?}"), format!("{event:?}"));
    }
}
