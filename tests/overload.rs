//! More than can be sent: the rest is refused in time, what is accepted is delivered once, and it
//! is over when the load is.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hatch::roles::Role;
use hatch_bus::testing::{Server, TestBus};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::dispatch::NOBODY_DISPATCHES;
use crate::harness::{Answer, CUSTOMER, Hatch};

/// Requests in all, of clients that do not wait when they are told to.
const REQUESTS: usize = 3_000;
const CONNECTIONS: usize = 16;
/// So many wait at most, with what comes in before anybody knows that they wait.
const WAITING_MAX: i64 = 1_000;

async fn send(hatch: &Hatch, key: &str) -> Answer {
    let request = json!({"to": CUSTOMER, "body": key}).to_string();
    let headers = [("idempotency-key", key)];
    hatch.request(Method::POST, "/api/v1/messages", &headers, Some(request)).await
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.body);
    let seconds: u32 = answer.header("retry-after").parse().expect("whole seconds");
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.text("code"), "overloaded");
    let says = |part| answer.text("detail").contains(part);
    assert!(says("wait") || says("under way") || says("on their way"), "{}", answer.body);
    assert!(!answer.text("instance").is_empty());
}

/// Sends without end; what was accepted and what refused, by key.
async fn flood(hatch: &Hatch) -> (BTreeMap<String, String>, Vec<String>) {
    let (accepted, refused) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    let next = AtomicUsize::new(0);
    let clients = (0..CONNECTIONS).map(|_| async {
        while let n @ 0..REQUESTS = next.fetch_add(1, Ordering::Relaxed) {
            let key = format!("number {n}");
            let answer = send(hatch, &key).await;
            if answer.status == StatusCode::ACCEPTED {
                let id = answer.text("id").to_owned();
                accepted.lock().expect("no panic").insert(key, id);
            } else {
                assert_refused(&answer);
                refused.lock().expect("no panic").push(key);
            }
        }
    });
    futures::future::join_all(clients).await;
    (accepted.into_inner().expect("no panic"), refused.into_inner().expect("no panic"))
}

async fn waiting(hatch: &Hatch) -> i64 {
    hatch
        .count(
            "SELECT count(*) FILTER (WHERE type = 'MessageRequested') \
                  - count(*) FILTER (WHERE type = 'SendAttempted') FROM es.events",
        )
        .await
}

