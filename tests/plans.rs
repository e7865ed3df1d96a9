//! No statement that runs all the time reads a whole table.
//!
//! A PostgreSQL of the test's own writes down the plan of every statement that hatch really makes, with
//! the rows that it read, beside tables that are filled and analysed. The planner is free to read tables
//! whole (hatch's own sessions discourage it), so it does so where no index would be better.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use hatch::roles::Role;
use hatch::settings::Settings;
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{ACCOUNT, AUTH_TOKEN, CUSTOMER, Hatch, SENDER, set_of};
use crate::restore::Cluster;
use crate::webhooks::Post;

/// What the server is to write down, and where.
const LOGGED: &[&str] = &[
    "shared_preload_libraries=auto_explain",
    "auto_explain.log_min_duration=0",
    "auto_explain.log_analyze=on",
    "auto_explain.log_timing=off",
    "auto_explain.log_nested_statements=on",
    "auto_explain.log_format=json",
    "logging_collector=on",
    "log_destination=jsonlog",
    "log_directory=log",
    "log_filename=plans",
    "log_rotation_size=0",
];
const LOG: &str = "data/log/plans.json";

/// Rows of each table, and far fewer that any statement may read of one. Pages of the log have up to
/// 2,000 events.
const ROWS: u32 = 50_000;
const ROWS_READ_MAX: f64 = 4_000.0;

/// Rows of a partition that are in a page or two.
const SMALL_PARTITION_ROWS: f64 = 100.0;

/// The tables that grow with what is sent.
const TABLES: [&str; 14] = [
    "events_000000",
    "streams",
    "commands",
    "messages",
    "message_states",
    "message_participants",
    "provider_messages",
    "mails",
    "conversations",
    "conversation_participants",
    "webhook_log",
    "waiting_receipts",
    "timers",
    "provider_ids",
];

/// A part of each statement that must have been seen: without it the test would prove nothing of it.
const STATEMENTS: [&str; 38] = [
    // The log.
    "FROM es.streams WHERE stream_id = ANY($1)",
    "FROM es.commands WHERE command_key = ANY($1)",
    "FROM es.commands WHERE command_key = $1",
    "INSERT INTO es.events",
    "INSERT INTO es.streams",
    "UPDATE es.streams",
    "INSERT INTO es.commands",
    "FROM es.events WHERE stream_id = ANY($1) AND tenant_id = ANY($2)",
    "FROM es.events WHERE position > $1 ORDER BY position",
    "FROM es.events WHERE position = $1",
    "SELECT coalesce(max(position), 0) FROM es.events",
    "UPDATE es.checkpoints",
    "FROM es.bus_generations",
    // The projections.
    "FROM es.events WHERE position = $1 AND event_id = $2",
    "FROM rm_messages_v1.messages m",
    "INSERT INTO rm_messages_v1.messages",
    "INSERT INTO rm_messages_v1.message_states",
    "UPDATE rm_messages_v1.message_states",
    "INSERT INTO rm_messages_v1.conversations",
    "UPDATE rm_messages_v1.conversations",
    "INSERT INTO rm_messages_v1.message_participants",
    "INSERT INTO rm_messages_v1.provider_messages",
    // The queries.
    "FROM rm.messages m WHERE m.tenant_id = $1 AND m.id = $2",
    "JOIN rm.message_participants",
    "JOIN rm.message_statuses",
    "FROM rm.conversations c",
    "EXISTS (SELECT FROM rm.conversation_participants",
    "FROM rm.provider_messages",
    "created_position >= $3",
    "FROM rm.mails",
    "FROM hatch.webhook_log",
    // What is due.
    "INSERT INTO due.timers",
    "DELETE FROM due.timers",
    "FROM due.timers",
    "INSERT INTO dispatch.provider_ids",
    // How far that is.
    "INSERT INTO dispatch.progress",
    "FROM dispatch.progress",
    "FROM hatch.waiting_receipts",
];

