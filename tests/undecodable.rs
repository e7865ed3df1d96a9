//! Requests that this build cannot read, as a newer one's: they hold up nobody else.

use hatch::roles::Role;
use hatch_domain::ids::TenantId;

use crate::dispatch::NOBODY_DISPATCHES;
use crate::harness::{CUSTOMER, Hatch};

/// One more than a queue hands out without an answer.
const MANY: i64 = 1_001;

#[tokio::test]
async fn requests_that_nobody_here_can_read_do_not_fill_a_queue() {
    let mut hatch = Hatch::start_with(NOBODY_DISPATCHES, |settings| {
        // So long that only the bus can bring the message to the dispatcher in time.
        settings.dispatcher.delivery_grace_ms = 600_000;
        // The projection halts at them, and is behind from then on.
        settings.admission.enabled = false;
    })
    .await;
    request_of_the_future(&hatch, MANY).await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.start_more(&[Role::Dispatcher]).await;
    hatch
        .eventually("what comes after them is sent", async |hatch| {
            (hatch.record().await.len() == 1).then_some(())
        })
        .await;
    hatch.assert_each_sent_once(&[id]).await;
    hatch.finish().await;
}

/// As a newer hatch would, whose requests this build does not know.
async fn request_of_the_future(hatch: &Hatch, count: i64) {
    let session = hatch.database.connect().await;
    let (tenant, lock) = (TenantId::DEFAULT.0, i64::from_be_bytes(*b"hatchlog"));
    session
        .execute(
            "WITH head AS (SELECT pg_advisory_xact_lock($2), \
                      coalesce((SELECT max(position) FROM es.events), 0) AS last), \
                  stream AS (INSERT INTO es.streams SELECT gen_random_uuid(), $1, 1 \
                      FROM generate_series(1, $3::bigint) RETURNING stream_id) \
             INSERT INTO es.events (position, stream_id, version, tenant_id, event_id, type, \
                 schema_version, epoch, recorded_at, aggregate, channel, priority, metadata, payload) \
             SELECT last + row_number() OVER (), stream_id, 1, $1, gen_random_uuid(), \
                 'MessageRequested', 9, 1, now(), 'message', 'sms', 'normal', \
                 '{\"correlation_id\": \"00000000-0000-0000-0000-000000000000\", \
                 \"actor\": \"test\"}', '{}' FROM head, stream",
            &[&tenant, &lock, &count],
        )
        .await
        .expect("appended");
    session.close().await;
}
