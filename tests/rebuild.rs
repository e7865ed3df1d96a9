//! The read models are built anew beside live traffic, and compared with the log.

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hatch_readmodel::{VerificationReport, messages};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Answer, CUSTOMER, Hatch, SENDER};

/// Messages that are there before a rebuild begins.
const MESSAGES: usize = 30;
/// The simulator refuses what is sent there, for good.
const REFUSED: &str = "+18045550400";

fn projections(hatch: &Hatch, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hatch"));
    command
        .arg("projections")
        .args(arguments)
        .env("HATCH_DATABASE_URL", hatch.database.url())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What `hatch projections` with `arguments` did: whether it succeeded, and all that it printed.
async fn run(hatch: &Hatch, arguments: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } =
        projections(hatch, arguments).output().await.expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.success(), text(stdout) + &text(stderr))
}

async fn rebuild(hatch: &Hatch) -> String {
    let (succeeded, printed) = run(hatch, &["rebuild", "messages"]).await;
    assert!(succeeded, "{printed}");
    printed
}

async fn verify(hatch: &Hatch) -> VerificationReport {
    let config = hatch.database.config();
    let pool = hatch_eventstore::pool(&config, 2, Duration::from_secs(10));
    hatch_readmodel::verify(&pool, &messages::DEFINITION, |_| {}).await.expect("it can be verified")
}

/// Sends some messages and returns the answers, once the read models have all of them.
async fn populate(hatch: &Hatch) -> Vec<Answer> {
    let mut sent = Vec::new();
    for n in 0..MESSAGES {
        let to = format!("+1804555{:04}", n % 7);
        let body = json!({"channel": "sms", "from": SENDER, "to": to, "body": format!("no. {n}")});
        sent.push(hatch.post("/api/v1/messages", &body).await);
    }
    for answer in &sent {
        hatch.message_with_status(answer.text("id"), "delivered").await;
    }
    sent
}

/// Executes `sql` as the owner of the tables.
async fn execute(hatch: &Hatch, sql: &str) {
    let session = hatch.database.connect().await;
    session.batch_execute(sql).await.expect("it can be done");
    session.close().await;
}

/// Somebody who does the same again and again, and minds every answer that is not right.
struct Client {
    stop: CancellationToken,
    task: JoinHandle<usize>,
}

impl Client {
    /// One that sends messages and reads each back by its position.
    fn that_writes(hatch: &Hatch) -> Self {
        let (http, url) = (hatch.http.clone(), hatch.url.clone());
        Self::new(move |turn| {
            let (http, url) = (http.clone(), url.clone());
            async move {
                let body =
                    json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": "live"});
                let answer = http.post(format!("{url}/api/v1/messages")).json(&body).send().await;
                let accepted: Value = answer.expect("an answer").json().await.expect("JSON");
                let id = accepted["id"].as_str().expect("an id");
                let path = format!("messages/{id}?after={}&wait=30", accepted["position"]);
                let found = http.get(format!("{url}/api/v1/{path}")).send().await;
                assert_eq!(found.expect("an answer").status(), StatusCode::OK, "turn {turn}");
            }
        })
    }

    /// One that reads `path`, of which `count` never gets less.
    fn that_reads(hatch: &Hatch, path: &str, count: fn(&Value) -> i64) -> Self {
        let (http, url) = (hatch.http.clone(), format!("{}/api/v1/{path}", hatch.url));
        let most = Arc::new(AtomicI64::new(1));
        Self::new(move |turn| {
            let (request, most) = (http.get(&url), most.clone());
            async move {
                let answer = request.send().await.expect("an answer");
                let status = answer.status();
                let body: Value = answer.json().await.expect("JSON");
                assert_eq!(status, StatusCode::OK, "turn {turn}: {body}");
                let before = most.fetch_max(count(&body), Ordering::SeqCst);
                assert!(count(&body) >= before, "turn {turn}: {before} before, now {body}");
            }
        })
    }

    fn new<T: Future<Output = ()> + Send>(turn: impl Fn(usize) -> T + Send + 'static) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut turns = 0;
            while !stopped.is_cancelled() {
                turn(turns).await;
                turns += 1;
            }
            turns
        });
        Self { stop, task }
    }

    /// Whether the client saw nothing wrong so far.
    fn is_content(&self) -> bool {
        !self.task.is_finished()
    }

    /// How many turns it took.
    async fn finish(self) -> usize {
        self.stop.cancel();
        self.task.await.expect("every answer was right")
    }
}

/// The length of a list that fits on a page, or a conversation's number of messages.
fn rows(body: &Value) -> i64 {
    body["data"].as_array().map_or(0, Vec::len).try_into().expect("a page is short")
}

fn message_count(body: &Value) -> i64 {
    body["message_count"].as_i64().expect("a count")
}

