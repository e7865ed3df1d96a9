//! Processes that stand still (`SIGSTOP`) in the worst moment, and go on later: the others take
//! over, and what comes too late changes nothing.

use std::time::{Duration, Instant};

use hatch_bus::StreamState;
use hatch_eventstore::testing::{Cut, Fault, Proxy};
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use tokio::time::timeout;

use crate::fleet::{Fleet, Member};
use crate::harness::CUSTOMER;
use crate::time::eventually;

/// A recipient of whom the provider never reports.
const SILENT: &str = "+18045550888";
/// How long the lock of an appender that stands still may hold up the others.
const HELD_UP_MAX: Duration = Duration::from_secs(2);

/// Holders of the log's lock in this database; its number is "hatchlog" in ASCII.
const LOCK_HELD: &str = "SELECT count(*) FROM pg_locks \
     WHERE locktype = 'advisory' AND granted AND classid = x'68617463'::int::oid \
     AND objid = x'686c6f67'::int::oid \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Waits so short that a doubt ends within seconds.
const HURRIED: [(&str, &str); 6] = [
    ("HATCH_TWILIO__HTTP_TIMEOUT_MS", "1500"),
    ("HATCH_TWILIO__CONNECT_TIMEOUT_MS", "1000"),
    ("HATCH_DISPATCHER__LEASE_MS", "4500"),
    ("HATCH_DISPATCHER__TIMERS_LAG_MS", "200"),
    ("HATCH_DISPATCHER__DELIVERY_GRACE_MS", "300"),
    ("HATCH_DISPATCHER__RETRY__BACKOFF_MIN_MS", "50"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_appender_that_stands_still_with_the_lock_holds_up_the_others_for_two_seconds_at_most() {
    let fleet = Fleet::start(0, &[]).await;
    let proxy = Proxy::start(&fleet.database.url()).await;
    let slow = [("HATCH_DATABASE_URL", proxy.url())];
    let stopped = fleet.serve_with("command", &slow).await;
    let other = fleet.serve("command").await;
    fleet.accepted(&stopped, CUSTOMER, "first").await;
    fleet.accepted(&other, CUSTOMER, "second").await;

    // Its appender has the lock for at least as long as the way there and back takes.
    proxy.begin(Fault::Delay(Duration::from_millis(250)));
    let sending = fleet.accepted(&stopped, CUSTOMER, "held");
    let others = async {
        eventually("it stands still with the lock", async || {
            if fleet.count(LOCK_HELD).await == 0 {
                return None;
            }
            stopped.signal(Signal::SIGSTOP);
            // It may have been about to let go, which PostgreSQL then hears at once.
            let let_go = eventually("it lets go", async || fleet.count(LOCK_HELD).await == 0);
            let let_go = timeout(Duration::from_millis(50), let_go).await.is_ok();
            if let_go || fleet.count(LOCK_HELD).await == 0 {
                stopped.signal(Signal::SIGCONT);
                return None;
            }
            Some(())
        })
        .await;
        let begun = Instant::now();
        let (status, _) = fleet.send(&other, CUSTOMER, "waits").await;
        let waited = begun.elapsed();
        proxy.end();
        stopped.signal(Signal::SIGCONT);
        (status, waited)
    };
    let (id, (status, waited)) = tokio::join!(sending, others);
    assert_eq!(status, StatusCode::ACCEPTED);
    assert!(waited < HELD_UP_MAX, "{waited:?}");
    assert_eq!(fleet.accepted(&stopped, CUSTOMER, "held").await, id, "the key is known");
    assert_eq!(fleet.count("SELECT count(*) FROM es.events").await, 4, "each is there once");
    assert_eq!(fleet.count("SELECT max(position) FROM es.events").await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_stands_still_is_replaced_and_doubles_nothing_when_it_goes_on() {
    // So long that only the bus can bring the messages to the dispatcher in time.
    let fleet = Fleet::start(1, &[("HATCH_DISPATCHER__DELIVERY_GRACE_MS", "600000")]).await;
    let api = fleet.api(0, "command,query,webhook,projector,dispatcher").await;
    let stopped = fleet.serve("relay").await;
    deliver(&fleet, &api, "before", 5).await;
    let _standby = fleet.serve("relay").await;
    stopped.signal(Signal::SIGSTOP);
    deliver(&fleet, &api, "during", 5).await;
    stopped.signal(Signal::SIGCONT);
    deliver(&fleet, &api, "after", 5).await;

    let record = fleet.record().await;
    assert_eq!(record.len(), 15);
    assert!(record.iter().all(|line| line["calls"] == 1));
    let head = fleet.count("SELECT max(position) FROM es.events").await;
    eventually("the bus holds the log", async || match fleet.bus.stream_state().await.ok()? {
        StreamState::Present { first_position: 1, last_sequence, .. } => {
            (last_sequence == head).then_some(())
        }
        StreamState::Present { .. } | StreamState::Absent => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_that_stands_still_before_its_call_does_not_make_it_past_its_lease() {
    let fleet = Fleet::start(1, &HURRIED).await;
    let api = fleet.api(0, "command,query,webhook,relay,projector").await;
    let proxy = Proxy::start(&fleet.database.url()).await;
    let slow = [("HATCH_DATABASE_URL", proxy.url())];
    let stopped = fleet.serve_with("dispatcher", &slow).await;
    deliver(&fleet, &api, "before", 1).await;

    // It stands still when its claim is committed, and it has not heard so yet.
    proxy.cut(Cut::Silence, "call_before");
    let id = fleet.accepted(&api, CUSTOMER, "claimed").await;
    fleet.has_event(&id, "SendAttempted").await;
    stopped.signal(Signal::SIGSTOP);
    assert!(proxy.has_cut());
    assert_eq!(fleet.record().await.len(), 1, "it has not called");
    let _other = fleet.serve("dispatcher").await;
    fleet.has_event(&id, "MessageDelivered").await;
    fleet.has_event(&id, "MessageSent").await;
    let events = fleet.events(&id).await;
    assert_eq!(
        events[..5],
        ["MessageRequested", "SendAttempted", "SendInDoubt", "SendFailed", "SendAttempted"]
    );
    let attempts = events.iter().filter(|event| *event == "SendAttempted").count();
    assert_eq!(attempts, 2, "{events:?}");

    proxy.end();
    goes_on_idle(&fleet, &stopped).await;
    assert_eq!(fleet.events(&id).await, events, "nothing is recorded a second time");
    assert_each_called_once(&fleet, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_that_stands_still_in_its_call_does_not_record_it_a_second_time() {
    let fleet = Fleet::start(1, &HURRIED).await;
    let api = fleet.api(0, "command,query,webhook,relay,projector").await;
    let stopped = fleet.serve("dispatcher").await;
    fleet.slow_down(1_000).await;
    let id = fleet.accepted(&api, SILENT, "called").await;
    eventually("the provider was called", async || (fleet.record().await.len() == 1).then_some(()))
        .await;
    stopped.signal(Signal::SIGSTOP);
    assert_eq!(fleet.events(&id).await, ["MessageRequested", "SendAttempted"]);
    fleet.slow_down(0).await;
    let _other = fleet.serve("dispatcher").await;
    fleet.has_event(&id, "MessageSent").await;
    let events = fleet.events(&id).await;
    assert_eq!(events, ["MessageRequested", "SendAttempted", "SendInDoubt", "MessageSent"]);

    goes_on_idle(&fleet, &stopped).await;
    assert_eq!(fleet.events(&id).await, events, "nothing is recorded a second time");
    assert_each_called_once(&fleet, 1).await;
}

/// Has it go on, and waits until it is through with what it was at.
async fn goes_on_idle(fleet: &Fleet, stopped: &Member) {
    stopped.signal(Signal::SIGCONT);
    eventually("it is idle", async || {
        let under_way = stopped.metric(&fleet.http, "hatch_dispatch_under_way").await?;
        (under_way == 0.0).then_some(())
    })
    .await;
}

async fn assert_each_called_once(fleet: &Fleet, messages: usize) {
    let record = fleet.record().await;
    assert_eq!(record.len(), messages);
    assert!(record.iter().all(|line| line["calls"] == 1), "{record:?}");
}

async fn deliver(fleet: &Fleet, api: &Member, what: &str, count: usize) {
    for n in 0..count {
        let id = fleet.accepted(api, CUSTOMER, &format!("{what} {n}")).await;
        fleet.has_event(&id, "MessageDelivered").await;
    }
}
