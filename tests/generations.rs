//! What becomes of messages when the bus loses its stream, a part of it, or its mind.
//!
//! However it goes: each message is delivered, and the simulator was asked for it once.

use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::Context;
use futures::future::join_all;
use hatch::roles::Role;
use hatch::settings::Settings;
use hatch_bus::testing::{Server, TestBus};
use hatch_bus::{Envelope, StreamState};
use hatch_eventstore::{Log, Position};
use reqwest::StatusCode;

use crate::dispatch::NOBODY_DISPATCHES;
use crate::harness::{CUSTOMER, Hatch};

/// Waits so short that what the bus does not bring is sent soon all the same.
pub(crate) fn hurried(settings: &mut Settings) {
    settings.dispatcher.timers_lag_ms = 200;
    settings.dispatcher.delivery_grace_ms = 500;
}

pub(crate) async fn send(hatch: &Hatch, count: usize) -> Vec<String> {
    join_all(
        (0..count).map(|n| async move { hatch.send_sms(CUSTOMER, &format!("number {n}")).await }),
    )
    .await
}

pub(crate) async fn delivered(hatch: &Hatch, ids: &[String]) {
    for id in ids {
        hatch.message_with_status(id, "delivered").await;
    }
}

pub(crate) async fn deliver(hatch: &Hatch, count: usize) -> Vec<String> {
    let ids = send(hatch, count).await;
    delivered(hatch, &ids).await;
    ids
}

/// Waits until the generation is on record; its first position.
pub(crate) async fn generation(hatch: &Hatch, generation: i32) -> i64 {
    let sql =
        format!("SELECT first_position FROM es.bus_generations WHERE generation = {generation}");
    hatch
        .eventually("the generation is on record", async |hatch| {
            Some(hatch.rows(&sql).await.first()?.get(0))
        })
        .await
}

/// Waits until the bus holds all of the log.
pub(crate) async fn published(hatch: &Hatch) -> i64 {
    hatch
        .eventually("all is on the bus", async |hatch| {
            let head = hatch.log_length().await;
            match hatch.bus.stream_state().await.ok()? {
                StreamState::Present { last_sequence, .. } if last_sequence == head => Some(head),
                StreamState::Present { .. } | StreamState::Absent => None,
            }
        })
        .await
}

async fn jetstream(hatch: &Hatch) -> Context {
    hatch_bus::testing::jetstream(&hatch.bus.settings().url).await.expect("connects")
}

fn stream_name(hatch: &Hatch, generation: i32) -> String {
    format!("{}_EVENTS_{generation}", hatch.bus.settings().prefix.to_uppercase())
}

