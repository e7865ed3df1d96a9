//! What goes well: from the log to the bus, by one relay at a time.

use hatch_eventstore::Position;

use hatch_bus::testing::in_time;

use crate::support::World;

#[tokio::test]
async fn an_appended_event_reaches_the_bus_without_loss() {
    let world = World::new().await;
    let relay = world.relay().await;
    relay.leads().await;
    let mut follow = world.bus.follow(1);
    let position = world.append(1).await;
    world.published(position).await;
    world.trust().await;
    let envelope = in_time("the event", follow.next()).await;

    let event = world.log.read_at(position).await.expect("is read").expect("exists");
    assert_eq!(Position(envelope.position), event.position);
    assert_eq!(envelope.event_id, event.event_id);
    assert_eq!(envelope.tenant_id, event.tenant_id);
    assert_eq!(envelope.event_type, event.event_type);
    assert_eq!(envelope.schema_version, event.schema_version);
    assert_eq!(envelope.stream_id, event.stream_id);
    assert_eq!(envelope.stream_version, event.version);
    assert_eq!(envelope.epoch, event.epoch);
    assert_eq!(envelope.recorded_at, event.recorded_at);
    assert_eq!(envelope.aggregate, event.aggregate);
    assert_eq!(envelope.conversation_id, event.conversation_id);
    assert_eq!(envelope.channel, event.channel);
    assert_eq!(envelope.priority, event.priority);
    assert_eq!(envelope.correlation_id, event.metadata.correlation_id);
    assert_eq!(envelope.causation_id, event.metadata.causation_id);
    assert_eq!(envelope.actor, event.metadata.actor);
    assert_eq!(envelope.traceparent, event.metadata.traceparent);
    assert_eq!(envelope.data.expect("travels").get(), event.payload.get());

    relay.until("published", |status| status.published == Some(position)).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_log_that_was_never_published_is_published_from_its_first_event() {
    let world = World::new().await;
    let last = world.append(1_250).await;
    let _relay = world.relay().await;
    world.published(last).await;
    world.assert_is_log(1, last).await;
    assert_eq!(world.generations().await, [(1, 1, 1)]);
}

#[tokio::test]
async fn a_relay_resumes_where_the_last_one_stopped() {
    let world = World::new().await;
    let relay = world.relay().await;
    relay.leads().await;
    world.append(200).await;
    // In the middle of its work, wherever that is.
    relay.until("some are published", |status| status.published > Some(Position(0))).await;
    drop(relay);
    let last = world.append(300).await;

    let relay = world.relay().await;
    world.published(last).await;
    world.assert_is_log(1, last).await;
    assert_eq!(world.generations().await, [(1, 1, 1)]);
    relay.stop().await;
    assert_eq!(world.append(5).await, Position(505));
    let _relay = world.relay().await;
    world.published(Position(505)).await;
}

#[tokio::test]
async fn a_relay_finds_new_events_without_a_hint() {
    // Its hints have ended.
    let head = tokio::sync::watch::channel(Position::START).1;
    let mut world = World::new().await;
    world.head = head;
    let relay = world.relay().await;
    relay.leads().await;
    let last = world.append(3).await;
    world.published(last).await;
}

#[tokio::test]
async fn of_two_relays_one_leads_and_the_other_takes_over_when_it_ends() {
    let world = World::new().await;
    let first = world.relay().await;
    first.leads().await;
    let second = world.relay().await;
    let last = world.append(20).await;
    world.published(last).await;
    assert!(first.status.get().leader);
    assert!(!second.status.get().leader);
    assert_eq!(second.status.get().published, None);

    drop(first);
    second.leads().await;
    let last = world.append(20).await;
    world.published(last).await;
    world.assert_is_log(1, last).await;
    second.stop().await;
}

#[tokio::test]
async fn a_relay_that_ends_in_order_leads_no_longer() {
    let world = World::new().await;
    let relay = world.relay().await;
    relay.leads().await;
    let status = relay.status.clone();
    relay.stop().await;
    assert!(!status.get().leader);
}