/// A log of events that say nothing, and the rows of a long life beside it.
const FILL: &str = r#"
    CREATE TEMP TABLE filler AS
    SELECT n, md5('m' || n)::uuid AS id, md5('c' || n % 5000)::uuid AS conversation,
           '00000000-0000-0000-0000-000000000001'::uuid AS tenant,
           '+1804555' || lpad((n % 5000)::text, 4, '0') AS address,
           now() - interval '9 days' + n * interval '1 s' AS at,
           CASE n % 50 WHEN 1 THEN 'mms' WHEN 2 THEN 'email' ELSE 'sms' END AS channel,
           CASE WHEN n % 10 = 3 THEN 'inbound' ELSE 'outbound' END AS direction,
           CASE WHEN n % 10 = 3 THEN 'received' WHEN n % 100 = 7 THEN 'failed' ELSE 'delivered' END
               AS status
      FROM generate_series(1, $ROWS) AS n;
    INSERT INTO es.events
    SELECT n, id, 1, tenant, md5('e' || n)::uuid, 'Filled', 1, 1, at, 'filler', NULL, NULL, NULL,
           json_build_object('correlation_id', id, 'actor', 'test'), '{}' FROM filler;
    INSERT INTO es.streams SELECT id, tenant, 1 FROM filler;
    INSERT INTO es.commands SELECT md5('k' || n)::uuid, sha256('x'), n, n, at FROM filler;
    INSERT INTO es.checkpoints VALUES ('messages', 1, $ROWS, 1), ('consent', 1, $ROWS, 1),
           ('configuration', 3, $ROWS, 1), ('audit', 1, $ROWS, 1), ('timers', 1, $ROWS, 1);
    INSERT INTO es.bus_generations VALUES (1, 1, 1);
    INSERT INTO rm_messages_v1.messages
    SELECT n, id, tenant, conversation, id, direction, channel, '+12016661234',
           json_build_array(address), '[]', '[]', NULL, 'text', NULL, '[]', '{}', at, NULL FROM filler;
    INSERT INTO rm_messages_v1.message_states (created_position, tenant_id, status, attempts,
           updated_at, position)
    SELECT n, tenant, status, 1, at, n FROM filler;
    INSERT INTO rm_messages_v1.message_participants
    SELECT tenant, a, n FROM filler, unnest(ARRAY[address, '+12016661234']) AS a;
    INSERT INTO rm_messages_v1.provider_messages
    SELECT tenant, 'twilio', 'SM' || md5('p' || n), 'AC', id, 1 FROM filler;
    INSERT INTO rm_messages_v1.mails SELECT tenant, n || '@old.example', id, conversation FROM filler;
    INSERT INTO rm_messages_v1.conversations
    SELECT md5('d' || n)::uuid, tenant, '[]', '["sms"]', NULL, 'open', NULL, '[]', 1, 0,
           json_build_object('id', id, 'direction', direction, 'channel', channel, 'preview', 'text',
               'at', at), n, '{}', at, at
      FROM filler;
    INSERT INTO rm_messages_v1.conversation_participants
    SELECT tenant, a, md5('d' || n)::uuid FROM filler, unnest(ARRAY[address, '+12016661234']) AS a;
    INSERT INTO hatch.webhook_log
    SELECT md5('w' || n)::uuid, tenant, 'twilio', NULL, NULL,
           CASE WHEN n % 100 = 7 THEN 'quarantined' ELSE 'applied' END, NULL, id, NULL, 'POST', '/', '{}',
           '', at FROM filler;
    INSERT INTO hatch.waiting_receipts
    SELECT md5('r' || n)::uuid, md5('w' || n)::uuid, tenant, 'twilio', 'AC', 'none' || n, '{}', at,
           now() + interval '30 days' FROM filler;
    INSERT INTO due.timers
    SELECT id, 'message', tenant, at, NULL, n, 'sms', 'normal', now() + interval '30 days' FROM filler;
    INSERT INTO dispatch.provider_ids SELECT 'SM' || md5('p' || n), tenant, id, 1 FROM filler;
    DROP TABLE filler;
"#;

/// Waits so short that a doubt ends within seconds.
fn hurried(settings: &mut Settings, cluster: &Cluster) {
    settings.database_url = Some(format!("{}?options=-c%20enable_seqscan%3Don", cluster.url()));
    for name in ["twilio", "sendgrid"] {
        set_of(settings, name, "http_timeout_ms", json!(400));
        set_of(settings, name, "connect_timeout_ms", json!(300));
    }
    settings.dispatcher.lease_ms = 2_400;
    settings.dispatcher.timers_lag_ms = 200;
    settings.dispatcher.delivery_grace_ms = 300;
    settings.dispatcher.look_ups_ms = [100, 600];
}