#[tokio::test]
async fn a_rebuild_beside_live_traffic_is_seen_by_nobody() {
    let hatch = Hatch::start().await;
    let sent = populate(&hatch).await;
    let id = sent[0].text("id");
    let message = hatch.get(&format!("/api/v1/messages/{id}")).await.body;
    let conversation = message["conversation_id"].as_str().expect("an id");
    let clients = [
        Client::that_writes(&hatch),
        Client::that_reads(&hatch, "messages?limit=200", rows),
        Client::that_reads(&hatch, "messages?status=delivered&limit=200", rows),
        Client::that_reads(&hatch, "conversations?limit=200", rows),
        Client::that_reads(
            &hatch,
            &format!("messages?participant={SENDER}&limit=200").replace('+', "%2B"),
            rows,
        ),
        Client::that_reads(&hatch, &format!("messages/{id}"), |body| {
            i64::from(body["status"] == "delivered")
        }),
        Client::that_reads(&hatch, &format!("conversations/{conversation}"), message_count),
    ];
    for _ in 0..5 {
        let printed = rebuild(&hatch).await;
        assert!(printed.contains("messages and conversations are one projection"), "{printed}");
        assert!(clients.iter().all(Client::is_content), "somebody saw something wrong");
    }
    let verification = verify(&hatch).await;
    assert!(verification.is_equal(), "{verification:#?}");
    for client in clients {
        assert!(client.finish().await > 5, "it took turns while the tables changed");
    }
    let message_now = hatch.get(&format!("/api/v1/messages/{id}")).await.body;
    assert_eq!(message_now, message);
    let (succeeded, printed) = run(&hatch, &["verify", "conversations"]).await;
    assert!(succeeded, "{printed}");
    assert!(printed.contains("are what the log says"), "{printed}");
    hatch.finish().await;
}

/// What migrations, grants and indexes hang on.
const SHAPE: &str = "
    SELECT relname || ' ' || coalesce(reloptions::text, '') || ' ' || coalesce(relacl::text, '')
           || ' ' || relowner::regrole
           || ' ' || coalesce(pg_get_indexdef(i.indexrelid), '')
           || ' ' || coalesce((SELECT string_agg(pg_get_constraintdef(x.oid), ', ' ORDER BY conname)
                                 FROM pg_constraint x WHERE x.conrelid = c.oid), '')
           || ' ' || coalesce((SELECT string_agg(attname || format_type(atttypid, atttypmod)
                                                 || attnotnull, ', ' ORDER BY attnum)
                                 FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0), '')
      FROM pg_class c
      LEFT JOIN pg_index i ON i.indexrelid = c.oid
     WHERE relnamespace = 'rm_messages_v1'::regnamespace
     UNION ALL
    SELECT nspname || nspowner::regrole || coalesce(nspacl::text, '')
      FROM pg_namespace
     WHERE nspname LIKE 'rm%'
     UNION ALL
    SELECT pg_get_viewdef(oid) || coalesce(relacl::text, '')
      FROM pg_class WHERE relnamespace = 'rm'::regnamespace AND relkind = 'v'
     ORDER BY 1";

