//! A projection that meets an event of the future halts, and nothing else does.

use hatch_domain::ids::TenantId;
use reqwest::StatusCode;

use crate::harness::{CUSTOMER, Hatch};

#[tokio::test]
async fn a_halted_projection_is_shown_and_stops_nobody_else() {
    let hatch = Hatch::start().await;
    let first = hatch.send_sms(CUSTOMER, "before").await;
    hatch.message_with_status(&first, "delivered").await;
    append_an_event_of_the_future(&hatch).await;
    hatch
        .eventually("the projection is halted", async |hatch| {
            let projections = hatch.get("/api/v1/projections").await;
            (projections.body["data"][0]["status"] == "halted").then_some(())
        })
        .await;
    let second = hatch.send_sms(CUSTOMER, "after").await;
    hatch
        .eventually("messages are still sent", async |hatch| {
            let types = hatch.event_types(&second).await;
            types.contains(&"MessageDelivered".to_owned()).then_some(())
        })
        .await;
    assert_eq!(hatch.get("/api/v1/messages").await.status, StatusCode::OK);
    hatch.finish().await;
}

/// As a newer hatch would, whose events this build does not know.
pub(crate) async fn append_an_event_of_the_future(hatch: &Hatch) {
    append(hatch, "message", "MessageTeleported", 1, "now()").await;
}

/// Appends an event in a stream of its own, as the owner of the tables, and returns the stream's id.
pub(crate) async fn append(
    hatch: &Hatch,
    aggregate: &str,
    event_type: &str,
    schema_version: i16,
    recorded_at: &str,
) -> String {
    let session = hatch.database.connect().await;
    let tenant = TenantId::DEFAULT.0;
    let sql = format!(
        "WITH head AS (SELECT max(position) + 1 AS next FROM es.events), \
              stream AS (INSERT INTO es.streams VALUES (gen_random_uuid(), $1, 1, $4) RETURNING *) \
         INSERT INTO es.events (position, stream_id, version, tenant_id, event_id, type, \
             schema_version, epoch, recorded_at, aggregate, metadata, payload) \
         SELECT coalesce(next, 1), stream_id, 1, $1, gen_random_uuid(), $2, $3, 1, {recorded_at}, $4, \
             '{{\"correlation_id\": \"00000000-0000-0000-0000-000000000000\", \
             \"actor\": \"test\"}}', '{{}}' FROM head, stream RETURNING stream_id::text"
    );
    let lock = i64::from_be_bytes(*b"hatchlog");
    // In a statement before the one that reads the head, or that would not see what was appended meanwhile.
    let begin = format!("BEGIN; SELECT pg_advisory_xact_lock({lock})");
    session.batch_execute(&begin).await.expect("locked");
    let row = session
        .query_one(&sql, &[&tenant, &event_type, &schema_version, &aggregate])
        .await
        .expect("appended");
    session.batch_execute("COMMIT").await.expect("committed");
    session.close().await;
    row.get(0)
}
