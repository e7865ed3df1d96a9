//! Connections to PostgreSQL that say nothing more and that nobody ends: whoever asks on one gives it up
//! within seconds, and goes on by another.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use hatch::roles::Role;
use hatch_bus::testing::TestBus;
use hatch_eventstore::testing::{Proxy, TestDatabase};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{CUSTOMER, Hatch, SENDER, database};

/// When the message is due.
const DUE_IN: TimeDelta = TimeDelta::milliseconds(1_500);

/// Longer than two limits one after the other, on a busy machine; far below the time that an operating
/// system bears a silent connection.
const WITHIN: Duration = Duration::from_secs(30);

/// Reads at the same time, so that the pool has many connections.
const READS: usize = 24;

/// A hatch whose pool has many connections, and the message that it has sent.
async fn start(database_url: Option<&str>, database: TestDatabase) -> (Hatch, String) {
    let bus = TestBus::create().await;
    let hatch = Hatch::start_in(database, bus, &Role::ALL, |settings| {
        settings.dispatcher.timers_lag_ms = 200;
        settings.dispatcher.delivery_grace_ms = 300;
        if let Some(url) = database_url {
            settings.database_url = Some(url.to_owned());
        }
    })
    .await;
    let id = hatch.send_sms(CUSTOMER, "before").await;
    hatch.message_with_status(&id, "delivered").await;
    let reads = (0..READS).map(|_| hatch.get("/api/v1/messages"));
    for answer in futures::future::join_all(reads).await {
        assert_eq!(answer.status, StatusCode::OK);
    }
    (hatch, id)
}

async fn schedule(hatch: &Hatch) -> String {
    let at = hatch.in_time(DUE_IN).to_rfc3339();
    let request = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": "scheduled",
        "send_at": at});
    let answer = hatch.post("/api/v1/messages", &request).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    answer.text("id").to_owned()
}

/// Sends a message, again and again as long as there is no answer.
pub(crate) async fn accepted(hatch: &Hatch, body: &str) -> String {
    let request = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": body});
    let request = request.to_string();
    let headers = [("idempotency-key", body)];
    hatch
        .eventually("it is accepted", async |hatch| {
            let post = reqwest::Method::POST;
            let sent = hatch.request(post, "/api/v1/messages", &headers, Some(request.clone()));
            let answer = sent.await;
            (answer.status == StatusCode::ACCEPTED).then(|| answer.text("id").to_owned())
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_silent_for_ever_hold_nothing_up_for_longer_than_seconds() {
    let database = database().await;
    let proxy = Proxy::start(&database.url()).await;
    let (hatch, before) = start(Some(proxy.url()), database).await;
    let scheduled = schedule(&hatch).await;
    hatch.message_with_status(&scheduled, "scheduled").await;
    let begun = Instant::now();
    proxy.silence();
    // Timers, sweeper and read model go on.
    let (_, sent) = tokio::join!(
        hatch.message_with_status(&scheduled, "delivered"),
        accepted(&hatch, "during the silence"),
    );
    hatch.message_with_status(&sent, "delivered").await;
    let took = begun.elapsed();
    assert!(took < WITHIN, "{took:?}");
    // And no read meets one of the silent connections any more.
    let reads = (0..READS).map(|_| hatch.get("/api/v1/messages"));
    for answer in futures::future::join_all(reads).await {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    let ready = hatch.get("/ready").await;
    assert_eq!(ready.body["status"], "ready", "{}", ready.body);
    hatch.assert_each_sent_once(&[before, scheduled, sent]).await;
    hatch.finish().await;
}

/// A backend of PostgreSQL that stands still until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn stop(pid: i32) -> Self {
        let pid = Pid::from_raw(pid);
        kill(pid, Signal::SIGSTOP).expect("the test's own server");
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// Stops a backend of the pool that serves the dispatcher, unless it has begun a statement meanwhile: it could
/// hold a lock of the whole server, for which every other backend would wait as well.
async fn stopped_while_idle(hatch: &Hatch) -> Option<Stopped> {
    const IDLE: &str = "SELECT pid FROM pg_stat_activity \
         WHERE datname = current_database() AND state = 'idle' AND query LIKE '%due.timers%' \
           AND state_change < clock_timestamp() - interval '20 milliseconds'";
    let pids = async || {
        let rows = tokio::time::timeout(Duration::from_secs(2), hatch.rows(IDLE)).await.ok()?;
        Some(rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>())
    };
    let pid = *pids().await?.first()?;
    let stopped = Stopped::stop(pid);
    pids().await?.contains(&pid).then_some(stopped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_stands_still_does_not_hold_up_what_is_due() {
    let (hatch, before) = start(None, database().await).await;
    let scheduled = schedule(&hatch).await;
    hatch.message_with_status(&scheduled, "scheduled").await;
    let begun = Instant::now();
    let stopped = hatch
        .eventually("a backend of the timers stands still while it is idle", stopped_while_idle)
        .await;
    hatch.message_with_status(&scheduled, "delivered").await;
    let took = begun.elapsed();
    assert!(took < WITHIN, "{took:?}");
    drop(stopped);
    hatch.assert_each_sent_once(&[before, scheduled]).await;
    hatch.finish().await;
}