async fn shape(hatch: &Hatch) -> Vec<String> {
    hatch.rows(SHAPE).await.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn rebuilt_tables_are_like_the_old_ones_in_all_but_their_rows() {
    let hatch = Hatch::start().await;
    let before = shape(&hatch).await;
    assert!(before.iter().any(|line| line.contains("hatch_app")), "grants are among {before:#?}");
    rebuild(&hatch).await;
    assert_eq!(shape(&hatch).await, before);
    hatch.finish().await;
}

/// Whether tables are there that a rebuild fills.
async fn building(hatch: &Hatch) -> bool {
    hatch.count("SELECT count(to_regclass('rm_messages_building.messages'))").await > 0
}

async fn status(hatch: &Hatch) -> Value {
    hatch.get("/api/v1/projections").await.body["data"][0]["status"].clone()
}

#[tokio::test]
async fn a_killed_rebuild_changes_nothing_and_the_next_one_begins_again() {
    let hatch = Hatch::start().await;
    populate(&hatch).await;
    // As soon as it has begun.
    let mut rebuild_process =
        projections(&hatch, &["rebuild", "messages"]).spawn().expect("it starts");
    hatch.eventually("it has begun", async |hatch| building(hatch).await.then_some(())).await;
    kill(&mut rebuild_process).await;

    // Just before it takes over: a reader who does not end keeps it from that.
    let mut session = hatch.database.connect().await;
    let reader = session.transaction().await.expect("it begins");
    reader.query("SELECT count(*) FROM rm.messages", &[]).await.expect("it reads");
    let mut rebuild_process =
        projections(&hatch, &["rebuild", "messages"]).spawn().expect("it starts");
    hatch
        .eventually("it is about to take over", async |hatch| {
            let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'rm_messages_building' \
                AND indexname = 'messages_by_status'";
            (status(hatch).await == "rebuilding" && hatch.count(indexes).await == 1).then_some(())
        })
        .await;
    let (succeeded, printed) = run(&hatch, &["rebuild", "conversations"]).await;
    assert!(!succeeded && printed.contains("already being rebuilt or verified"), "{printed}");
    let list = hatch.get("/api/v1/messages?limit=200").await;
    assert_eq!((list.status, rows(&list.body)), (StatusCode::OK, 30), "readers go on");
    let id = hatch.send_sms(CUSTOMER, "meanwhile").await;
    hatch.message_with_status(&id, "delivered").await;
    kill(&mut rebuild_process).await;
    reader.commit().await.expect("it ends");
    session.close().await;

    hatch
        .eventually("nobody rebuilds", async |hatch| {
            (status(hatch).await != "rebuilding").then_some(())
        })
        .await;
    rebuild(&hatch).await;
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'rm\\_messages%'";
    assert_eq!(hatch.count(schemas).await, 1, "nothing is left of the dead ones");
    let list = hatch.get("/api/v1/messages?limit=200").await;
    assert_eq!((list.status, rows(&list.body)), (StatusCode::OK, 31));
    assert!(verify(&hatch).await.is_equal());
    hatch.finish().await;
}

async fn kill(process: &mut Child) {
    process.start_kill().expect("it still runs");
    process.wait().await.expect("it ends");
}

#[tokio::test]
async fn verify_finds_a_changed_a_missing_and_an_added_row_and_a_rebuild_repairs_them() {
    let hatch = Hatch::start().await;
    let sent = populate(&hatch).await;
    assert!(verify(&hatch).await.is_equal());
    let (changed, missing) = (sent[1].text("id"), sent[2].text("id"));
    execute(
        &hatch,
        &format!(
            "UPDATE rm_messages_v1.messages SET body = 'changed' WHERE id = '{changed}';
             DELETE FROM rm_messages_v1.message_states s USING rm_messages_v1.messages m
              WHERE m.created_position = s.created_position AND m.id = '{missing}';
             INSERT INTO rm_messages_v1.mails
             VALUES (gen_random_uuid(), 'added', gen_random_uuid(), gen_random_uuid())"
        ),
    )
    .await;
    let (succeeded, printed) = run(&hatch, &["verify", "messages"]).await;
    assert!(!succeeded, "{printed}");
    let verification = verify(&hatch).await;
    let differences = |table: &str| {
        let found = verification.tables.iter().find(|one| one.table == table).expect("a table");
        (found.surplus.count, found.missing.count)
    };
    assert_eq!(differences("messages"), (1, 1), "{verification:#?}");
    assert_eq!(differences("message_states"), (0, 1), "{verification:#?}");
    assert_eq!(differences("mails"), (1, 0), "{verification:#?}");
    assert_eq!(differences("conversations"), (0, 0), "{verification:#?}");
    for shown in [changed, "changed", "added", "no. 1", "hatch projections rebuild messages"] {
        assert!(printed.contains(shown), "{shown} is not in {printed}");
    }
    let gone = format!("/api/v1/messages/{missing}");
    assert_eq!(hatch.get(&gone).await.status, StatusCode::NOT_FOUND);
    rebuild(&hatch).await;
    assert!(verify(&hatch).await.is_equal());
    assert_eq!(hatch.get(&gone).await.status, StatusCode::OK);
    hatch.finish().await;
}

#[tokio::test]
async fn a_projection_that_halted_goes_on_from_where_a_rebuild_ends() {
    let hatch = Hatch::start().await;
    // A settled message: of one that is on its way the projector remembers where it stands.
    let id = hatch.send_sms(REFUSED, "to nobody").await;
    hatch.message_with_status(&id, "failed").await;
    execute(&hatch, "DELETE FROM rm_messages_v1.message_states").await;
    let retried = hatch.post(&format!("/api/v1/messages/{id}/retry"), &json!({})).await;
    assert_eq!(retried.status, StatusCode::ACCEPTED, "{}", retried.body);
    hatch
        .eventually("it is halted", async |hatch| (status(hatch).await == "halted").then_some(()))
        .await;
    let after = hatch.send_sms(CUSTOMER, "after the halt").await;
    rebuild(&hatch).await;
    hatch
        .eventually("the new round is seen to have failed", async |hatch| {
            let message = hatch.get(&format!("/api/v1/messages/{id}")).await.body;
            (message["status"] == "failed" && message["attempts"] == 2).then_some(())
        })
        .await;
    hatch.message_with_status(&after, "delivered").await;
    assert_eq!(status(&hatch).await, "live");
    assert!(verify(&hatch).await.is_equal());
    hatch.finish().await;
}

#[tokio::test]
async fn an_unknown_name_is_answered_with_the_known_ones() {
    let hatch = Hatch::start_with(&[], |_| {}).await;
    for command in ["rebuild", "verify"] {
        let (succeeded, printed) = run(&hatch, &[command, "letters"]).await;
        assert!(!succeeded && printed.contains("conversations"), "{printed}");
    }
    hatch.finish().await;
}
