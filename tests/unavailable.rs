//! PostgreSQL does not answer: the client hears so in time.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{CUSTOMER, Hatch};

/// Five seconds, as the interface promises, and what a busy machine adds; less than the ten after which PostgreSQL
/// itself gives up waiting for a lock.
const IN_TIME: Duration = Duration::from_secs(8);

#[tokio::test]
async fn what_the_database_does_not_answer_is_503_with_a_time_to_come_back() {
    let hatch = Hatch::start().await;
    let mut session = hatch.database.connect().await;
    let blocking = session.transaction().await.expect("begun");
    let lock = i64::from_be_bytes(*b"hatchlog");
    blocking.execute("SELECT pg_advisory_xact_lock($1)", &[&lock]).await.expect("locked");
    let tables = "LOCK TABLE rm_messages_v1.messages, rm_messages_v1.conversations, \
                  es.checkpoints";
    blocking.batch_execute(tables).await.expect("locked");

    let request = json!({"to": CUSTOMER, "body": "Hello"});
    let asked = async {
        futures::join!(
            hatch.post("/api/v1/messages", &request),
            hatch.get("/api/v1/messages"),
            hatch.get("/api/v1/conversations"),
            hatch.get("/api/v1/projections"),
            // It is away, not behind: nobody waits for that.
            hatch.get("/api/v1/messages?after=0&wait=30"),
        )
    };
    let answers = tokio::time::timeout(IN_TIME, asked).await.expect("answers in time");
    for answer in [answers.0, answers.1, answers.2, answers.3, answers.4] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
        assert_eq!(answer.header("retry-after"), "1");
    }
    blocking.rollback().await.expect("unlocked");
    session.close().await;

    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    hatch.finish().await;
}
