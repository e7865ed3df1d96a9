//! What is kept of webhooks: the partitions that come and go, and the rows in them.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Object;
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use hatch_eventstore::testing::TestDatabase;
use refinery::Target;
use tokio_postgres::error::SqlState;
use uuid::{NoContext, Timestamp, Uuid};

use super::Db;
use crate::history::TENANT;
use crate::{KeptKind, Page, QueryError, ReadModel, WebhookFilter, WebhookOutcome as Outcome};

const INSERT: &str = "INSERT INTO hatch.webhook_log (id, tenant_id, provider, outcome, method,
        path_and_query, headers, body, received_at)
    VALUES ($1, $2, 'twilio', $3, 'POST', '/', '{}', $4, $5)";

/// The last version of the schema whose webhook log has no partitions.
const BEFORE_PARTITIONS: i32 = 20;

fn days_ago(days: i64) -> DateTime<Utc> {
    SystemEnvironment.now() - TimeDelta::days(days)
}

/// An id as one that came at `at` has.
fn id_of(at: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(at.timestamp()).expect("after 1970");
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.timestamp_subsec_nanos()))
}

async fn came(client: &Object, outcome: &str, at: DateTime<Utc>) -> Uuid {
    let id = id_of(at);
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&id, &TENANT.0, &outcome, &&b"body"[..], &at];
    client.execute(INSERT, &values).await.expect("it is kept");
    id
}

/// How many rows each table has.
async fn tables(client: &Object) -> BTreeMap<String, i64> {
    let sql = "SELECT c.relname::text, count(*) FROM hatch.webhook_log l JOIN pg_class c ON c.oid = l.tableoid
        GROUP BY 1";
    let rows = client.query(sql, &[]).await.expect("readable");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn drop_all_before(read_model: &ReadModel, kind: KeptKind, before: DateTime<Utc>) -> usize {
    let kept = read_model.kept().await.expect("readable");
    let kept = kept.into_iter().find(|kept| kept.kind == kind).expect("every kind");
    let old: Vec<_> = kept.partitions.iter().filter(|one| one.until <= before).collect();
    for partition in &old {
        persist(async || read_model.drop_webhook_partition(&partition.name).await).await;
    }
    old.len()
}

/// Tries again while the tables are in use, as whoever calls these functions does.
async fn persist<T>(call: impl AsyncFn() -> Result<T, QueryError>) -> T {
    let asked = async {
        loop {
            match call().await {
                Err(error) if error.is_busy() => tokio::task::yield_now().await,
                done => return done.expect("it may"),
            }
        }
    };
    let asked = tokio::time::timeout(std::time::Duration::from_secs(60), asked).await;
    asked.expect("the tables were in use all the time")
}

/// A database of the application's role, which owns nothing.
async fn as_application() -> Db {
    let mut db = Db::new().await;
    let mut config = db.database.config();
    config.options("-c role=hatch_app");
    db.pool = hatch_eventstore::pool(&config, 8, std::time::Duration::from_secs(5));
    db
}

#[tokio::test]
async fn rows_from_before_the_partitions_are_read_as_before() {
    let database = TestDatabase::create().await;
    let mut migrating = database.connect().await;
    migrating.batch_execute("CREATE SCHEMA rm").await.expect("made");
    let mut runner = crate::migrations::runner().set_target(Target::Version(BEFORE_PARTITIONS));
    runner.set_migration_table_name("rm.schema_history");
    runner.run_async(&mut *migrating).await.expect("the old schema");
    let pool = hatch_eventstore::pool(&database.config(), 4, std::time::Duration::from_secs(5));
    let client = pool.get().await.expect("a connection");
    let mut ids = Vec::new();
    for (n, outcome) in ["applied", "duplicate", "ignored", "rejected_signature", "quarantined"]
        .into_iter()
        .enumerate()
    {
        for days in [0, 3, 400] {
            let at = days_ago(days) - TimeDelta::minutes(i64::try_from(n).expect("small"));
            ids.push((at, came(&client, outcome, at).await));
        }
    }
    let whole = ids[2].1;
    let body = "INSERT INTO hatch.webhook_bodies VALUES ($1, 'the whole body')";
    client.execute(body, &[&whole]).await.expect("kept");
    // No id of our own.
    let foreign = Uuid::from_u128(0xabcd);
    let at = days_ago(50);
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&foreign, &TENANT.0, &"quarantined", &&b"body"[..], &at];
    client.execute(INSERT, &values).await.expect("kept");
    ids.push((at, foreign));

    crate::SCHEMA.migrate(&mut migrating).await.expect("migrated");
    let read_model = ReadModel::new(pool.clone());
    for (_, id) in &ids {
        let found = read_model.webhook(TENANT, *id).await.expect("readable").expect("there");
        let expected = if *id == whole { &b"the whole body"[..] } else { b"body" };
        assert_eq!(found.body, expected);
    }
    ids.sort_unstable();
    let (mut listed, mut page) = (Vec::new(), Page { limit: 3, cursor: None });
    loop {
        let list = read_model.webhooks(TENANT, &WebhookFilter::default(), &page).await;
        let list = list.expect("readable");
        listed.extend(list.data.iter().map(|webhook| webhook.id));
        let Some(cursor) = list.next_cursor else { break };
        page.cursor = Some(cursor);
    }
    let expected: Vec<Uuid> = ids.iter().rev().map(|(_, id)| *id).collect();
    assert_eq!(listed, expected, "the newest first, over all partitions");
    assert_eq!(read_model.quarantine(TENANT).await.expect("readable").count, 4);
    migrating.close().await;
}