async fn accepted_by_and_by(hatch: &Hatch, key: &str) -> String {
    hatch
        .eventually("it is accepted", async |hatch| {
            let answer = send(hatch, key).await;
            if answer.status == StatusCode::ACCEPTED {
                return Some(answer.text("id").to_owned());
            }
            assert_refused(&answer);
            None
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_soon_is_refused_and_what_is_accepted_is_sent_once() {
    // Given a dispatcher that makes two attempts at a time.
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        settings.dispatcher.account_concurrency_max = 2;
        settings.admission.burst = Some(100);
    })
    .await;
    // When clients send as fast as they can, then a part is accepted, and few wait.
    let (mut accepted, refused) = flood(&hatch).await;
    let waits = waiting(&hatch).await;
    assert!(waits < WAITING_MAX, "{waits} wait");
    assert!(refused.len() > REQUESTS / 2, "{} refused", refused.len());
    assert_eq!(accepted.len() + refused.len(), REQUESTS);

    // A batch is refused as a whole where nothing of it was accepted, else item by item.
    let messages: Vec<Value> =
        (0..500).map(|n| json!({"to": CUSTOMER, "body": format!("item {n}")})).collect();
    let batch = hatch.post("/api/v1/messages/batch", &json!({"messages": messages})).await;
    if batch.status == StatusCode::ACCEPTED {
        let items = batch.body["data"].as_array().expect("results");
        for (n, item) in items.iter().enumerate() {
            match item["id"].as_str() {
                Some(id) => drop(accepted.insert(format!("item {n}"), id.to_owned())),
                None => assert_eq!(item["error"]["status"], 429, "{item}"),
            }
        }
        assert!(items.iter().any(|item| item["error"]["status"] == 429), "not all of it");
    } else {
        assert_refused(&batch);
    }

    // When the load has ended, what was refused is accepted under the same key, by itself.
    for key in &refused[..3] {
        accepted.insert(key.clone(), accepted_by_and_by(&hatch, key).await);
    }
    // Then everything that was accepted is delivered, once, and nothing else is in the log.
    let ids: Vec<String> = accepted.into_values().collect();
    for id in &ids {
        hatch.message_with_status(id, "delivered").await;
    }
    hatch.assert_each_sent_once(&ids).await;
    let requested = "SELECT count(*) FROM es.events WHERE type = 'MessageRequested'";
    assert_eq!(usize::try_from(hatch.count(requested).await), Ok(ids.len()));
    let metrics = hatch.get("/metrics").await.body;
    let metrics = metrics.as_str().expect("text");
    let counted = format!("hatch_admission_admitted_total{{}} {}", ids.len());
    assert!(metrics.contains(&counted), "{metrics}");
    assert!(metrics.contains("hatch_admission_refused_total{reason=\""), "{metrics}");
    hatch.finish().await;
}

#[tokio::test]
async fn with_nats_away_nothing_is_refused_for_what_the_dispatchers_have_not_taken() {
    let mut server = Server::start().await;
    let bus = TestBus::create_at(&server.url()).await;
    let hatch = Hatch::start_on(bus, &Role::ALL, |settings| {
        settings.dispatcher.timers_lag_ms = 200;
        settings.dispatcher.delivery_grace_ms = 500;
        settings.admission.burst = Some(200);
    })
    .await;
    let before = Mutex::new(Vec::new());
    // What was told just before counts for a second: it has to be seen coming, or it comes afterwards.
    hatch
        .eventually("the dispatchers tell how far the queue is", async |hatch| {
            let id = hatch.send_sms(CUSTOMER, "before").await;
            hatch.message_with_status(&id, "delivered").await;
            before.lock().expect("one thread").push(id);
            let metrics = hatch.get("/metrics").await;
            metrics.body.as_str()?.contains("window=\"sms.normal\"").then_some(())
        })
        .await;
    server.kill();
    hatch
        .eventually("nobody tells how far the queue is", async |hatch| {
            let (ready, metrics) = (hatch.get("/ready").await, hatch.get("/metrics").await);
            let unknown = !metrics.body.as_str()?.contains("window=\"sms.normal\"");
            (ready.body["status"] == "degraded" && unknown).then_some(())
        })
        .await;
    let mut ids = before.into_inner().expect("one thread");
    for n in 0..400 {
        ids.push(hatch.send_sms(CUSTOMER, &format!("away {n}")).await);
    }
    for id in &ids {
        hatch.message_with_status(id, "delivered").await;
    }
    hatch.assert_each_sent_once(&ids).await;
    hatch.finish().await;
}

#[tokio::test]
async fn with_nobody_to_send_them_messages_are_accepted_up_to_the_bound_on_all_that_waits() {
    let mut hatch = Hatch::start_with(NOBODY_DISPATCHES, |settings| {
        settings.admission.waiting_max = 40;
    })
    .await;
    let refused = hatch
        .eventually("the bound holds", async |hatch| {
            let answer = send(hatch, &format!("number {}", crate::harness::unique())).await;
            (answer.status != StatusCode::ACCEPTED).then_some(answer)
        })
        .await;
    assert_refused(&refused);
    assert!(hatch.log_length().await >= 40, "not before");
    hatch.start_more(&[Role::Dispatcher]).await;
    let id = accepted_by_and_by(&hatch, "after").await;
    hatch.message_with_status(&id, "delivered").await;
    hatch.finish().await;
}

/// More than are taken at a time while webhooks are behind, fewer than are a crowd by themselves.
const AT_A_TIME: usize = 60;

async fn send_together(hatch: &Hatch) -> Vec<Answer> {
    let keys: Vec<String> =
        (0..AT_A_TIME).map(|n| format!("{} {n}", crate::harness::unique())).collect();
    futures::future::join_all(keys.iter().map(|key| send(hatch, key))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_webhooks_wait_too_long_fewer_messages_are_taken_at_a_time() {
    let hatch = Hatch::start().await;
    let behind = "INSERT INTO hatch.webhooks_behind (at) VALUES (now()) \
                  ON CONFLICT (single) DO UPDATE SET at = now()";
    let client = hatch.database.connect().await;
    let refused = hatch
        .eventually("some are refused", async |hatch| {
            client.batch_execute(behind).await.expect("it can be said");
            let answers = send_together(hatch).await;
            let mut refused = answers.into_iter().filter(|answer| !answer.status.is_success());
            // Not for what waits to be sent, of which there may be too much by now as well.
            refused.find(|answer| answer.text("detail").contains("on their way into the log"))
        })
        .await;
    assert_refused(&refused);
    // When nobody says so any more, and all is sent, then there is no limit, by itself.
    hatch
        .eventually("nothing limits them", async |hatch| {
            let metrics = hatch.get("/metrics").await.body;
            let unlimited = "hatch_admission_limit_messages{window=\"log\"} inf";
            let metrics = metrics.as_str()?;
            let is_sent = !metrics.contains("window=\"sms.normal\"");
            (is_sent && metrics.contains(unlimited)).then_some(())
        })
        .await;
    let answers = send_together(&hatch).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::ACCEPTED));
    hatch.finish().await;
}