pub(crate) async fn ready(hatch: &Hatch, status: &str) {
    hatch
        .eventually(status, async |hatch| {
            let ready = hatch.get("/ready").await;
            (ready.status == StatusCode::OK && ready.body["status"] == status).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_stream_that_is_deleted_under_load_costs_no_message() {
    let hatch = Hatch::start_with(&Role::ALL, hurried).await;
    let mut ids = deliver(&hatch, 5).await;
    let jetstream = jetstream(&hatch).await;
    let name = stream_name(&hatch, 1);
    let (sent, deleted) = futures::join!(send(&hatch, 40), jetstream.delete_stream(name));
    deleted.expect("is deleted");
    ids.extend(sent);
    delivered(&hatch, &ids).await;
    ids.extend(deliver(&hatch, 5).await);
    assert!(generation(&hatch, 2).await > 1, "it begins at the head");
    hatch.assert_each_sent_once(&ids).await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_foreign_message_in_the_stream_costs_no_message() {
    let hatch = Hatch::start_with(&Role::ALL, hurried).await;
    let mut ids = deliver(&hatch, 5).await;
    published(&hatch).await;
    let subject = format!("{}.events.stray", hatch.bus.settings().prefix);
    let jetstream = jetstream(&hatch).await;
    let stored = jetstream.publish(subject, "hello".into()).await.expect("is sent");
    stored.await.expect("is stored");
    ids.extend(deliver(&hatch, 20).await);
    generation(&hatch, 2).await;
    ids.extend(deliver(&hatch, 5).await);
    hatch.assert_each_sent_once(&ids).await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_store_that_is_rolled_back_costs_no_message() {
    let mut server = Server::start().await;
    let bus = TestBus::create_at(&server.url()).await;
    let mut hatch = Hatch::start_on(bus, &Role::ALL, hurried).await;
    let mut ids = deliver(&hatch, 5).await;
    published(&hatch).await;
    let (store, older) = (server.store(), server.store().with_extension("older"));
    server.stop();
    copy(&store, &older);
    server.start_again();
    ready(&hatch, "ready").await;
    ids.extend(deliver(&hatch, 20).await);
    published(&hatch).await;

    // The relay knows what it had stored.
    server.stop();
    copy(&older, &store);
    server.start_again();
    ready(&hatch, "ready").await;
    ids.extend(deliver(&hatch, 20).await);
    generation(&hatch, 2).await;

    // One that has just begun does not: it goes on where the stream ends.
    hatch.stop().await;
    server.stop();
    copy(&older, &store);
    server.start_again();
    hatch.start_again(&Role::ALL).await;
    ids.extend(deliver(&hatch, 20).await);
    published(&hatch).await;
    hatch.assert_each_sent_once(&ids).await;
    hatch.finish().await;
}

/// Replaces the folder `to` by a copy of `from`.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).expect("is removed");
    }
    let copied = Command::new("cp").arg("-R").args([from, to]).status().expect("cp runs");
    assert!(copied.success());
}

#[tokio::test]
async fn a_relay_that_goes_on_with_the_old_generation_is_refused() {
    let mut hatch = Hatch::start_with(&Role::ALL, hurried).await;
    hatch.start_more(&[Role::Relay]).await;
    let mut ids = deliver(&hatch, 5).await;
    let head = published(&hatch).await;
    hatch.trust(&hatch.bus).await;
    let mut late = hatch.bus.publisher(1, head);
    jetstream(&hatch).await.delete_stream(stream_name(&hatch, 1)).await.expect("is deleted");
    ids.extend(deliver(&hatch, 5).await);
    generation(&hatch, 2).await;

    // What it has to say is in the log as well, and the next position of the old generation.
    let log = Log::new(hatch_eventstore::pool(&hatch.database.config(), 1, Duration::from_secs(5)));
    let next = log.read_at(Position(head + 1)).await.expect("is read").expect("is there");
    let refused = async {
        late.publish(&Envelope::from(next)).await?;
        late.flush().await
    };
    refused.await.expect_err("the stream is another");

    // And one that loses the lead while the other takes it.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'hatch-relay'";
    let (sent, _) = futures::join!(send(&hatch, 40), hatch.rows(end));
    delivered(&hatch, &sent).await;
    ids.extend(sent);
    published(&hatch).await;
    hatch.assert_each_sent_once(&ids).await;
    hatch.finish().await;
}

#[tokio::test]
async fn what_the_stream_no_longer_holds_for_a_stopped_dispatcher_is_sent_by_its_due_time() {
    let mut hatch = Hatch::start_with(&Role::ALL, hurried).await;
    let mut ids = deliver(&hatch, 5).await;
    hatch.stop().await;
    hatch.start_again(NOBODY_DISPATCHES).await;
    ids.extend(send(&hatch, 30).await);
    published(&hatch).await;
    let stream = jetstream(&hatch).await.get_stream(stream_name(&hatch, 1)).await.expect("there");
    stream.purge().await.expect("as retention does");
    ids.extend(send(&hatch, 5).await);
    hatch.start_more(&[Role::Dispatcher]).await;
    delivered(&hatch, &ids).await;
    hatch.assert_each_sent_once(&ids).await;
    assert_eq!(hatch.count("SELECT count(*) FROM es.bus_generations").await, 1);
    hatch.finish().await;
}

#[tokio::test]
async fn a_stream_that_is_gone_is_said_until_the_relay_has_begun_another() {
    let mut hatch = Hatch::start().await;
    generation(&hatch, 1).await;
    hatch.stop().await;
    jetstream(&hatch).await.delete_stream(stream_name(&hatch, 1)).await.expect("is deleted");
    hatch.start_again(&[Role::Command, Role::Query]).await;
    ready(&hatch, "degraded").await;
    let told = hatch.get("/ready").await;
    let detail = told.body["dependencies"]["nats"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("stream is gone"), "{}", told.body);
    hatch.start_more(&[Role::Relay]).await;
    ready(&hatch, "ready").await;
    generation(&hatch, 2).await;
    hatch.finish().await;
}

#[tokio::test]
async fn while_nats_is_away_sends_are_accepted_shown_and_sent_and_then_it_is_used_again() {
    let mut server = Server::start().await;
    let bus = TestBus::create_at(&server.url()).await;
    let hatch = Hatch::start_on(bus, &Role::ALL, hurried).await;
    let mut ids = deliver(&hatch, 5).await;
    server.kill();
    ready(&hatch, "degraded").await;
    for n in 0..20 {
        let body = serde_json::json!({"to": CUSTOMER, "body": format!("away {n}")});
        let accepted = hatch.post("/api/v1/messages", &body).await;
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
        let (id, position) = (accepted.text("id"), accepted.header("hatch-position"));
        let shown = hatch.get(&format!("/api/v1/messages/{id}?after={position}&wait=10")).await;
        assert_eq!(shown.status, StatusCode::OK, "{}", shown.body);
        ids.push(id.to_owned());
    }
    delivered(&hatch, &ids).await;
    server.start_again();
    ready(&hatch, "ready").await;
    ids.extend(deliver(&hatch, 20).await);
    published(&hatch).await;
    hatch.assert_each_sent_once(&ids).await;
    hatch.finish().await;
}