#[tokio::test]
async fn no_statement_that_runs_all_the_time_reads_a_whole_table() {
    let cluster = Cluster::start_with(LOGGED).await;
    let session = cluster.connect().await;
    let fill = FILL.replace("$ROWS", &ROWS.to_string());
    session.batch_execute(&fill).await.expect("filled");
    session.batch_execute("VACUUM ANALYZE").await.expect("analysed");
    let hatch = Hatch::start_with(&Role::ALL, |settings| hurried(settings, &cluster)).await;
    let sent = send(&hatch).await;
    receive(&hatch, &sent).await;
    read(&hatch, &sent).await;

    let plans = hatch
        .eventually("every statement has been seen", async |_| {
            let plans = plans(&cluster);
            let missing = missing(&plans);
            println!("not seen: {missing:?}");
            missing.is_empty().then_some(plans)
        })
        .await;
    hatch.finish().await;
    let (mut touched, mut bad) = (BTreeSet::new(), BTreeSet::new());
    for plan in &plans {
        judge(&plan["Plan"], plan, &mut touched, &mut bad);
    }
    assert!(bad.is_empty(), "{}", bad.into_iter().collect::<Vec<_>>().join("\n"));
    let untouched: Vec<_> = TABLES.iter().filter(|table| !touched.contains(**table)).collect();
    assert!(untouched.is_empty(), "nothing is known of {untouched:?}");
}

/// Has messages of each fate be sent; the id of one that was delivered.
async fn send(hatch: &Hatch) -> String {
    let key = [("idempotency-key", "once")];
    let request = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"}).to_string();
    let path = "/api/v1/messages";
    let first = hatch.request(Method::POST, path, &key, Some(request.clone())).await;
    let again = hatch.request(Method::POST, path, &key, Some(request)).await;
    assert_eq!((again.status, first.text("id")), (StatusCode::ACCEPTED, again.text("id")));
    let batch: Vec<Value> = (0..20)
        .map(|n| json!({"from": SENDER, "to": CUSTOMER, "body": format!("number {n}")}))
        .collect();
    let batch = hatch.post("/api/v1/messages/batch", &json!({ "messages": batch })).await;
    assert_eq!(batch.status, StatusCode::ACCEPTED, "{}", batch.body);
    let later = (SystemEnvironment.now() + TimeDelta::days(1)).to_rfc3339();
    let later = json!({"from": SENDER, "to": CUSTOMER, "body": "Later", "send_at": later});
    let later = hatch.post(path, &later).await;
    let cancel = format!("/api/v1/messages/{}/cancel", later.text("id"));
    for _ in 0..2 {
        let cancelled = hatch.request(Method::POST, &cancel, &key, None).await;
        assert_eq!(cancelled.status, StatusCode::OK, "{}", cancelled.body);
    }

    let failed = hatch.send_sms("+18045550400", "Nobody is there").await;
    let retried = hatch.send_sms("+18045550500", "At the third time").await;
    let doubtful = hatch.send_sms("+18045550504", "Without an answer").await;
    hatch.message_with_status(&failed, "failed").await;
    let retry = format!("/api/v1/messages/{failed}/retry");
    hatch.post(&retry, &Value::Null).await;
    for id in [first.text("id"), &retried, &doubtful] {
        hatch.message_with_status(id, "delivered").await;
    }
    first.text("id").to_owned()
}

/// Has providers tell things: twice, late, and by their own names.
async fn receive(hatch: &Hatch, sent: &str) {
    for _ in 0..2 {
        let inbound = json!({"provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": "Hi",
            "provider_message_id": "SM00000000000000000000000000000001"});
        assert_eq!(hatch.simulate_inbound(&inbound).await, 204);
    }
    let mail = json!({"provider": "sendgrid", "from": "a@example.com", "to": "user@usehatchapp.com",
        "subject": "Re: Hello", "body": "Hi", "in_reply_to": "<7@old.example>"});
    let mail_without = json!({"provider": "sendgrid", "from": "a@example.com",
        "to": "user@usehatchapp.com", "subject": "Hello", "body": "Hi"});
    for mail in [mail, mail_without] {
        assert_eq!(hatch.simulate_inbound(&mail).await, 204);
    }
    let message = hatch.get(&format!("/api/v1/messages/{sent}")).await;
    for sid in [message.text("provider_message_id"), "SM00000000000000000000000000000002"] {
        let receipt = Post {
            path_and_query: "/api/v1/webhooks/twilio".to_owned(),
            form: vec![
                ("MessageSid", sid.to_owned()),
                ("MessageStatus", "delivered".to_owned()),
                ("AccountSid", ACCOUNT.to_owned()),
                ("From", SENDER.to_owned()),
                ("To", CUSTOMER.to_owned()),
            ],
            token: AUTH_TOKEN,
        };
        assert!(receipt.send_to(hatch, &hatch.url).await.is_success());
    }
}

