//! What goes wrong: lost sessions, servers and streams, foreign messages, a regressed log.

use hatch_bus::testing::{Server, TestBus, connected, eventually};
use hatch_bus::{BusState, StreamState};
use hatch_eventstore::{DatabasePlace, Position, lift_fence};

use crate::support::{World, publish, stray};

#[tokio::test]
async fn a_leader_whose_session_is_ended_resigns_and_a_relay_leads_again() {
    let world = World::new().await;
    let relay = world.relay().await;
    relay.leads().await;
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'hatch-relay'";
    let ended = world.database.connect().await.execute(sql, &[]).await.expect("may do that");
    assert_eq!(ended, 1);
    relay.until("resigns", |status| !status.leader).await;
    relay.leads().await;
    let last = world.append(10).await;
    world.published(last).await;
}

#[tokio::test]
async fn publishing_goes_on_after_nats_was_killed() {
    let mut server = Server::start().await;
    let world = World::with_bus(TestBus::create_at(&server.url()).await).await;
    let relay = world.relay().await;
    let last = world.append(100).await;
    world.published(last).await;

    server.kill();
    eventually("disconnected", async || {
        (world.bus.state() == BusState::Disconnected).then_some(())
    })
    .await;
    let last = world.append(100).await;
    server.start_again();
    connected(&world.bus).await;
    world.published(last).await;
    world.assert_is_log(1, last).await;
    assert_eq!(world.generations().await, [(1, 1, 1)]);
    drop(relay);
}

#[tokio::test]
async fn a_stream_that_is_deleted_is_followed_by_a_generation_at_the_head() {
    let world = World::new().await;
    let _relay = world.relay().await;
    let last = world.append(10).await;
    world.published(last).await;
    let jetstream = world.jetstream().await;
    jetstream.delete_stream(world.stream_name(1)).await.expect("is deleted");

    // The relay notices with the next event, which the new generation then begins after.
    let head = world.append(1).await;
    world.goes_on_after(head).await;
    assert_eq!(world.generations().await, [(1, 1, 1), (2, head.0 + 1, 1)]);
}

#[tokio::test]
async fn a_stream_that_is_deleted_while_nothing_happens_is_missed_all_the_same() {
    let world = World::new().await;
    let _relay = world.relay().await;
    let head = world.append(10).await;
    world.published(head).await;
    let jetstream = world.jetstream().await;
    jetstream.delete_stream(world.stream_name(1)).await.expect("is deleted");
    world.goes_on_after(head).await;
    assert_eq!(world.generations().await, [(1, 1, 1), (2, head.0 + 1, 1)]);
}

#[tokio::test]
async fn a_foreign_message_at_the_end_is_followed_by_a_generation_at_the_head() {
    let world = World::new().await;
    let _relay = world.relay().await;
    let last = world.append(10).await;
    world.published(last).await;
    world.write_foreign().await;

    let head = world.append(1).await;
    world.goes_on_after(head).await;
}

#[tokio::test]
async fn a_foreign_message_in_the_midst_of_a_window_is_not_passed_over() {
    let world = World::new().await;
    let _relay = world.relay().await;
    let last = world.append(10).await;
    world.published(last).await;
    world.write_foreign().await;

    // One transaction, so one window: after the first all are stored where they belong.
    world.append(10).await;
    world.second_generation().await;
    let last = world.append(5).await;
    world.published(last).await;
    let first = world.generations().await[1].1;
    world.assert_is_log(first, last).await;
}

#[tokio::test]
async fn a_foreign_message_does_not_hide_that_the_log_has_lost_something() {
    let world = World::new().await;
    let relay = world.relay().await;
    let last = world.append(10).await;
    world.published(last).await;
    relay.stop().await;
    // As if the log had lost its last event, and somebody had written after it.
    world.trust().await;
    publish(&world.bus, 1, &stray(11)).await;
    world.write_foreign().await;

    let relay = world.relay().await;
    let status = relay.until("halts", |status| status.halted.is_some()).await;
    let reason = status.halted.expect("just seen");
    assert!(reason.contains("LOG_REGRESSED"), "{reason}");
}

#[tokio::test]
async fn a_stream_that_somebody_takes_out_of_use_is_followed_by_the_next_generation() {
    for change in ["subjects", "sealed", "max_msg_size"] {
        let world = World::new().await;
        let _relay = world.relay().await;
        let last = world.append(10).await;
        world.published(last).await;
        let jetstream = world.jetstream().await;
        let stream = jetstream.get_stream(world.stream_name(1)).await.expect("is there");
        let mut config = stream.cached_info().config.clone();
        match change {
            "subjects" => config.subjects = vec![format!("elsewhere-{}.>", world.stream_name(1))],
            "sealed" => config.sealed = true,
            _ => config.max_message_size = 10,
        }
        jetstream.update_stream(config).await.expect("is changed");

        let head = world.append(1).await;
        world.second_generation().await;
        let last = world.append(5).await;
        world.published(last).await;
        world.assert_is_log(head.0 + 1, last).await;
        assert!(jetstream.get_stream(world.stream_name(1)).await.is_err(), "{change}: it is gone");
    }
}

#[tokio::test]
async fn a_log_behind_the_bus_halts_until_a_newer_epoch_is_begun() {
    let world = World::new().await;
    let relay = world.relay().await;
    let last = world.append(10).await;
    world.published(last).await;
    relay.stop().await;
    // As if the log had lost its last event.
    world.trust().await;
    publish(&world.bus, 1, &stray(11)).await;

    let relay = world.relay().await;
    let status = relay.until("halts", |status| status.halted.is_some()).await;
    let reason = status.halted.expect("just seen");
    assert!(reason.contains("LOG_REGRESSED"), "{reason}");
    assert!(status.leader);
    // The log goes on, with another event at that position: still nothing is published.
    world.append(5).await;
    relay.stop().await;
    let relay = world.relay().await;
    relay.until("halts again", |status| status.halted.is_some()).await;
    let state = world.bus.stream_state().await.expect("answers");
    assert!(matches!(state, StreamState::Present { last_sequence: 11, generation: 1, .. }));

    let mut client = world.database.connect().await;
    let lifted =
        lift_fence(&mut client, &DatabasePlace::default(), "lifted").await.expect("is done");
    assert_eq!(lifted.expect("it was closed").base_position, Position(15));
    relay.until("goes on", |status| status.halted.is_none()).await;
    let last = world.append(5).await;
    world.published(last).await;
    assert_eq!(world.generations().await, [(1, 1, 1), (2, 16, 2)]);
}

#[tokio::test]
async fn a_relay_without_nats_leads_and_publishes_once_it_is_there() {
    let mut server = Server::start().await;
    let world = World::with_bus(TestBus::create_at(&server.url()).await).await;
    let relay = world.relay().await;
    relay.leads().await;
    server.kill();
    let last = world.append(10).await;
    assert_eq!(last, Position(10));
    server.start_again();
    world.published(last).await;
    world.assert_is_log(1, last).await;
}
