//! The lists read a page, not a table.

use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};

use hatch_domain::Channel;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::message::status::Status;
use hatch_eventstore::Position;

use super::Db;
use crate::history::*;
use crate::messages::query::{conversation_list_sql, message_list_sql};
use crate::{ConversationFilter, Direction, MessageFilter};

const MESSAGES: u32 = 4_000;
const CONVERSATIONS: u32 = 200;
const LIMIT: u32 = 20;
/// A page and the row that tells whether there is more, of three tables, and some to spare.
const ROWS_READ_MAX: f64 = 100.0;

/// Some thousand messages of two tenants; a few came in, and fewer failed.
async fn filled() -> Db {
    let mut history = History::default();
    for n in 0..MESSAGES {
        let tenant = if n % 8 == 0 { OTHER_TENANT } else { TENANT };
        let message = u128::from(n);
        let peer = customer(n % CONVERSATIONS);
        if n % 10 == 0 {
            history.record(tenant, message, received(tenant, &peer, &phone(OURS)));
        } else {
            let request = requested(tenant, &phone(OURS), &peer);
            history.record(tenant, message, MessageRequested { test: n % 50 == 9, ..request });
        }
        if n % 250 == 1 {
            history.record(tenant, message, attempted(1));
            history.record(tenant, message, failed(1));
        }
    }
    let db = Db::with(&history.events).await;
    db.client().await.batch_execute("ANALYZE").await.expect("it can be analysed");
    db
}

/// The plan that the query's own session makes, and how many rows its scans read.
async fn plan(db: &Db, sql: &str, values: &[(&(dyn ToSql + Sync), Type)]) -> (String, f64) {
    let sql = format!("EXPLAIN (ANALYZE, FORMAT JSON) {sql}");
    let row = db.client().await.query_typed_one(&sql, values).await.expect("a plan");
    let plan: Value = row.get(0);
    (format!("{plan:#}"), rows_read(&plan[0]["Plan"]))
}

fn rows_read(node: &Value) -> f64 {
    let number = |key: &str| node[key].as_f64().unwrap_or_default();
    let scans = node["Node Type"].as_str().is_some_and(|kind| kind.ends_with("Scan"));
    let removed = number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
    let read = if scans { (number("Actual Rows") + removed) * number("Actual Loops") } else { 0.0 };
    read + node["Plans"].as_array().into_iter().flatten().map(rows_read).sum::<f64>()
}

#[tokio::test]
async fn every_list_of_messages_reads_a_page_by_an_index() {
    let db = filled().await;
    let all = MessageFilter::default();
    let conversation = requested(TENANT, &phone(OURS), &customer(5)).conversation_id;
    let cases = [
        (all.clone(), "messages_pkey"),
        (
            MessageFilter { participant: Some(customer(5)), ..all.clone() },
            "message_participants_pkey",
        ),
        (
            MessageFilter { participant: Some(phone(OURS)), ..all.clone() },
            "message_participants_pkey",
        ),
        (
            MessageFilter { conversation: Some(conversation), ..all.clone() },
            "messages_by_conversation",
        ),
        (MessageFilter { channel: Some(Channel::Sms), ..all.clone() }, "messages_"),
        (
            MessageFilter { direction: Some(Direction::Inbound), ..all.clone() },
            "messages_by_direction",
        ),
        (MessageFilter { status: Some(Status::Failed), ..all.clone() }, "messages_by_status"),
        (MessageFilter { test: Some(true), ..all.clone() }, "messages_of_tests"),
        (MessageFilter { test: Some(false), ..all.clone() }, "messages_"),
    ];
    for (filter, index) in cases {
        for before in [Position(i64::MAX), Position(2_000)] {
            let (sql, conditions) = message_list_sql(TENANT, &filter, before, LIMIT);
            let (plan, rows) = plan(&db, &sql, &conditions.values()).await;
            assert!(plan.contains(index), "{filter:?} does not use {index}:\n{plan}");
            assert!(!plan.contains("Seq Scan"), "{filter:?}:\n{plan}");
            assert!(rows <= ROWS_READ_MAX, "{filter:?} reads {rows} rows:\n{plan}");
        }
    }
}

#[tokio::test]
async fn every_list_of_conversations_reads_a_page_by_an_index() {
    let db = filled().await;
    let all = ConversationFilter::default();
    let cases = [
        (all.clone(), "conversations_latest"),
        (
            ConversationFilter { participant: Some(customer(5)), ..all.clone() },
            "conversation_participants_pkey",
        ),
        (
            ConversationFilter { participant: Some(phone(OURS)), ..all.clone() },
            "conversations_latest",
        ),
        (ConversationFilter { channel: Some(Channel::Sms), ..all.clone() }, "conversations_latest"),
    ];
    for (filter, index) in cases {
        let (sql, conditions) = conversation_list_sql(TENANT, &filter, Position(i64::MAX), LIMIT);
        let (plan, rows) = plan(&db, &sql, &conditions.values()).await;
        assert!(plan.contains(index), "{filter:?} does not use {index}:\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{filter:?}:\n{plan}");
        assert!(rows <= ROWS_READ_MAX, "{filter:?} reads {rows} rows:\n{plan}");
    }
}
