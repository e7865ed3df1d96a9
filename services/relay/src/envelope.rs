//! A recorded event as it travels.

use hatch_bus::Envelope;
use hatch_eventstore::RecordedEvent;

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
