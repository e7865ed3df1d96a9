//! Many at once: everything sent is delivered once, and the log agrees with the simulator.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Hatch, SENDER};

const MESSAGES: usize = 2_000;
const CONNECTIONS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_sends_from_32_connections_are_delivered_once_each() {
    let hatch = Hatch::start().await;
    let (started, next) = (Instant::now(), AtomicUsize::new(0));
    let clients = (0..CONNECTIONS).map(|_| async {
        while let n @ 0..MESSAGES = next.fetch_add(1, Ordering::Relaxed) {
            let to = format!("+1804556{:04}", n % 200);
            let request = json!({"from": SENDER, "to": to, "body": format!("number {n}")});
            accept(&hatch, &format!("key {n}"), &request.to_string()).await;
        }
    });
    futures::future::join_all(clients).await;
    let accepted_in = started.elapsed();
    hatch
        .eventually("all are delivered", async |hatch| {
            let delivered = "SELECT count(*) FROM rm.messages WHERE status = 'delivered'";
            (hatch.count(delivered).await == MESSAGES as i64).then_some(())
        })
        .await;
    report("accepted", accepted_in.as_secs_f64());
    report("delivered", started.elapsed().as_secs_f64());

    hatch
        .eventually("all answers are recorded", async |hatch| {
            // Twice for a message whose receipt overtook the answer, which then brings its parts.
            let sent = "SELECT count(DISTINCT stream_id) FROM es.events WHERE type = 'MessageSent'";
            (hatch.count(sent).await == MESSAGES as i64).then_some(())
        })
        .await;
    let sent = by_message(&hatch).await;
    assert_eq!(sent.len(), MESSAGES);
    let record = hatch.record().await;
    assert_eq!(record.len(), MESSAGES);
    for line in record {
        let id = line["hatch_message_id"].as_str().expect("an id");
        assert_eq!(
            Some(line["provider_message_id"].as_str().expect("an id")),
            sent.get(id).map(String::as_str)
        );
        assert_eq!(line["calls"], 1);
    }
    for once in ["MessageRequested", "SendAttempted", "MessageDelivered"] {
        let events = format!("SELECT count(*) FROM es.events WHERE type = '{once}'");
        assert_eq!(hatch.count(&events).await, MESSAGES as i64, "{once}");
    }
    let dense = "SELECT count(*) FROM es.events WHERE position > (SELECT count(*) FROM es.events)";
    assert_eq!(hatch.count(dense).await, 0);
    hatch.finish().await;
}

/// Sends until it is accepted: a machine that is slow enough refuses some for a while.
async fn accept(hatch: &Hatch, key: &str, request: &str) {
    let headers = [("idempotency-key", key)];
    loop {
        let path = "/api/v1/messages";
        let answer = hatch.request(Method::POST, path, &headers, Some(request.to_owned())).await;
        if answer.status == StatusCode::ACCEPTED {
            return;
        }
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.body);
        let seconds = answer.header("retry-after").parse().expect("whole seconds");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// What the log says the provider calls each message.
async fn by_message(hatch: &Hatch) -> BTreeMap<String, String> {
    let sql = "SELECT stream_id::text, payload->>'provider_message_id' FROM es.events \
        WHERE type = 'MessageSent'";
    let rows = hatch.rows(sql).await;
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[expect(
    clippy::print_stderr,
    reason = "a figure for whoever runs this by hand; nothing judges it"
)]
fn report(what: &str, seconds: f64) {
    eprintln!("{what}: {:.0}/s", MESSAGES as f64 / seconds);
}