#[tokio::test]
async fn the_application_drops_what_is_old_and_nothing_else() {
    let db = as_application().await;
    let (client, read_model) = (db.client().await, db.read_model());
    persist(async || read_model.ensure_webhook_partitions(days_ago(40), 31).await).await;
    persist(async || read_model.ensure_webhook_partitions(days_ago(10), 10).await).await;
    let mut ids = Vec::new();
    for outcome in ["applied", "rejected_signature", "quarantined"] {
        for days in [0, 20, 35] {
            ids.push(came(&client, outcome, days_ago(days)).await);
        }
    }
    // A mail whose files are nowhere else.
    let mail = came(&client, "applied", days_ago(35)).await;
    read_model.keep_webhook_body(mail, b"all of it").await.expect("kept");

    assert!(drop_all_before(&read_model, KeptKind::Applied, days_ago(30)).await > 5);
    let mut left = Vec::new();
    for id in ids.into_iter().chain([mail]) {
        let found = read_model.webhook(TENANT, id).await.expect("readable");
        left.push(found.map(|found| found.body.len()));
    }
    let body = Some(4);
    assert_eq!(left, [body, body, None, body, body, body, body, body, body, Some(9)]);
    let emptied = read_model.empty_webhook_net(KeptKind::Applied, days_ago(30), 100).await;
    assert_eq!(emptied.expect("it may"), 0, "the row stays with the body");

    for statement in [
        "DELETE FROM hatch.webhook_log",
        "TRUNCATE hatch.webhook_log_refused",
        "DROP TABLE hatch.webhook_log_refused_default",
        "SELECT hatch.create_webhook_partition('applied', 'mine', now(), now())",
        "SELECT count(*) FROM hatch.webhook_log_applied_default",
    ] {
        let error = client.batch_execute(statement).await.expect_err(statement);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}");
    }
    let today = format!("webhook_log_applied_{}", SystemEnvironment.now().format("%Y%m%d"));
    for name in [today.as_str(), "webhook_log_applied_default"] {
        assert!(read_model.drop_webhook_partition(name).await.is_err(), "{name}");
    }
    for none in ["events_000000", "webhook_log_applied", "webhook_log_applied_20010101"] {
        assert_eq!(read_model.drop_webhook_partition(none).await.expect("nothing to do"), None);
    }
    client.query("SELECT FROM es.events_000000", &[]).await.expect_err("only by its table");
    client.query("SELECT FROM es.events", &[]).await.expect("the log is as it was");
}

#[tokio::test]
async fn many_at_once_make_and_drop_each_partition_once() {
    let db = as_application().await;
    let read_model = db.read_model();
    let many = (0..4).map(|_| async {
        let make = async || read_model.ensure_webhook_partitions(days_ago(40), 3).await;
        let made = persist(make).await;
        let dropped = drop_all_before(&read_model, KeptKind::Refused, days_ago(30)).await;
        (made, dropped)
    });
    let done = futures::future::join_all(many).await;
    assert!(done.iter().any(|(made, _)| *made > 0), "{done:?}");
    let kept = read_model.kept().await.expect("readable");
    assert!(kept[0].partitions.iter().all(|one| one.until > days_ago(30)), "{:?}", kept[0]);
}

#[tokio::test]
async fn what_finds_no_partition_is_kept_and_moves_to_it_when_it_is_made() {
    let db = Db::new().await;
    let (client, read_model) = (db.client().await, db.read_model());
    let at = SystemEnvironment.now() + TimeDelta::days(20);
    let late = days_ago(60);
    came(&client, "applied", at).await;
    came(&client, "applied", late).await;
    let net = "webhook_log_applied_default".to_owned();
    assert_eq!(tables(&client).await, BTreeMap::from([(net.clone(), 2)]));
    persist(async || read_model.ensure_webhook_partitions(at, 0).await).await;
    let own = format!("webhook_log_applied_{}", at.format("%Y%m%d"));
    assert_eq!(tables(&client).await, BTreeMap::from([(net, 1), (own.clone(), 1)]));
    let emptied = read_model.empty_webhook_net(KeptKind::Applied, days_ago(30), 100).await;
    assert_eq!(emptied.expect("it may"), 1);
    assert_eq!(tables(&client).await, BTreeMap::from([(own, 1)]));
}

#[tokio::test]
async fn a_webhook_that_leaves_the_quarantine_is_kept_with_those_of_its_new_outcome() {
    let db = as_application().await;
    let (client, read_model) = (db.client().await, db.read_model());
    let id = came(&client, "quarantined", SystemEnvironment.now()).await;
    read_model.release_webhook(id, Outcome::Applied, "understood").await.expect("released");
    let found = read_model.webhook(TENANT, id).await.expect("readable").expect("there");
    assert_eq!(found.webhook.outcome, "applied");
    let today = format!("webhook_log_applied_{}", SystemEnvironment.now().format("%Y%m%d"));
    assert_eq!(tables(&client).await, BTreeMap::from([(today, 1)]));
    assert_eq!(read_model.quarantine(TENANT).await.expect("readable").count, 0);
}
