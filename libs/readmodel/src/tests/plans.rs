//! The lists read a page, not a table.

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use hatch_domain::ids::TenantId;
use hatch_domain::message::event::Channel;
use hatch_domain::message::status::Status;
use hatch_eventstore::Position;

use super::Db;
use crate::history::*;
use crate::query::{conversation_list_sql, message_list_sql};
use crate::{ConversationFilter, Direction, MessageFilter};

const MESSAGES: u32 = 4_000;
const TENANTS: u32 = 8;
const CONVERSATIONS: u32 = 100;

/// Some thousand messages of several tenants; a few came in, and fewer failed.
async fn filled() -> Db {
    let mut history = History::default();
    for n in 0..MESSAGES {
        let tenant = TenantId(Uuid::from_u128(1 + u128::from(n % TENANTS)));
        let (message, n) = (u128::from(n), n / TENANTS);
        let peer = customer(n % CONVERSATIONS);
        if n % 10 == 0 {
            history.record(tenant, message, received(tenant, &peer, &phone(OURS)));
        } else {
            history.record(tenant, message, requested(tenant, &phone(OURS), &peer));
        }
        if n % 50 == 1 {
            history.record(tenant, message, attempted(1));
            history.record(tenant, message, failed(1));
        }
    }
    let db = Db::with(&history.events).await;
    db.client().await.batch_execute("ANALYZE").await.expect("it can be analysed");
    db
}

/// The plan, made as for a session that has no settings of its own.
async fn plan(db: &Db, sql: &str, values: &[(&(dyn ToSql + Sync), Type)]) -> String {
    let client = db.client().await;
    client.batch_execute("SET enable_seqscan = on").await.expect("a lawful setting");
    let rows = client.query_typed(&format!("EXPLAIN {sql}"), values).await.expect("a plan");
    rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
}

#[tokio::test]
async fn every_list_of_messages_reads_by_an_index() {
    let db = filled().await;
    let all = MessageFilter::default();
    let conversation = requested(TENANT, &phone(OURS), &customer(5)).conversation_id;
    let cases = [
        (all.clone(), "messages_pkey"),
        (MessageFilter { participant: Some(customer(5)), ..all.clone() }, "message_participants_pkey"),
        (MessageFilter { conversation: Some(conversation), ..all.clone() }, "messages_by_conversation"),
        (MessageFilter { channel: Some(Channel::Sms), ..all.clone() }, "messages_"),
        (MessageFilter { direction: Some(Direction::Inbound), ..all.clone() }, "messages_by_direction"),
        (MessageFilter { status: Some(Status::Failed), ..all.clone() }, "messages_by_status"),
        (MessageFilter { participant: Some(phone(OURS)), ..all.clone() }, "Index"),
    ];
    for (filter, index) in cases {
        for before in [Position(i64::MAX), Position(2_000)] {
            let (sql, conditions) = message_list_sql(TENANT, &filter, before, 50);
            let plan = plan(&db, &sql, &conditions.parts().1).await;
            assert!(plan.contains(index), "{filter:?} does not use {index}:\n{plan}");
            assert!(!plan.contains("Seq Scan"), "{filter:?}:\n{plan}");
        }
    }
}

#[tokio::test]
async fn every_list_of_conversations_reads_by_an_index() {
    let db = filled().await;
    let all = ConversationFilter::default();
    let cases = [
        (all.clone(), "conversations_latest"),
        (
            ConversationFilter { participant: Some(customer(5)), ..all.clone() },
            "conversation_participants_pkey",
        ),
        (ConversationFilter { participant: Some(phone(OURS)), ..all.clone() }, "conversations_latest"),
        (ConversationFilter { channel: Some(Channel::Sms), ..all.clone() }, "conversations_latest"),
    ];
    for (filter, index) in cases {
        let (sql, conditions) = conversation_list_sql(TENANT, &filter, Position(i64::MAX), 50);
        let plan = plan(&db, &sql, &conditions.parts().1).await;
        assert!(plan.contains(index), "{filter:?} does not use {index}:\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{filter:?}:\n{plan}");
    }
}
