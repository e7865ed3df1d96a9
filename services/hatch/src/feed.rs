//! The feed: what JetStream brings, decoded once in a process and shared by all its readers.

use std::sync::Arc;

use hatch_bus::{Bus, Envelope};
use hatch_eventstore::{FeedPublisher, Metadata, Position, RecordedEvent};
use tokio_util::sync::CancellationToken;

/// Brings events from `start` on to the readers of `feed`, until `shutdown`. What is lost on the way
/// they take from the log.
pub(crate) async fn run(
    bus: Bus,
    start: Position,
    feed: FeedPublisher,
    shutdown: CancellationToken,
) {
    let mut follow = bus.follow(start.0);
    loop {
        tokio::select! {
            envelope = follow.next() => {
                // An event too large to travel is a gap, which the log fills.
                if let Some(event) = recorded(envelope) {
                    feed.publish(Arc::new(event));
                }
            }
            () = shutdown.cancelled() => return,
        }
    }
}

fn recorded(envelope: Envelope) -> Option<RecordedEvent> {
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
