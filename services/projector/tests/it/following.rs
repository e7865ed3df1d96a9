//! What a projector does with a log that grows, a database that goes away, and an event too new.

use std::sync::Arc;
use std::time::Duration;

use hatch_eventstore::{FeedPublisher, Position};
use hatch_projector::Config;
use hatch_readmodel::{
    ConversationFilter, MessageFilter, PROJECTIONS, Page, ProjectionState, messages,
};

use crate::support::{TENANT, World, eventually};

async fn status(world: &World, id: hatch_domain::ids::MessageId) -> Option<String> {
    let message = world.read_model.message(TENANT, id).await.expect("it can be read");
    message.map(|message| message.status)
}

/// How many messages the rows and, separately counted, their conversations have.
async fn counts(world: &World) -> (usize, i64) {
    let page = Page::new(Some(200), None).expect("a lawful limit");
    let messages = world.read_model.messages(TENANT, &MessageFilter::default(), &page).await;
    let conversations =
        world.read_model.conversations(TENANT, &ConversationFilter::default(), &page).await;
    let conversations = conversations.expect("they can be listed").data;
    let counted = conversations.iter().map(|conversation| conversation.message_count).sum();
    (messages.expect("they can be listed").data.len(), counted)
}

#[tokio::test]
async fn what_is_appended_becomes_rows_without_a_feed() {
    let world = World::new().await;
    let (early, position) = world.deliver(1).await;
    let projector = world.projector();
    world.reached(position).await;
    assert_eq!(status(&world, early).await.as_deref(), Some("delivered"));
    let (live, position) = world.deliver(2).await;
    world.reached(position).await;
    assert_eq!(status(&world, live).await.as_deref(), Some("delivered"));
    let statuses = world.read_model.projections().await.expect("they can be read");
    let names: Vec<_> = statuses.iter().map(|status| status.name).collect();
    let all: Vec<_> = PROJECTIONS.iter().flat_map(|one| one.read_models()).copied().collect();
    assert_eq!(names, all);
    for one in statuses {
        assert_eq!((one.position, one.lag_events), (position, 0), "{}", one.name);
        assert_eq!((one.lag_seconds, one.status), (0.0, ProjectionState::Live));
    }
    projector.stop().await;
}

#[tokio::test]
async fn what_the_feed_brings_becomes_rows_without_a_look_at_the_log() {
    let world = World::new().await;
    let publisher = FeedPublisher::new(100);
    // With a head that does not move, the log itself would be looked at after seconds only.
    let (_, first) = world.request(1).await;
    let projector =
        world.projector_with(world.blind_head(), Some(publisher.feed()), Config::default());
    world.reached(first).await;
    let started = tokio::time::Instant::now();
    let (id, position) = world.deliver(2).await;
    let page = world.log.read_page(first, 100).await.expect("the log can be read");
    for event in page {
        publisher.publish(Arc::new(event));
    }
    world.reached(position).await;
    assert!(started.elapsed() < Duration::from_secs(4), "it was the log, not the feed");
    assert_eq!(status(&world, id).await.as_deref(), Some("delivered"));
    projector.stop().await;
}

/// Split brain: head and feed are those of one server, and the pool leads to the other one. Both go on from
/// the same log, each in its own way.
#[tokio::test]
async fn what_another_server_tells_of_is_not_applied_and_the_own_log_is_read_instead() {
    const EVENTS: u32 = 4;
    let (other, own) = (World::new().await, World::new().await);
    let publisher = FeedPublisher::new(100);
    let feed = Some(publisher.feed());
    let projector = own.projector_with(other.head.clone(), feed, Config::default());
    publisher.wait_for_readers().await;
    let mut ids = Vec::new();
    for n in 1..=EVENTS {
        let (strange, position) = other.request(n).await;
        let event = other.log.read_at(position).await.expect("readable").expect("there");
        publisher.publish(Arc::new(event));
        let (id, own_position) = own.request(100 + n).await;
        assert_eq!(own_position, position, "it takes the same place");
        own.reached(position).await;
        ids.push((strange, id));
    }
    for (strange, id) in ids {
        assert_eq!(status(&own, id).await.as_deref(), Some("queued"));
        assert_eq!(status(&own, strange).await, None);
    }
    projector.stop().await;
}

