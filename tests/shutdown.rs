//! SIGTERM cuts nobody off, and a fleet is restarted, process by process, without an error at its
//! clients.

use std::time::{Duration, Instant};

use futures::future::join_all;
use nix::sys::signal::Signal;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::clients::Clients;
use crate::fleet::{Fleet, Member};
use crate::time::eventually;

/// A recipient of whom the provider never reports.
const SILENT: &str = "+18045550888";
const ALL: &str = "command,query,webhook,relay,projector,dispatcher";
const API: &str = "command,query,webhook";

/// Of notice, grace and provider's timeout together, on a busy machine.
const END_MAX: Duration = Duration::from_secs(25);

/// Messages accepted between two restarts.
const MESSAGES: usize = 10;

#[tokio::test]
async fn what_is_in_flight_at_sigterm_is_finished() {
    let fleet = Fleet::start(
        1,
        &[
            ("HATCH_SHUTDOWN__NOTICE_MS", "1500"),
            ("HATCH_TWILIO__HTTP_TIMEOUT_MS", "8000"),
            ("HATCH_DISPATCHER__LEASE_MS", "20000"),
        ],
    )
    .await;
    let mut member = fleet.api(0, ALL).await;
    // So long that the provider's answers come after the signal.
    fleet.slow_down(3_000).await;
    let called = join_all(
        (0..5).map(async |n| fleet.accepted(&member, SILENT, &format!("called {n}")).await),
    )
    .await;
    eventually("the provider was called", async || {
        (fleet.record().await.len() == called.len()).then_some(())
    })
    .await;

    let mut session = fleet.database.connect().await;
    let blocking = session.transaction().await.expect("begun");
    let lock = i64::from_be_bytes(*b"hatchlog");
    blocking.execute("SELECT pg_advisory_xact_lock($1)", &[&lock]).await.expect("locked");
    let requests = join_all((0..10).map(|n| post(&fleet, &member, format!("in flight {n}"))));
    let ending = async {
        eventually("they wait for the log", async || {
            let queued = member.metric(&fleet.http, "hatch_append_queue_commands").await?;
            (queued == 10.0).then_some(())
        })
        .await;
        member.signal(Signal::SIGTERM);
        let began = Instant::now();
        assert_gives_notice(&fleet, &member).await;
        let late = post(&fleet, &member, "during the notice".to_owned());
        let (late, ()) = tokio::join!(late, async {
            blocking.rollback().await.expect("unlocked");
        });
        (late, began)
    };
    let (mut answers, (late, began)) = tokio::join!(requests, ending);
    answers.push(late);
    for answer in &answers {
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        assert_eq!(answer.headers()["connection"], "close");
    }
    assert!(member.ended().await.success(), "a clean end");
    assert!(began.elapsed() < END_MAX, "{:?}", began.elapsed());
    let refused = fleet.http.get(format!("{}/health", member.url)).send().await;
    assert!(refused.is_err_and(|error| error.is_connect()), "nobody listens");
    for id in &called {
        let events = fleet.events(id).await;
        assert_eq!(events, ["MessageRequested", "SendAttempted", "MessageSent"]);
    }
    session.close().await;

    fleet.slow_down(0).await;
    fleet.start_again(&mut member).await;
    for answer in answers {
        let accepted: Value = answer.json().await.expect("JSON");
        fleet.has_event(accepted["id"].as_str().expect("an id"), "MessageSent").await;
    }
    let record = fleet.record().await;
    assert_eq!(record.len(), 16);
    assert!(record.iter().all(|line| line["calls"] == 1), "{record:?}");
    let amiss = "SELECT count(*) FROM es.events WHERE type IN ('SendInDoubt', 'AttemptAbandoned')";
    assert_eq!(fleet.count(amiss).await, 0);
}

/// Waits until the signal has come through: who asks whether it is ready hears that it is not.
async fn assert_gives_notice(fleet: &Fleet, member: &Member) {
    let ready = eventually("it gives notice", async || {
        let answer = fleet.http.get(format!("{}/ready", member.url)).send().await;
        let answer = answer.expect("it listens");
        (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await;
    let ready: Value = ready.json().await.expect("JSON");
    assert_eq!(ready["dependencies"]["process"]["detail"], "shutting down");
    assert_eq!(ready["dependencies"]["postgresql"]["status"], "up");
}

async fn post(fleet: &Fleet, member: &Member, body: String) -> Response {
    let request = fleet.http.post(format!("{}/api/v1/messages", member.url));
    request.json(&json!({"to": SILENT, "body": body})).send().await.expect("an answer")
}

#[tokio::test]
async fn what_takes_longer_than_the_grace_time_is_told_to_come_back() {
    let fleet = Fleet::start(1, &[("HATCH_SHUTDOWN__GRACE_MS", "500")]).await;
    // Without a projector nobody brings the read models to where the log is.
    let mut member = fleet.api(0, API).await;
    assert_eq!(post(&fleet, &member, "Hello".to_owned()).await.status(), StatusCode::ACCEPTED);
    let waiting = fleet.http.get(format!("{}/api/v1/messages?after=1&wait=30", member.url)).send();
    let ending = async {
        let looks = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid() AND query LIKE '%FROM es.checkpoints'";
        eventually("the request waits", async || (fleet.count(looks).await > 0).then_some(()))
            .await;
        member.signal(Signal::SIGTERM);
    };
    let (answer, ()) = tokio::join!(waiting, ending);
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
    let problem: Value = answer.json().await.expect("JSON");
    assert!(problem["detail"].as_str().is_some_and(|it| it.contains("shutting down")), "{problem}");
    assert!(member.ended().await.success(), "a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_is_not_noticed_by_any_client() {
    let fleet = Fleet::start(2, &[("HATCH_SHUTDOWN__NOTICE_MS", "500")]).await;
    let api = [fleet.api(0, API).await, fleet.api(1, API).await];
    let urls = api.iter().map(|member| member.url.clone()).collect();
    let mut members = Vec::from(api);
    for role in ["relay", "projector", "dispatcher"] {
        members.push(fleet.serve(role).await);
    }
    let clients = Clients::start(urls);
    for member in &mut members {
        accepted(&clients, MESSAGES).await;
        assert!(member.terminate().await.success(), "a clean end");
        accepted(&clients, MESSAGES).await;
        fleet.start_again(member).await;
    }
    accepted(&clients, MESSAGES).await;
    let told = clients.finish().await;
    let others = told.answers.keys().filter(|status| !matches!(status, 200 | 202));
    assert_eq!(others.count(), 0, "{:?}", told.answers);
    told.assert_sound(&fleet.database, &fleet.simulator, &fleet.http).await;
}

/// Waits until so many more are accepted.
async fn accepted(clients: &Clients, count: usize) {
    let enough = clients.accepted() + count;
    eventually("more is accepted", async || (clients.accepted() >= enough).then_some(())).await;
}
