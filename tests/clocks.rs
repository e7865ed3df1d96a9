//! Clocks that are wrong: of the machines that hatch runs on, of the provider, and steps of both.
//! PostgreSQL's decides, so nothing is sent twice, early or never because of another one.

use std::path::PathBuf;

use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use tempfile::TempDir;

use crate::fleet::{Fleet, eventually};
use crate::harness::CUSTOMER;

/// A clock that is set while a process runs: `HATCH_TEST_CLOCK` names its file.
struct SettableClock(TempDir);

impl SettableClock {
    fn new(milliseconds: i64) -> Self {
        let clock = Self(tempfile::tempdir().expect("a folder"));
        clock.set(milliseconds);
        clock
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("clock")
    }

    /// In one step: a reader sees the old time or the new one.
    fn set(&self, milliseconds: i64) {
        let next = self.0.path().join("next");
        std::fs::write(&next, milliseconds.to_string()).expect("a file");
        std::fs::rename(next, self.file()).expect("a file");
    }

    fn setting(&self) -> (&'static str, String) {
        ("HATCH_TEST_CLOCK", self.file().to_str().expect("UTF-8").to_owned())
    }
}

/// A request's own time, which the API gives it, as an age of the event in the log.
const AGE: &str = "SELECT (extract(epoch FROM recorded_at - (payload->>'at')::timestamptz) * 1000)::bigint \
     FROM es.events WHERE type = 'MessageRequested' ORDER BY position DESC LIMIT 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machines_wrong_clock_is_shown_and_decides_nothing() {
    let fleet = Fleet::start(1, &[]).await;
    let clock = SettableClock::new(3_600_000);
    let (name, file) = clock.setting();
    let hour = fleet.serve_with("command,relay,projector,dispatcher", &[(name, &file)]).await;
    let id = fleet.accepted(&hour, CUSTOMER, "an hour ahead").await;
    fleet.has_event(&id, "MessageSent").await;
    let age = fleet.count(AGE).await;
    assert!((-1_000..10_000).contains(&age), "PostgreSQL's time: {age} ms");

    let (status, shown) = hour.dependency(&fleet.http, "clock").await;
    assert_eq!((status.as_str(), &shown["status"]), ("degraded", &"down".into()));
    let detail = shown["detail"].as_str().expect("a detail");
    assert!(detail.starts_with("this machine's clock is +3"), "{detail}");
    assert!(detail.contains("Beyond 60 s a dispatcher leaves what is due to others"), "{detail}");
    let offset = hour.metric(&fleet.http, "hatch_clock_offset_seconds").await.expect("a metric");
    assert!((3_590.0..3_610.0).contains(&offset), "{offset}");

    clock.set(-5_000);
    let offset = hour.metric(&fleet.http, "hatch_clock_offset_seconds").await.expect("a metric");
    assert!((-15.0..-4.0).contains(&offset), "it was set while it ran: {offset}");
    let (_, shown) = hour.dependency(&fleet.http, "clock").await;
    let detail = shown["detail"].as_str().expect("a detail");
    assert!(!detail.contains("leaves what is due"), "{detail}");
    clock.set(0);
    let (status, _) = hour.dependency(&fleet.http, "clock").await;
    assert_eq!(status, "ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_is_left_to_dispatchers_with_a_clock_that_is_not_far_off() {
    let hurried = [("HATCH_DISPATCHER__TIMERS_LAG_MS", "200")];
    let fleet = Fleet::start(1, &hurried).await;
    let clock = SettableClock::new(61_000);
    let (name, file) = clock.setting();
    let astray = fleet.serve_with("command,relay,projector,dispatcher", &[(name, &file)]).await;
    let due = SystemEnvironment.now() + chrono::TimeDelta::milliseconds(500);
    let request = serde_json::json!({"to": CUSTOMER, "body": "due", "send_at": due.to_rfc3339()});
    let answer = fleet.http.post(format!("{}/api/v1/messages", astray.url)).json(&request).send();
    let body: serde_json::Value = answer.await.expect("an answer").json().await.expect("JSON");
    let id = body["id"].as_str().expect("an id");
    eventually("it is overdue", async || {
        let sql = "SELECT count(*) FROM dispatch.timers WHERE due_at < clock_timestamp() - interval '1 s'";
        (fleet.count(sql).await == 1).then_some(())
    })
    .await;
    assert_eq!(fleet.events(id).await, ["MessageRequested"]);
    let _other = fleet.serve("dispatcher").await;
    fleet.has_event(id, "MessageSent").await;
    // And it does its part again when its clock was set.
    clock.set(0);
    assert_eq!(astray.dependency(&fleet.http, "clock").await.0, "ready");
    assert_eq!(fleet.record().await.len(), 1);
}
