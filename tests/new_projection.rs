//! A build that has one more projection is started on a long log, in a system that is in use. Nobody who does
//! not read that projection notices.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hatch::roles::Role;
use hatch_bus::testing::TestBus;
use hatch_domain::ids::TenantId;
use hatch_eventstore::testing::TestDatabase;
use hatch_readmodel::testing::{long_log, with_counts};
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{CUSTOMER, Hatch, SENDER, later_database};

/// Events that are there before the projection is.
const EVENTS: i64 = 100_000;
/// Clients that send, each the next message when the one before is delivered.
const CLIENTS: usize = 4;
/// How many messages each sends at least. Admission would refuse some if it waited for the new projection.
const MESSAGES: usize = 10;

/// A database with a long log, which everything else has behind it.
async fn database() -> TestDatabase {
    let database = later_database().await;
    let session = database.connect().await;
    session.batch_execute(&long_log(EVENTS)).await.expect("filled");
    session.close().await;
    database
}

/// What clients were answered, and how often.
#[derive(Debug, Default)]
struct Told {
    sent: AtomicUsize,
    refused: AtomicUsize,
    unavailable: AtomicUsize,
}

impl Told {
    fn assert_nothing_refused(&self) {
        let [refused, unavailable] =
            [&self.refused, &self.unavailable].map(|count| count.load(Ordering::Relaxed));
        assert_eq!((refused, unavailable), (0, 0), "{self:?}");
    }
}

/// Sends a message and waits until it is delivered. The newest one is what others read.
async fn send(hatch: &Hatch, told: &Told, newest: &Mutex<Option<String>>) {
    let body = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let sent = hatch.post("/api/v1/messages", &body).await;
    if sent.status == StatusCode::TOO_MANY_REQUESTS {
        told.refused.fetch_add(1, Ordering::Relaxed);
        return;
    }
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.body);
    told.sent.fetch_add(1, Ordering::Relaxed);
    let (id, position) = (sent.text("id"), &sent.body["position"]);
    *newest.lock().expect("no panic") = Some(format!("messages/{id}?after={position}"));
    hatch.message_with_status(id, "delivered").await;
}

/// Reads the newest message as soon as it is there.
async fn read(hatch: &Hatch, told: &Told, newest: &Mutex<Option<String>>) {
    let path = newest.lock().expect("no panic").clone();
    let Some(path) = path else { return tokio::task::yield_now().await };
    let read = hatch.get(&format!("/api/v1/{path}&wait=30")).await;
    match read.status {
        StatusCode::SERVICE_UNAVAILABLE => drop(told.unavailable.fetch_add(1, Ordering::Relaxed)),
        status => assert_eq!(status, StatusCode::OK, "{}", read.body),
    }
}

/// Has each client send `MESSAGES` at least, and go on until `done`; somebody reads meanwhile.
async fn use_it(hatch: &Hatch, done: &AtomicBool) -> Told {
    let (told, newest, ended) = (Told::default(), Mutex::new(None), AtomicBool::new(false));
    let clients = (0..CLIENTS).map(|_| async {
        let mut messages = 0;
        while messages < MESSAGES || !done.load(Ordering::Relaxed) {
            send(hatch, &told, &newest).await;
            messages += 1;
        }
    });
    let sending = async {
        futures::future::join_all(clients).await;
        ended.store(true, Ordering::Relaxed);
    };
    let reading = async {
        while !ended.load(Ordering::Relaxed) {
            read(hatch, &told, &newest).await;
        }
    };
    tokio::join!(sending, reading);
    told
}

async fn position(hatch: &Hatch, projection: &str) -> i64 {
    let sql = "SELECT coalesce(max(position), 0) FROM es.checkpoints WHERE name = ";
    hatch.count(&format!("{sql}'{projection}'")).await
}

