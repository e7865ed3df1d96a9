//! The feed: what JetStream brings, decoded once in a process and shared by all its readers.

use std::sync::Arc;

use hatch_bus::Bus;
use hatch_eventstore::{FeedPublisher, HeadWatch, Position, RecordedEvent};
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
                // Nothing is taken from a stream that is not trusted.
                head.fence().trusting().await;
                // An event too large to travel is a gap, which the log fills.
                let event = RecordedEvent::told_by(follow.next().await);
                let trusted = follow.generation().is_some_and(|one| head.fence().trusts(one));
                if let Some(event) = event.filter(|_| trusted) {
                    feed.publish(Arc::new(event));
                }
            }
        }
    };
    let _ = shutdown.run_until_cancelled(Box::pin(carrying)).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hatch_bus::Envelope;
    use hatch_bus::testing::TestBus;
    use hatch_domain::{Environment, Routing};
    use hatch_eventstore::testing::TestDatabase;
    use hatch_eventstore::{
        Append, Appender, AppenderConfig, BusSecrets, ExpectedVersion, FenceConfig, Log, Metadata,
        NewEvent, StreamWrite, Subscription, SystemEnvironment, pool,
    };
    use serde_json::value::RawValue;
    use uuid::Uuid;

    use super::*;
    use crate::bus_end;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// An event of another log.
    fn stray(position: i64) -> Envelope {
        Envelope {
            position,
            event_id: SystemEnvironment.new_id(),
            tenant_id: Uuid::from_u128(1),
            event_type: "Happened".to_owned(),
            schema_version: 1,
            stream_id: SystemEnvironment.new_id(),
            stream_version: 1,
            epoch: 1,
            recorded_at: SystemEnvironment.now(),
            aggregate: "thing".to_owned(),
            conversation_id: None,
            channel: None,
            priority: None,
            correlation_id: Uuid::from_u128(5),
            causation_id: None,
            actor: "another log".to_owned(),
            traceparent: None,
            data: Some(RawValue::from_string("{}".to_owned()).expect("JSON")),
        }
    }

    fn append() -> (Uuid, Append) {
        let event_id = SystemEnvironment.new_id();
        let event = NewEvent {
            event_id,
            event_type: "Happened",
            schema_version: 1,
            routing: Routing { aggregate: "thing", ..Routing::default() },
            metadata: Metadata::default(),
            payload: "{}".to_owned(),
        };
        let write = StreamWrite {
            stream_id: SystemEnvironment.new_id(),
            tenant_id: Uuid::from_u128(1),
            expected: ExpectedVersion::NoStream,
            events: vec![event],
        };
        (event_id, Append { writes: vec![write], ..Append::default() })
    }

    #[tokio::test]
    async fn what_another_log_left_on_the_bus_at_the_next_position_is_not_fed() {
        let (database, bus) = (TestDatabase::create().await, TestBus::create().await);
        bus.create_generation(1, 1).await.expect("created");
        // A copy of this log wrote it, by the same secret.
        let client = database.connect().await;
        let secrets = BusSecrets::read(&client).await.expect("read");
        bus.trust(hatch_relay::keys(&secrets));
        let mut publisher = bus.publisher(1, 0);
        for position in 1..=2 {
            publisher.publish(&stray(position)).await.expect("sent");
        }
        publisher.flush().await.expect("stored");
        let record = "INSERT INTO es.bus_generations VALUES (1, 1, 1)";
        client.batch_execute(record).await.expect("recorded");

        let stop = CancellationToken::new();
        let ask = bus_end::of(bus.connect_again().await);
        let config = FenceConfig { bus: Some(ask), ..FenceConfig::default() };
        let (head, _) = HeadWatch::start_with(config, database.config(), stop.clone());
        let log = Log::new(pool(&database.config(), 2, PATIENCE));
        let feed = FeedPublisher::new(16);
        let readers = feed.feed();
        let mut subscription = Subscription::new(log, &head, Some(&readers), Position::START, 10);
        let watch = head.clone();
        let feeding = tokio::spawn(run(bus.connect_again().await, head, feed, stop.clone()));

        let (appender, _) =
            Appender::start(AppenderConfig::default(), database.config(), stop.clone());
        // After the first it has caught up, and gives the feed a moment to bring the second.
        for position in 1..=2 {
            let (event_id, append) = append();
            appender.append(append).await.expect("appended");
            let mut known = watch.subscribe();
            known.wait_for(|head| *head == Position(position)).await.expect("it is watched");
            let batch = tokio::time::timeout(PATIENCE, subscription.next_batch()).await;
            let batch = batch.expect("in time").expect("nothing to halt for");
            assert_eq!((batch[0].position, batch[0].event_id), (Position(position), event_id));
        }
        stop.cancel();
        feeding.await.expect("no panic");
    }
}
