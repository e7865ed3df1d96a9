//! The feed: what JetStream brings, decoded once in a process and shared by all its readers.

use std::sync::Arc;

use hatch_bus::{Bus, Envelope};
use hatch_eventstore::{FeedPublisher, HeadWatch, Metadata, Position, RecordedEvent};
use tokio_util::sync::CancellationToken;

/// Brings events from the log's present head on to the readers of `feed`, until `shutdown`; while
/// there are none, JetStream is left alone. What is before it or lost on the way they take from the
/// log, and so they do while it is not certain that what the bus carries is this log's: a position
/// alone does not tell two logs apart.
pub(crate) async fn run(
    bus: Bus,
    head: HeadWatch,
    feed: FeedPublisher,
    shutdown: CancellationToken,
) {
    let carrying = async {
        loop {
            feed.wait_for_readers().await;
            // An error says that the watch has ended, which happens at the shutdown.
            let Ok(start) =
                head.subscribe().wait_for(|head| *head > Position::START).await.map(|head| *head)
            else {
                return;
            };
            let mut follow = bus.follow(start.0);
            while feed.is_read() {
                // An event too large to travel is a gap, which the log fills.
                let event = recorded(follow.next().await);
                let trusted = follow.generation().is_some_and(|one| head.fence().trusts(one));
                if let Some(event) = event.filter(|_| trusted) {
                    feed.publish(Arc::new(event));
                }
            }
        }
    };
    let _ = shutdown.run_until_cancelled(carrying).await;
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
