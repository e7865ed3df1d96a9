//! The figures as PostgreSQL adds and reads them.

use hatch_domain::Environment as _;
use hatch_eventstore::testing::{Template, TestDatabase};
use hatch_eventstore::{SystemEnvironment, pool};
use hatch_readmodel::PROJECTIONS;
use tokio_postgres::types::Type;

use super::*;

const TEMPLATE: Template = Template {
    name: "dispatch_balance",
    schemas: || {
        let read = hatch_readmodel::schemas(PROJECTIONS).into_iter();
        read.chain([hatch_due::SCHEMA, crate::SCHEMA]).collect()
    },
    sql: "",
};

/// Messages of two accounts: a fifth that nobody told of, a seventh that failed, and the rest delivered, of which an
/// eleventh late.
const MESSAGES: &str = "
    INSERT INTO rm_messages_v1.messages
           (created_position, id, tenant_id, conversation_id, contact_id, direction, channel, from_address,
            to_addresses, cc, bcc, attachments, metadata, created_at, test)
    SELECT n, gen_random_uuid(), ('00000000-0000-0000-0000-00000000000' || (n % 2 + 1))::uuid,
           gen_random_uuid(), gen_random_uuid(), CASE WHEN n % 10 = 0 THEN 'inbound' ELSE 'outbound' END,
           'sms', '+12016661234', '[\"+447700900123\"]', '[]', '[]', '[]', '{}', now(), n % 50 = 9
      FROM generate_series(1, 20000) AS n;
    INSERT INTO rm_messages_v1.message_states
           (created_position, tenant_id, status, attempts, provider, account, sent_at, delivered_at, updated_at,
            position, error)
    SELECT n, ('00000000-0000-0000-0000-00000000000' || (n % 2 + 1))::uuid,
           CASE WHEN n % 5 = 0 THEN 'sent' WHEN n % 7 = 0 THEN 'failed' ELSE 'delivered' END, 1, 'twilio',
           'AC' || n % 2, now() - interval '10 min',
           CASE WHEN n % 5 = 0 OR n % 7 = 0 THEN NULL
                WHEN n % 11 = 0 THEN now() ELSE now() - interval '9 min' END,
           now(), n, CASE WHEN n % 7 = 0 THEN '{\"class\": \"unreachable\"}'::json END
      FROM generate_series(1, 20000) AS n;
    ANALYZE";

async fn database() -> (TestDatabase, Connections) {
    let database = TestDatabase::create_from(&TEMPLATE).await;
    let connections = pool(&database.config(), 2, Duration::from_secs(5));
    (database, connections)
}

fn place(account: &str, country: Option<u16>) -> Place {
    Place { account: account.parse().expect("a name"), channel: Channel::Sms, country }
}

#[tokio::test]
async fn what_several_processes_counted_is_added_up_and_one_of_them_has_the_turn() {
    let (_database, pool) = database().await;
    let seen = Figures { attempts: 3, failed: 2, in_doubt: 1, ..Figures::default() };
    let counted = HashMap::from([(place("first", Some(44)), seen), (place("second", None), seen)]);
    for _ in 0..2 {
        add(&pool, &counted).await.expect("added");
    }
    let window = Duration::from_secs(900);
    let all = outcomes(&pool, window).await.expect("read");
    assert_eq!(all.len(), 2);
    let twice = Figures { attempts: 6, failed: 4, in_doubt: 2, ..Figures::default() };
    assert_eq!((all[&place("first", Some(44))], all[&place("second", None)]), (twice, twice));
    let every = Duration::from_secs(60);
    assert!(turn(&pool, every, window).await.expect("asked"));
    assert!(!turn(&pool, every, window).await.expect("asked"), "somebody has looked just now");
}

#[tokio::test]
async fn deliveries_are_a_sample_that_is_as_large_whatever_is_sent() {
    let (database, pool) = database().await;
    let session = database.connect().await;
    session.batch_execute(MESSAGES).await.expect("messages");
    let (from, head, now) = (Position(2_000), Position(20_000), SystemEnvironment.now());
    let slow_after = Duration::from_secs(300);
    let delivered = deliveries(&pool, (from, head), now, slow_after).await.expect("read");
    assert_eq!(delivered.len(), 2, "{delivered:?}");
    for one in &delivered {
        let Figures { messages, slow, undelivered, .. } = one.figures;
        assert_eq!((one.provider.as_str(), one.country), ("twilio", Some(44)));
        assert!((500..=900).contains(&messages) && slow > 0 && undelivered > 0, "{one:?}");
    }
    let sql = format!("EXPLAIN (ANALYZE, FORMAT JSON) {DELIVERIES}");
    let values: [(&(dyn ToSql + Sync), Type); 6] = [
        (&from.0, Type::INT8),
        (&601_i64, Type::INT8),
        (&SLICES, Type::INT4),
        (&now, Type::TIMESTAMPTZ),
        (&300.0_f64, Type::FLOAT8),
        (&SLICE_MESSAGES, Type::INT8),
    ];
    let plan: Value = session.query_typed_one(&sql, &values).await.expect("a plan").get(0);
    let read = rows_read(&plan[0]["Plan"]);
    // A message has a row of each of two tables, and one of them is looked at twice.
    assert!(read <= 3.0 * 1_800.0 + 100.0, "{read} rows: {plan:#}");
}

fn rows_read(node: &Value) -> f64 {
    let number = |key: &str| node[key].as_f64().unwrap_or_default();
    let is_index = node["Node Type"].as_str().is_some_and(|kind| kind.contains("Index"));
    let is_table = node["Node Type"] == "Seq Scan";
    let removed = number("Rows Removed by Filter");
    let read = if is_index || is_table {
        (number("Actual Rows") + removed) * number("Actual Loops")
    } else {
        0.0
    };
    read + node["Plans"].as_array().into_iter().flatten().map(rows_read).sum::<f64>()
}
