//! The dispatcher's queues are in the memory of NATS, and begin again where the timers' fold stands.

use std::time::{Duration, Instant};

use hatch::roles::Role;
use hatch::settings::Settings;
use hatch_bus::StreamState;
use hatch_bus::testing::{Server, TestBus};
use reqwest::StatusCode;

use crate::harness::{CUSTOMER, Hatch};
use crate::kept::metric;

/// Settled requests that lie in the stream, unless the environment says how many.
const SETTLED: i64 = 10_000;

/// Says how many settled requests lie in the stream.
const SETTLED_VARIABLE: &str = "HATCH_TEST_SETTLED_REQUESTS";

/// What the stream takes of the disk for each of them, at most.
const SETTLED_BYTES: i64 = 8 << 10;

/// Messages under way when the server dies, and sent after it.
const UNDER_WAY: usize = 20;

/// What a message may be late by: the lag and the grace below take under a second of it, the rest is for a
/// busy machine and for the server's way back.
const LATE_MAX: Duration = Duration::from_secs(30);

/// Appends that lost against another, at most: one for each message of a few seconds.
const CONFLICTS_MAX: f64 = 4.0 * UNDER_WAY as f64;

fn hurried(settings: &mut Settings) {
    settings.dispatcher.timers_lag_ms = 200;
    settings.dispatcher.delivery_grace_ms = 500;
}

#[tokio::test]
async fn queues_that_nats_has_lost_begin_where_the_timers_stand() {
    let mut server = Server::start().await;
    let others: Vec<Role> =
        Role::ALL.into_iter().filter(|role| *role != Role::Dispatcher).collect();
    let settled_requests = settled_requests();
    let bus = TestBus::create_sized(&server.url(), settled_requests * SETTLED_BYTES).await;
    let mut hatch = Hatch::start_on(bus, &others, hurried).await;
    let settled = hatch.send_sms(CUSTOMER, "taken back").await;
    let canceled = hatch.post(&format!("/api/v1/messages/{settled}/cancel"), &().into()).await;
    assert_eq!(canceled.status, StatusCode::OK, "{}", canceled.body);
    let head = multiply(&hatch, &settled, settled_requests).await;
    hatch
        .eventually("all of it is published", async |hatch| {
            let state = hatch.bus.stream_state().await.ok()?;
            let StreamState::Present { last_sequence, .. } = state else { return None };
            (last_sequence >= head).then_some(())
        })
        .await;

    hatch.stop().await;
    hatch.start_again(&Role::ALL).await;
    let first = hatch.send_sms(CUSTOMER, "the first").await;
    hatch.message_with_status(&first, "delivered").await;
    let before = conflicts(&hatch).await;
    assert!(before <= CONFLICTS_MAX, "{before} when the queues were made");

    let mut ids = Vec::new();
    for n in 0..UNDER_WAY {
        ids.push(hatch.send_sms(CUSTOMER, &format!("under way {n}")).await);
    }
    server.kill();
    let sent = Instant::now();
    for n in 0..UNDER_WAY {
        ids.push(hatch.send_sms(CUSTOMER, &format!("while it is away {n}")).await);
    }
    server.start_again();
    for n in 0..UNDER_WAY {
        ids.push(hatch.send_sms(CUSTOMER, &format!("when it is back {n}")).await);
    }
    for id in &ids {
        hatch.message_with_status(id, "delivered").await;
    }
    let late = sent.elapsed();
    assert!(late < LATE_MAX, "{late:?}");
    hatch
        .eventually("the queue is there again", async |hatch| {
            let report = hatch.bus.inspect().await.ok()??;
            let queue = report.queues.iter().find(|queue| queue.name.contains("_sms_normal"))?;
            (queue.waiting == 0 && queue.unacknowledged == 0).then_some(())
        })
        .await;
    let after = conflicts(&hatch).await - before;
    assert!(after <= CONFLICTS_MAX, "{after} when the queues were made again");
    ids.push(first);
    hatch.assert_each_sent_once(&ids).await;
    hatch.finish().await;
}

async fn conflicts(hatch: &Hatch) -> f64 {
    metric(hatch, "hatch_appends_total{outcome=\"conflict\"}").await
}

fn settled_requests() -> i64 {
    let given = std::env::var(SETTLED_VARIABLE).ok();
    given.map_or(SETTLED, |given| given.parse().expect("a number of requests"))
}

/// Copies a settled message `count` times to the end of the log; the timers are taken to know all of it.
async fn multiply(hatch: &Hatch, message: &str, count: i64) -> i64 {
    let session = hatch.database.connect().await;
    let copies = format!(
        "SELECT pg_advisory_xact_lock(7521420822987960167);
         SELECT es.ensure_partitions(3);
         CREATE TEMP TABLE copy ON COMMIT DROP AS
             SELECT n, gen_random_uuid() AS id FROM generate_series(1, {count}) n;
         INSERT INTO es.streams
             SELECT (jsonb_populate_record(s, jsonb_build_object('stream_id', c.id))).*
               FROM es.streams s, copy c WHERE s.stream_id = '{message}';
         WITH head AS (SELECT max(position) AS position FROM es.events)
         INSERT INTO es.events (position, stream_id, version, tenant_id, event_id, type, schema_version,
                                epoch, recorded_at, aggregate, conversation_id, channel, priority,
                                metadata, payload)
             SELECT head.position + (c.n - 1) * s.version + e.version, c.id, e.version, e.tenant_id,
                    gen_random_uuid(), e.type, e.schema_version, e.epoch, e.recorded_at, e.aggregate,
                    e.conversation_id, e.channel, e.priority, e.metadata, e.payload
               FROM copy c, head, es.events e JOIN es.streams s USING (stream_id)
              WHERE e.stream_id = '{message}';
         INSERT INTO es.checkpoints (name, version, position, epoch)
             SELECT 'timers', 1, position, epoch FROM es.events ORDER BY position DESC LIMIT 1
             ON CONFLICT (name, version) DO UPDATE SET position = EXCLUDED.position"
    );
    session.batch_execute(&format!("BEGIN; {copies}; COMMIT")).await.expect("copies");
    session.close().await;
    hatch.count("SELECT max(position) FROM es.events").await
}