/// Reads every list by each of its filters, two pages of it, and each single thing.
async fn read(hatch: &Hatch, sent: &str) {
    let message = hatch.get(&format!("/api/v1/messages/{sent}")).await;
    let conversation = message.text("conversation_id");
    let participant = "participant=%2B18045551234";
    for list in [
        "messages?".to_owned(),
        format!("messages?{participant}"),
        "messages?participant=%2B12016661234".to_owned(),
        format!("messages?conversation={conversation}"),
        "messages?channel=sms".to_owned(),
        "messages?channel=mms".to_owned(),
        "messages?direction=inbound".to_owned(),
        "messages?status=failed".to_owned(),
        "messages?status=delivered".to_owned(),
        format!("messages?{participant}&channel=sms&direction=outbound&status=delivered"),
        "conversations?".to_owned(),
        format!("conversations?{participant}"),
        "conversations?participant=%2B12016661234".to_owned(),
        "conversations?channel=sms".to_owned(),
        format!("conversations/{conversation}/messages?"),
        format!("conversations/{conversation}/events?"),
        "dead-letters?".to_owned(),
        "dead-letters?channel=sms".to_owned(),
        "in-doubt?".to_owned(),
        "in-doubt?channel=sms".to_owned(),
        "webhook-log?".to_owned(),
        "webhook-log?outcome=quarantined".to_owned(),
        "webhook-log?outcome=applied".to_owned(),
        format!("webhook-log?message={sent}"),
    ] {
        let page = hatch.get(&format!("/api/v1/{list}&limit=5")).await;
        assert_eq!(page.status, StatusCode::OK, "{list}: {}", page.body);
        if let Some(cursor) = page.body["next_cursor"].as_str() {
            let next = hatch.get(&format!("/api/v1/{list}&limit=5&cursor={cursor}")).await;
            assert_eq!(next.status, StatusCode::OK, "{list}: {}", next.body);
        }
    }
    let position = &message.body["position"];
    for path in [
        format!("/api/v1/messages/{sent}?after={position}"),
        format!("/api/v1/messages/{sent}?at={position}"),
        format!("/api/v1/messages/{sent}/events"),
        format!("/api/v1/conversations/{conversation}"),
        format!("/api/v1/conversations/{conversation}?at={position}"),
        "/api/v1/projections".to_owned(),
        "/metrics".to_owned(),
        "/ready".to_owned(),
    ] {
        let answer = hatch.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    }
}

/// The plans of what hatch's own sessions have asked so far.
fn plans(cluster: &Cluster) -> Vec<Value> {
    let log = std::fs::read_to_string(cluster.folder.join(LOG)).expect("the server writes it");
    // The last line may be half written.
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["application_name"].as_str().is_some_and(|n| n.starts_with("hatch")))
        .filter_map(|line| {
            let (_, plan) = line["message"].as_str()?.split_once("plan:\n")?;
            Some(serde_json::from_str(plan).expect("a plan"))
        })
        .collect()
}

fn missing(plans: &[Value]) -> Vec<&'static str> {
    let texts: BTreeSet<&str> =
        plans.iter().map(|plan| plan["Query Text"].as_str().expect("a statement")).collect();
    let seen = |part: &&str| texts.iter().any(|text| text.contains(*part));
    STATEMENTS.into_iter().filter(|part| !seen(part)).collect()
}

/// The table of [`TABLES`] that a plan's relation is, or is a partition of.
fn table_of(relation: &str) -> Option<&'static str> {
    let is_it = |table: &&str| {
        relation == *table || (*table == "webhook_log" && relation.starts_with("webhook_log_"))
    };
    TABLES.into_iter().find(is_it)
}

/// Notes which of the tables `node` reads, and what it should not.
fn judge(node: &Value, plan: &Value, touched: &mut BTreeSet<String>, bad: &mut BTreeSet<String>) {
    let kind = node["Node Type"].as_str().expect("a kind");
    if let Some(table) = node["Relation Name"].as_str().and_then(table_of) {
        touched.insert(table.to_owned());
        let number = |key: &str| node[key].as_f64().unwrap_or_default();
        let removed = number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
        let rows = (number("Actual Rows") + removed) * number("Actual Loops");
        // A partition that has hardly any rows may be read whole.
        let is_small = table == "webhook_log" && rows <= SMALL_PARTITION_ROWS;
        let is_whole = kind == "Seq Scan" && !is_small;
        if is_whole || rows > ROWS_READ_MAX {
            let text = plan["Query Text"].as_str().expect("a statement");
            bad.insert(format!("{kind} of {table} reads {rows} rows: {text}\n{node:#}"));
        }
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        judge(child, plan, touched, bad);
    }
}