#[tokio::test]
async fn an_event_that_it_does_not_know_halts_it_right_there_for_all_to_see() {
    let world = World::new().await;
    let (before, _) = world.deliver(1).await;
    let poison = world.poison(before).await;
    let (after, head) = world.request(2).await;
    let projector = world.projector();
    eventually("the halt is recorded", || async {
        let statuses = world.read_model.projections().await.expect("they can be read");
        statuses.iter().any(|one| one.status == ProjectionState::Halted)
    })
    .await;
    let statuses = world.read_model.projections().await.expect("they can be read");
    let of_messages = messages::DEFINITION.read_models();
    for one in statuses.into_iter().filter(|one| of_messages.contains(&one.name)) {
        assert_eq!((one.status, one.position), (ProjectionState::Halted, Position(poison.0 - 1)));
        assert_eq!(one.lag_events, head.0 - poison.0 + 1);
        let halt = one.halt.expect("it says where and why");
        assert_eq!(halt.position, poison);
        assert!(halt.reason.contains("MessageTeleported"), "{}", halt.reason);
    }
    assert_eq!(status(&world, before).await.as_deref(), Some("delivered"));
    assert_eq!(status(&world, after).await, None, "nothing is skipped");
    projector.stop().await;
}

#[tokio::test]
async fn a_checkpoint_ahead_of_the_log_halts_and_says_so() {
    let world = World::new().await;
    let (_, position) = world.deliver(1).await;
    let projector = world.projector();
    world.reached(position).await;
    projector.stop().await;
    // As if the log had been restored and the rest of the database not.
    let ahead = "UPDATE es.checkpoints SET position = 1000 WHERE name = 'messages'";
    world.database.connect().await.batch_execute(ahead).await.expect("a superuser may");
    let projector = world.projector();
    eventually("the halt is recorded", || async {
        let statuses = world.read_model.projections().await.expect("they can be read");
        let halted = statuses.iter().find_map(|one| one.halt.as_ref());
        halted.is_some_and(|halt| halt.reason.contains("LOG_REGRESSED"))
    })
    .await;
    let (id, _) = world.deliver(2).await;
    assert_eq!(status(&world, id).await, None);
    projector.stop().await;
}

#[tokio::test]
async fn it_goes_on_when_postgresql_comes_back() {
    let world = World::new().await;
    let projector = world.projector();
    let (_, position) = world.request(1).await;
    world.reached(position).await;
    // As seen from here, a restart: every connection ends, and for a while there is no new one.
    let mut elsewhere = world.database.config();
    let name = world.database.config().get_dbname().expect("it has a name").to_owned();
    elsewhere.dbname("postgres");
    let (admin, connection) = elsewhere.connect(tokio_postgres::NoTls).await.expect("connects");
    let connection = tokio::spawn(connection);
    let away = format!(
        "UPDATE pg_database SET datallowconn = false WHERE datname = '{name}';
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    );
    admin.batch_execute(&away).await.expect("a superuser may");
    eventually("it is away", || async { world.pool.get().await.is_err() }).await;
    let back = format!("UPDATE pg_database SET datallowconn = true WHERE datname = '{name}'");
    admin.batch_execute(&back).await.expect("a superuser may");
    eventually("it is back", || async { world.pool.get().await.is_ok() }).await;
    let (id, position) = world.deliver(2).await;
    world.reached(position).await;
    assert_eq!(status(&world, id).await.as_deref(), Some("delivered"));
    projector.stop().await;
    connection.abort();
}

#[tokio::test]
async fn of_two_projectors_one_works_and_the_other_takes_over() {
    let world = World::new().await;
    let config = Config { page_events_max: 3, standby_poll_ms: 20 };
    let first = world.projector_with(world.head.clone(), None, config.clone());
    let second = world.projector_with(world.head.clone(), None, config.clone());
    let mut position = Position::START;
    for n in 0..20 {
        (_, position) = world.deliver(n % 4).await;
    }
    world.reached(position).await;
    assert_eq!(counts(&world).await, (20, 20));
    first.stop().await;
    (_, position) = world.deliver(1).await;
    world.reached(position).await;
    let third = world.projector_with(world.head.clone(), None, config);
    second.stop().await;
    (_, position) = world.deliver(1).await;
    world.reached(position).await;
    assert_eq!(counts(&world).await, (22, 22), "nothing twice, nothing left out");
    third.stop().await;
}

#[tokio::test]
async fn stopped_again_and_again_it_goes_on_from_its_checkpoint() {
    let world = World::new().await;
    let mut position = Position::START;
    for n in 0..30 {
        (_, position) = world.deliver(n % 4).await;
    }
    let config = Config { page_events_max: 7, ..Config::default() };
    for stop_at in [1, 30, 60, 90] {
        let projector = world.projector_with(world.head.clone(), None, config.clone());
        world.reached(Position(stop_at)).await;
        projector.stop().await;
    }
    let projector = world.projector_with(world.head.clone(), None, config);
    world.reached(position).await;
    assert_eq!(counts(&world).await, (30, 30));
    projector.stop().await;
}