/// Starts all roles again, as a build that has one more projection.
async fn upgrade(hatch: &mut Hatch) {
    hatch.stop().await;
    hatch.projections = with_counts();
    hatch.start_again(&Role::ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_projection_that_is_filled_under_load_refuses_and_delays_nothing() {
    let bus = TestBus::create().await;
    let mut hatch = Hatch::start_in(database().await, bus, &Role::ALL, |settings| {
        // Few messages are enough to see whether somebody waits for the projections.
        settings.admission.burst = Some(16);
    })
    .await;
    use_it(&hatch, &AtomicBool::new(true)).await.assert_nothing_refused();

    upgrade(&mut hatch).await;
    let filled = AtomicBool::new(false);
    let filling = async {
        hatch
            .eventually("the new projection has the log of before", async |hatch| {
                (position(hatch, "counts").await >= EVENTS).then_some(())
            })
            .await;
        filled.store(true, Ordering::Relaxed);
    };
    let (told, ()) = tokio::join!(use_it(&hatch, &filled), filling);
    told.assert_nothing_refused();

    // It follows the log then as the others do.
    let id = hatch.send_sms(CUSTOMER, "afterwards").await;
    hatch.message_with_status(&id, "delivered").await;
    hatch
        .eventually("both have all of the log, and every event is counted", async |hatch| {
            let head = hatch.log_length().await;
            let behind = position(hatch, "messages").await.min(position(hatch, "counts").await);
            let counted = "SELECT sum(events)::bigint FROM rm_counts.counts";
            (behind == head && hatch.count(counted).await == head).then_some(())
        })
        .await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_read_waits_for_no_projection_that_it_does_not_read() {
    let bus = TestBus::create().await;
    let mut hatch = Hatch::start_in(later_database().await, bus, &Role::ALL, |_| {}).await;
    // Somebody holds its checkpoint: it cannot move.
    let mut session = hatch.database.connect().await;
    let row = "INSERT INTO es.checkpoints VALUES ('counts', 1, 0, 1)";
    session.batch_execute(row).await.expect("a superuser may");
    let held = session.transaction().await.expect("it begins");
    let lock = "SELECT FROM es.checkpoints WHERE name = 'counts' FOR UPDATE";
    held.execute(lock, &[]).await.expect("it is free");
    upgrade(&mut hatch).await;

    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    let message = hatch.message_with_status(&id, "delivered").await;
    let (position, conversation) = (&message["position"], &message["conversation_id"]);
    let conversation = conversation.as_str().expect("an id");
    for path in [
        "messages".to_owned(),
        format!("messages/{id}"),
        format!("messages/{id}/events"),
        format!("messages/{id}/recipients"),
        "conversations".to_owned(),
        format!("conversations/{conversation}"),
        format!("conversations/{conversation}/messages"),
        format!("conversations/{conversation}/events"),
        "dead-letters".to_owned(),
        "in-doubt".to_owned(),
        format!("messages/{id}/attempts"),
        "webhook-log".to_owned(),
        "accounts".to_owned(),
        "pools".to_owned(),
        "api-keys".to_owned(),
        "members".to_owned(),
        "providers".to_owned(),
        "routes".to_owned(),
        "tenants".to_owned(),
        format!("tenants/{}", TenantId::DEFAULT),
    ] {
        let read = hatch.get(&format!("/api/v1/{path}?after={position}&wait=5")).await;
        assert_eq!(read.status, StatusCode::OK, "{path}: {}", read.body);
    }
    // This one reads all of them.
    let all = hatch.get(&format!("/api/v1/projections?after={position}&wait=0.2")).await;
    assert_eq!(all.status, StatusCode::SERVICE_UNAVAILABLE, "{}", all.body);
    held.rollback().await.expect("it ends");
    session.close().await;
    let all = hatch.get(&format!("/api/v1/projections?after={position}&wait=30")).await;
    assert_eq!(all.status, StatusCode::OK, "{}", all.body);
    hatch.finish().await;
}
