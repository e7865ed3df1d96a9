//! What outlives the process.

use std::io::Write;

use serde_json::json;

use super::{Hatch, Provider, answer, id, until};

const TO: &str = "+18045551234";

#[tokio::test]
async fn record_calls_and_due_receipts_outlive_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("simulator/record.ndjson");
    let hatch = Hatch::start().await;
    let provider = Provider::start_with(hatch, Some(path.clone())).await;
    let settled = provider.accepted(id(1), TO).await;
    provider.hatch.has_receipts(&settled, &["sent", "delivered"]).await;
    let is_settled = || {
        let text = std::fs::read_to_string(&path).expect("the record's file");
        text.contains("\"settled\"")
    };
    until(is_settled).await;
    for _ in 0..2 {
        assert_eq!(answer(provider.send(id(2), "+18045550429")).await.0, 429);
    }
    // Hatch is away: these receipts stay due.
    *provider.hatch.statuses.lock().expect("not held") = vec![503; 1_000];
    let due = provider.accepted(id(3), TO).await;
    until(|| !provider.hatch.receipts(&due).is_empty()).await;
    let before = provider.record().await;
    let hatch = provider.stop().await;

    hatch.posted.lock().expect("not held").clear();
    hatch.statuses.lock().expect("not held").clear();
    let provider = Provider::start_with(hatch, Some(path)).await;
    assert_eq!(provider.record().await, before);
    provider.hatch.has_receipts(&due, &["sent", "delivered"]).await;
    assert!(provider.hatch.receipts(&settled).is_empty(), "what was taken is not repeated");
    provider.accepted(id(2), "+18045550429").await;
}

#[tokio::test]
async fn a_line_cut_off_by_a_kill_is_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("record.ndjson");
    let hatch = Hatch::start().await;
    let provider = Provider::start_with(hatch, Some(path.clone())).await;
    provider.accepted(id(1), TO).await;
    let hatch = provider.stop().await;
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("the file");
    file.write_all(br#"{"accepted":{"message":{"prov"#).expect("written");

    let provider = Provider::start_with(hatch, Some(path.clone())).await;
    assert_eq!(provider.record().await.len(), 1);
    provider.accepted(id(2), TO).await;
    let hatch = provider.stop().await;
    let provider = Provider::start_with(hatch, Some(path)).await;
    let ids: Vec<_> =
        provider.record().await.iter().map(|line| line["hatch_message_id"].clone()).collect();
    assert_eq!(ids, [json!(id(1)), json!(id(2))]);
}

#[tokio::test]
async fn a_forgotten_record_stays_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("record.ndjson");
    let hatch = Hatch::start().await;
    let provider = Provider::start_with(hatch, Some(path.clone())).await;
    provider.accepted(id(1), TO).await;
    let forget = provider.client.delete(format!("{}/_sim", provider.url));
    assert_eq!(answer(forget).await.0, 204);
    provider.accepted(id(2), TO).await;
    let hatch = provider.stop().await;
    let provider = Provider::start_with(hatch, Some(path)).await;
    assert_eq!(provider.record().await.len(), 1);
}

#[tokio::test]
async fn a_file_of_somebody_else_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "milk\neggs\n").expect("written");
    let provider = Provider::start_with(Hatch::start().await, Some(path.clone())).await;
    assert!(provider.running.await.expect("no panic").is_err());
    assert_eq!(std::fs::read_to_string(&path).expect("read"), "milk\neggs\n");
}
