//! Whether webhooks are behind.

use std::time::Duration;

use super::Db;
use crate::{report_webhooks_behind, webhooks_behind};

const WITHIN: Duration = Duration::from_mins(1);

#[tokio::test]
async fn webhooks_are_behind_for_a_time_after_somebody_said_so() {
    let db = Db::new().await;
    let client = db.client().await;
    let behind = async |within| webhooks_behind(&client, within).await.expect("it can be read");
    assert!(!behind(WITHIN).await);
    for _ in 0..2 {
        report_webhooks_behind(&client).await.expect("it can be said");
        assert!(behind(WITHIN).await);
    }
    assert!(!behind(Duration::ZERO).await, "that was before");
}
