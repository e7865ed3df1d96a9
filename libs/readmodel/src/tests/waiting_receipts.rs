//! Receipts that wait for their message.

use chrono::{DateTime, TimeDelta, Utc};
use hatch_eventstore::Position;
use uuid::Uuid;

use super::Db;
use crate::WebhookOutcome as Outcome;
use crate::history::*;

const WEBHOOK: Uuid = Uuid::from_u128(77);

async fn waiting(db: &Db, id: u128, received_at: DateTime<Utc>) {
    let client = db.client().await;
    client
        .execute(
            "INSERT INTO hatch.waiting_receipts
             VALUES ($1, $2, $3, 'twilio', $4, 'SM1', '{\"n\": 1}', $5, $5)",
            &[&Uuid::from_u128(id), &WEBHOOK, &TENANT.0, &ACCOUNT, &received_at],
        )
        .await
        .expect("it is kept");
}

async fn quarantined(db: &Db) -> String {
    let client = db.client().await;
    client
        .execute(
            "INSERT INTO hatch.webhook_log (id, tenant_id, provider, outcome, detail, method,
                                            path_and_query, headers, body, received_at)
             SELECT $1, $2, 'twilio', 'quarantined', 'waiting_for_message: SM1', 'POST', '/',
                    '{}', '', now()
              WHERE NOT EXISTS (SELECT FROM hatch.webhook_log WHERE id = $1)",
            &[&WEBHOOK, &TENANT.0],
        )
        .await
        .expect("it is logged");
    let row = client.query_one("SELECT outcome FROM hatch.webhook_log", &[]).await;
    row.expect("one").get(0)
}

#[tokio::test]
async fn one_is_matched_when_its_message_is_known_and_looked_for_ever_less_often() {
    let db = Db::new().await;
    let read_model = db.read_model();
    let take = async |now| {
        let taken = read_model.take_waiting_receipts(now, 10, 1.0).await;
        taken.expect("they can be read")
    };
    waiting(&db, 1, at(100)).await;
    assert_eq!(quarantined(&db).await, "quarantined");
    let first = take(at(100)).await;
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].sent_as, &first[0].receipt["n"]), (None, &1.into()));
    assert_eq!(take(at(100)).await, [], "it is put off");
    assert_eq!(take(at(101)).await.len(), 1);
    let late = at(100) + TimeDelta::hours(4);
    assert_eq!(take(late).await.len(), 1);
    assert_eq!(take(late + TimeDelta::minutes(59)).await, []);

    let mut history = History::default();
    history.record(TENANT, 1, requested(TENANT, &phone(OURS), &customer(1)));
    history.record(TENANT, 1, attempted(1));
    history.record(TENANT, 1, sent(1));
    db.advance(Position::START, &history.events).await.expect("a lawful history");
    let found = take(late + TimeDelta::hours(1)).await;
    let sent_as = found[0].sent_as.expect("it is known now");
    assert_eq!((sent_as.message_id, sent_as.attempt), (id(1), 1));

    for _ in 0..2 {
        let settled = read_model.settle_waiting_receipt(&found[0], Outcome::Applied, "matched");
        settled.await.expect("it can be settled");
    }
    assert_eq!(quarantined(&db).await, "applied");
    assert_eq!(take(at(1_000_000)).await, []);
}

#[tokio::test]
async fn a_webhook_stays_in_quarantine_until_its_last_receipt_is_settled() {
    let db = Db::new().await;
    let read_model = db.read_model();
    waiting(&db, 1, at(1)).await;
    waiting(&db, 2, at(2)).await;
    assert_eq!(quarantined(&db).await, "quarantined");
    let both = read_model.take_waiting_receipts(at(3), 10, 1.0).await.expect("they can be read");
    assert_eq!(both.len(), 2);
    for (receipt, outcome) in both.iter().zip(["quarantined", "applied"]) {
        let settled = read_model.settle_waiting_receipt(receipt, Outcome::Applied, "matched");
        settled.await.expect("settled");
        assert_eq!(quarantined(&db).await, outcome);
    }
}

#[tokio::test]
async fn what_was_never_matched_waits_no_more() {
    // One that its message refused is there for another reason, and stays whatever is settled later.
    for (told, outcome) in [
        (&[(Outcome::Ignored, "too old")][..], "ignored"),
        (&[(Outcome::Quarantined, "refused"), (Outcome::Ignored, "too old")], "quarantined"),
    ] {
        let db = Db::new().await;
        let read_model = db.read_model();
        assert_eq!(quarantined(&db).await, "quarantined");
        for (id, (becomes, detail)) in (1..).zip(told) {
            waiting(&db, id, at(1)).await;
            let due = read_model.take_waiting_receipts(at(1), 10, 1.0).await.expect("readable");
            let settled = read_model.settle_waiting_receipt(&due[0], *becomes, detail);
            settled.await.expect("settled");
        }
        assert_eq!(quarantined(&db).await, outcome);
    }
}
