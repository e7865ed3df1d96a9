//! Doubts that are none, or that nothing tells apart.

use std::time::Duration;

use chrono::TimeDelta;
use hatch::roles::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::clocks::{Clocks, SettableClock};
use crate::dispatch::{NOBODY_DISPATCHES, claim, claim_in};
use crate::fleet::{Fleet, Member};
use crate::harness::{ACCOUNT, Hatch, set_of};
use crate::restore::Cluster;
use crate::time::{as_in_production, eventually};

/// A recipient of whom the provider never reports.
const SILENT: &str = "+18045550888";
const ALERT: &str = "ALERT disk full";

/// Changes how the provider treats our account.
async fn disturb(hatch: &Hatch, disturbance: &Value) {
    let url = format!("{}/_sim/accounts/{ACCOUNT}", hatch.simulator);
    let answer = hatch.http.put(url).json(disturbance).send().await;
    assert!(answer.expect("the simulator answers").status().is_success());
}

#[tokio::test]
async fn a_look_up_leaves_alone_what_may_be_of_a_call_that_is_not_answered_yet() {
    let mut hatch = Hatch::start_with_clock(NOBODY_DISPATCHES, |settings| {
        as_in_production(settings);
        set_of(settings, "twilio", "http_timeout_ms", json!(4_500));
        // The first look-up is made before the slow answer.
        settings.dispatcher.look_ups_ms = [100, 120_000];
    })
    .await;
    // Its claimant dies before it calls.
    let vanished = hatch.send_sms(SILENT, ALERT).await;
    claim(&hatch, &vanished).await;
    disturb(&hatch, &json!({"mode": "slow", "latency_ms": 2_000})).await;
    let taken = hatch.send_sms(SILENT, ALERT).await;
    hatch.start_more(&[Role::Dispatcher]).await;
    hatch
        .eventually("the provider has one", async |hatch| {
            (hatch.record().await.len() == 1).then_some(())
        })
        .await;
    // That one is answered late, the look-up is not.
    disturb(&hatch, &json!({"mode": "up"})).await;
    hatch.message_with_status(&taken, "sent").await;
    // No call is under way any more: its outcome must be in the log by then.
    hatch.advance(TimeDelta::seconds(10)).await;
    let mut called = Vec::new();
    for id in [&vanished, &taken] {
        let message = hatch.hasten(id, "sent").await;
        called.push(message["provider_message_id"].clone());
    }
    assert_ne!(called[0], called[1], "one was taken for the other");
    hatch.assert_each_sent_once(&[vanished, taken]).await;
    hatch.finish().await;
}

/// Of two dispatchers one waits longer for an answer than the other, whose look-ups know only their own timeout. The
/// first has a clock so far off that it leaves to the other what is due; the other has no part in the bus.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_waits_for_a_call_that_another_dispatcher_waits_for_longer() {
    let hurried = [
        ("HATCH_DISPATCHER__TIMERS_LAG_MS", "200"),
        ("HATCH_DISPATCHER__LOOK_UPS_MS", "100,300"),
        ("HATCH_DISPATCHER__DELIVERY_GRACE_MS", "600000"),
    ];
    let provider = SettableClock::new(0);
    let fleet = Fleet::start_apart(1, &hurried, &provider.path()).await;
    let mut clocks = Clocks::of(&fleet, provider).await;
    let machine = clocks.machine.path();
    let api = [("HATCH_TEST_CLOCK", &*machine)];
    let api = fleet.api_with(0, "command,webhook,relay,projector", &api).await;
    let vanished = alert(&fleet, &api).await;
    // Its claimant dies before it calls.
    claim_in(&fleet.database, &vanished).await;
    let astray = SettableClock::new(70_000);
    let patient = [
        ("HATCH_TWILIO__HTTP_TIMEOUT_MS", "6000"),
        ("HATCH_DISPATCHER__LEASE_MS", "9000"),
        ("HATCH_TEST_CLOCK", &*astray.path()),
    ];
    let _patient = fleet.serve_with("dispatcher", &patient).await;
    fleet.slow_down(3_000).await;
    let taken = alert(&fleet, &api).await;
    eventually("the provider has one", async || (fleet.record().await.len() == 1).then_some(()))
        .await;
    // That one is answered late, the look-up is not.
    fleet.slow_down(0).await;
    let hasty = [
        ("HATCH_TWILIO__HTTP_TIMEOUT_MS", "500"),
        ("HATCH_TWILIO__CONNECT_TIMEOUT_MS", "400"),
        ("HATCH_DISPATCHER__LEASE_MS", "2000"),
        ("HATCH_BUS__PREFIX", "elsewhere"),
        ("HATCH_TEST_CLOCK", &*machine),
    ];
    let _hasty = fleet.serve_with("dispatcher", &hasty).await;
    fleet.has_event(&taken, "MessageSent").await;
    // No call is under way any more: its outcome must be in the log by then.
    clocks.advance(Duration::from_secs(15)).await;
    for id in [&vanished, &taken] {
        fleet.has_event(id, "MessageSent").await;
    }
    let known = "SELECT count(DISTINCT payload->>'provider_message_id') FROM es.events \
        WHERE type = 'MessageSent'";
    assert_eq!(fleet.count(known).await, 2, "one was taken for the other");
    assert_eq!(fleet.record().await.len(), 2);
}

/// Sends an alert by `member`, with no key: it is a message each time.
async fn alert(fleet: &Fleet, member: &Member) -> String {
    let url = format!("{}/api/v1/messages", member.url);
    let answer = fleet.http.post(url).json(&json!({"to": SILENT, "body": ALERT})).send().await;
    let body: Value = answer.expect("an answer").json().await.expect("JSON");
    body["id"].as_str().expect("an id").to_owned()
}

/// Has every COMMIT wait for a standby that there is not, or none.
async fn wait_for_standby(cluster: &Cluster, standby: &str) {
    let session = cluster.connect().await;
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'");
    session.batch_execute(&set).await.expect("set");
    session.batch_execute("SELECT pg_reload_conf()").await.expect("told");
    session.close().await;
}

#[tokio::test]
async fn mails_whose_claims_hang_in_commit_for_longer_than_the_lease_are_sent_afterwards() {
    let cluster = Cluster::start_with(&[]).await;
    let url = cluster.url();
    let mut hatch = Hatch::start_with(NOBODY_DISPATCHES, |settings| {
        settings.database_url = Some(url);
        let dispatcher = &mut settings.dispatcher;
        // Less 3 s for the call and 1 s of margin: half a second for the claim.
        dispatcher.lease_ms = 4_500;
        dispatcher.timers_lag_ms = 200;
        dispatcher.receipt_wait_ms = 300;
        dispatcher.retry.backoff_min_ms = 50;
    })
    .await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let mail = json!({
            "channel": "email", "to": "customer@example.com", "body": format!("number {n}"),
        });
        let answer = hatch.post("/api/v1/messages", &mail).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        ids.push(answer.text("id").to_owned());
    }
    wait_for_standby(&cluster, "nobody").await;
    hatch.start_more(&[Role::Dispatcher]).await;
    hatch
        .eventually("a claim hangs for longer than its lease", async |_| {
            let hangs = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' \
                AND clock_timestamp() - query_start > interval '7 s'";
            (cluster.count(hangs).await > 0).then_some(())
        })
        .await;
    wait_for_standby(&cluster, "").await;
    for id in &ids {
        hatch.message_with_status(id, "delivered").await;
    }
    hatch.assert_each_sent_once(&ids).await;
    hatch.finish().await;
}
