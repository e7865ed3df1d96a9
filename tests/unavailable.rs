//! PostgreSQL does not answer: the client hears so in time.

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{CUSTOMER, Hatch};

#[tokio::test]
async fn what_the_database_does_not_answer_is_503_with_a_time_to_come_back() {
    let hatch = Hatch::start().await;
    let mut session = hatch.database.connect().await;
    let blocking = session.transaction().await.expect("begun");
    let lock = i64::from_be_bytes(*b"hatchlog");
    blocking.execute("SELECT pg_advisory_xact_lock($1)", &[&lock]).await.expect("locked");
    let tables = "LOCK TABLE rm_messages_v1.messages, rm_messages_v1.conversations";
    blocking.batch_execute(tables).await.expect("locked");

    let request = json!({"to": CUSTOMER, "body": "Hello"});
    let (send, list, conversations) = futures::join!(
        hatch.post("/api/v1/messages", &request),
        hatch.get("/api/v1/messages"),
        hatch.get("/api/v1/conversations"),
    );
    for answer in [send, list, conversations] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
        assert_eq!(answer.header("retry-after"), "1");
    }
    blocking.rollback().await.expect("unlocked");
    session.close().await;

    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    hatch.finish().await;
}
