//! What can become of a message, by what its recipient makes the simulator do.

use hatch::roles::Role;
use serde_json::json;

use crate::harness::Hatch;
use crate::time::as_in_production;

#[tokio::test]
async fn an_invalid_recipient_fails_for_good_after_one_call() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms("+18045550400", "Hello").await;
    let message = hatch.message_with_status(&id, "failed").await;
    assert_eq!(message["error"]["code"], "21211");
    assert_eq!(message["error"]["class"], "invalid_recipient");
    assert_eq!(message["error"]["permanent"], true);
    assert_eq!(message["attempts"], 1);
    assert_eq!(
        hatch.event_types(&id).await,
        ["MessageRequested", "SendAttempted", "SendFailed", "MessageFailed"]
    );
    assert!(hatch.record().await.is_empty());
    hatch.finish().await;
}

#[tokio::test]
async fn an_opted_out_recipient_fails_for_good() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms("+18045550610", "Hello").await;
    let message = hatch.message_with_status(&id, "failed").await;
    assert_eq!(message["error"]["code"], "21610");
    assert_eq!(message["error"]["class"], "opted_out");
    hatch.finish().await;
}

#[tokio::test]
async fn a_throttled_or_failing_provider_is_tried_again_until_it_takes_the_message_once() {
    let hatch = Hatch::start_with_clock(&Role::ALL, as_in_production).await;
    for recipient in ["+18045550429", "+18045550500"] {
        let id = hatch.send_sms(recipient, "Hello").await;
        let message = hatch.hasten(&id, "delivered").await;
        assert_eq!(message["attempts"], 3, "{recipient}");
        assert_eq!(message["error"], json!(null), "{recipient}");
        let record = hatch.record().await;
        let mine: Vec<_> = record.iter().filter(|r| r["hatch_message_id"] == id).collect();
        assert_eq!(mine.len(), 1, "{recipient}: accepted once");
        assert_eq!(mine[0]["calls"], 3, "{recipient}");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_provider_that_takes_the_message_and_does_not_answer_delivers_it_once() {
    let hatch = Hatch::start_with(&Role::ALL, as_in_production).await;
    let id = hatch.send_sms("+18045550504", "Hello").await;
    let message = hatch.message_with_status(&id, "delivered").await;
    assert_eq!(message["attempts"], 1);
    let record = hatch.record().await;
    assert_eq!(record.len(), 1);
    assert_eq!(record[0]["calls"], 1);
    hatch.finish().await;
}

#[tokio::test]
async fn a_provider_that_swallows_a_request_leaves_it_in_doubt_and_is_not_called_again() {
    let hatch = Hatch::start_with(&Role::ALL, as_in_production).await;
    let id = hatch.send_sms("+18045550503", "Hello").await;
    hatch.message_with_status(&id, "in_doubt").await;
    assert_eq!(hatch.event_types(&id).await, ["MessageRequested", "SendAttempted", "SendInDoubt"]);
    assert!(hatch.record().await.is_empty());
    hatch.finish().await;
}

#[tokio::test]
async fn receipts_twice_and_in_reverse_order_deliver_once() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms("+18045550777", "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    hatch
        .eventually("all four receipts came", async |hatch| {
            let receipts = "SELECT count(*) FROM hatch.webhook_log WHERE kind = 'status'";
            (hatch.count(receipts).await >= 4).then_some(())
        })
        .await;
    let types = hatch
        .eventually("the answer is recorded, too", async |hatch| {
            let types = hatch.event_types(&id).await;
            types.contains(&"MessageSent".to_owned()).then_some(types)
        })
        .await;
    assert_eq!(types.iter().filter(|name| *name == "MessageDelivered").count(), 1);
    assert_eq!(types.len(), 4, "{types:?}");
    hatch.message_with_status(&id, "delivered").await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_receipt_that_overtakes_the_answer_is_folded_at_once() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms("+18045550222", "Hello").await;
    let message = hatch.message_with_status(&id, "delivered").await;
    assert_eq!(message["attempts"], 1);
    hatch
        .eventually("the answer is recorded, too", async |hatch| {
            let types = hatch.event_types(&id).await;
            types.contains(&"MessageSent".to_owned()).then_some(())
        })
        .await;
    hatch.message_with_status(&id, "delivered").await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_bounce_after_acceptance_is_undelivered() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms("+18045550666", "Hello").await;
    let message = hatch.message_with_status(&id, "undelivered").await;
    assert!(message["error"]["code"].is_string(), "{}", message["error"]);
    assert!(message["provider_message_id"].is_string());
    hatch.finish().await;
}

#[tokio::test]
async fn a_message_without_receipts_stays_sent() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms("+18045550888", "Hello").await;
    let message = hatch.message_with_status(&id, "sent").await;
    assert!(message["sent_at"].is_string());
    assert_eq!(message["delivered_at"], json!(null));
    hatch.finish().await;
}
