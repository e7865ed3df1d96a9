//! What the network does to PostgreSQL and NATS, under load: no message is lost or doubled, and
//! every request is answered in time, by a `202` or by a `503` that says when to come back.

use std::time::Duration;

use hatch::roles::Role;
use hatch::settings::Settings;
use hatch_bus::StreamState;
use hatch_bus::testing::TestBus;
use hatch_eventstore::testing::{Cut, Fault, Proxy};
use serde_json::json;

use crate::clients::{Clients, Told};
use crate::harness::{CUSTOMER, Hatch};

/// Messages accepted before the fault, and again after it.
const MESSAGES: usize = 20;
/// Longer than a request waits for PostgreSQL.
const LONG: Duration = Duration::from_secs(6);
const SHORT: Duration = Duration::from_secs(2);

/// Waits so short that what the bus does not bring is sent soon all the same.
fn hurried(settings: &mut Settings) {
    settings.dispatcher.timers_lag_ms = 200;
    settings.dispatcher.delivery_grace_ms = 500;
}

/// The server behind the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    PostgreSql,
    Nats,
}

/// A hatch that reaches one of its servers by a proxy.
async fn behind(server: Server) -> (Hatch, Proxy) {
    let (mut postgresql, mut nats) = (None, None);
    let bus = TestBus::create().await;
    let database = crate::harness::database().await;
    match server {
        Server::PostgreSql => postgresql = Some(Proxy::start(&database.url()).await),
        Server::Nats => nats = Some(Proxy::start(&bus.settings().url).await),
    }
    let hatch = Hatch::start_in(database, bus, &Role::ALL, |settings| {
        hurried(settings);
        if let Some(proxy) = &postgresql {
            settings.database_url = Some(proxy.url().to_owned());
        }
        if let Some(proxy) = &nats {
            settings.nats_url = Some(proxy.url().to_owned());
        }
    })
    .await;
    (hatch, postgresql.or(nats).expect("one of them"))
}

/// Lets `fault` come and go under load, and holds all that is left against each other.
async fn survives(server: Server, fault: Fault, lasting: Duration) -> Told {
    let (hatch, proxy) = behind(server).await;
    let clients = Clients::start(vec![hatch.url.clone()]);
    accepted(&hatch, &clients, MESSAGES).await;
    proxy.begin(fault);
    tokio::time::sleep(lasting).await;
    if server == Server::Nats && !matches!(fault, Fault::Delay(_)) {
        let published = last_sequence(&hatch).await;
        assert!(published < hatch.log_length().await, "the fault is felt");
    }
    proxy.end();
    let before = clients.accepted();
    accepted(&hatch, &clients, before + MESSAGES).await;
    let told = clients.finish().await;
    told.assert_sound(&hatch.database, &hatch.simulator, &hatch.http).await;
    hatch.finish().await;
    told
}

/// How far the log is published, asked for without the proxy.
async fn last_sequence(hatch: &Hatch) -> i64 {
    match hatch.bus.stream_state().await.expect("the server is there") {
        StreamState::Present { last_sequence, .. } => last_sequence,
        StreamState::Absent => 0,
    }
}

async fn accepted(hatch: &Hatch, clients: &Clients, count: usize) {
    hatch
        .eventually("enough is accepted", async |_| (clients.accepted() >= count).then_some(()))
        .await;
}

/// With NATS in trouble no client notices anything.
fn assert_unnoticed(told: &Told) {
    let others = told.answers.iter().filter(|(status, _)| !matches!(status, 200 | 202));
    assert_eq!(others.count(), 0, "{:?}", told.answers);
}

#[tokio::test]
async fn a_slow_way_to_postgresql_loses_and_doubles_nothing() {
    let delay = Fault::Delay(Duration::from_millis(100));
    survives(Server::PostgreSql, delay, SHORT).await;
}

#[tokio::test]
async fn a_postgresql_that_swallows_everything_loses_and_doubles_nothing() {
    let told = survives(Server::PostgreSql, Fault::Blackhole, LONG).await;
    assert!(told.answers.contains_key(&503), "it lasted: {:?}", told.answers);
}

#[tokio::test]
async fn half_closed_connections_to_postgresql_lose_and_double_nothing() {
    let told = survives(Server::PostgreSql, Fault::HalfClosed, LONG).await;
    assert!(told.answers.contains_key(&503), "it lasted: {:?}", told.answers);
}

#[tokio::test]
async fn reset_connections_to_postgresql_lose_and_double_nothing() {
    let told = survives(Server::PostgreSql, Fault::Reset, LONG).await;
    assert!(told.answers.contains_key(&503), "it lasted: {:?}", told.answers);
}

#[tokio::test]
async fn a_slow_way_to_nats_is_not_noticed() {
    let delay = Fault::Delay(Duration::from_millis(100));
    assert_unnoticed(&survives(Server::Nats, delay, SHORT).await);
}

#[tokio::test]
async fn a_nats_that_swallows_everything_is_not_noticed() {
    assert_unnoticed(&survives(Server::Nats, Fault::Blackhole, LONG).await);
}

#[tokio::test]
async fn half_closed_connections_to_nats_are_not_noticed() {
    assert_unnoticed(&survives(Server::Nats, Fault::HalfClosed, SHORT).await);
}

#[tokio::test]
async fn reset_connections_to_nats_are_not_noticed() {
    assert_unnoticed(&survives(Server::Nats, Fault::Reset, SHORT).await);
}

#[tokio::test]
async fn a_cut_between_commit_and_its_answer_leaves_one_message() {
    let (hatch, proxy) = behind(Server::PostgreSql).await;
    for cut in [Cut::Answer, Cut::Request] {
        let key = crate::harness::unique();
        let request = json!({"to": CUSTOMER, "body": key}).to_string();
        let headers = [("idempotency-key", key.as_str())];
        proxy.cut(cut, &key);
        let mut ids = Vec::new();
        while ids.len() < 2 {
            let post = reqwest::Method::POST;
            let answer =
                hatch.request(post, "/api/v1/messages", &headers, Some(request.clone())).await;
            match answer.status.as_u16() {
                202 => ids.push(answer.text("id").to_owned()),
                503 => assert_eq!(answer.header("retry-after"), "1"),
                status => panic!("{status}: {}", answer.body),
            }
        }
        assert!(proxy.has_cut(), "the COMMIT of this message was cut");
        assert_eq!(ids[0], ids[1], "the key is known");
        hatch.message_with_status(&ids[0], "delivered").await;
        let requested = format!(
            "SELECT count(*) FROM es.events WHERE type = 'MessageRequested' \
             AND payload::text LIKE '%{key}%'"
        );
        assert_eq!(hatch.count(&requested).await, 1, "{cut:?}");
    }
    assert_eq!(hatch.record().await.len(), 2);
    hatch.finish().await;
}
