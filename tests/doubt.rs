//! Doubts among messages that nothing tells apart.

use hatch::roles::Role;
use serde_json::{Value, json};

use crate::dispatch::{NOBODY_DISPATCHES, claim};
use crate::harness::{ACCOUNT, Hatch};

/// A recipient of whom the provider never reports.
const SILENT: &str = "+18045550888";
const ALERT: &str = "ALERT disk full";

/// Changes how the provider treats our account.
async fn disturb(hatch: &Hatch, disturbance: &Value) {
    let url = format!("{}/_sim/accounts/{ACCOUNT}", hatch.simulator);
    let answer = hatch.http.put(url).json(disturbance).send().await;
    assert!(answer.expect("the simulator answers").status().is_success());
}

#[tokio::test]
async fn a_look_up_leaves_alone_what_may_be_of_a_call_that_is_not_answered_yet() {
    let mut hatch = Hatch::start_with(NOBODY_DISPATCHES, |settings| {
        settings.twilio.as_mut().expect("an account").http_timeout_ms = 4_500;
        settings.sendgrid.as_mut().expect("an account").http_timeout_ms = 4_500;
        let dispatcher = &mut settings.dispatcher;
        dispatcher.lease_ms = 8_000;
        dispatcher.timers_lag_ms = 200;
        dispatcher.look_ups_ms = [100, 600];
    })
    .await;
    // Its claimant dies before it calls.
    let vanished = hatch.send_sms(SILENT, ALERT).await;
    claim(&hatch, &vanished).await;
    disturb(&hatch, &json!({"mode": "slow", "latency_ms": 4_000})).await;
    let taken = hatch.send_sms(SILENT, ALERT).await;
    hatch.start_more(&[Role::Dispatcher]).await;
    hatch
        .eventually("the provider has one", async |hatch| {
            (hatch.record().await.len() == 1).then_some(())
        })
        .await;
    // That one is answered late, the look-up is not.
    disturb(&hatch, &json!({"mode": "up"})).await;
    let mut called = Vec::new();
    for id in [&vanished, &taken] {
        let message = hatch.message_with_status(id, "sent").await;
        called.push(message["provider_message_id"].clone());
    }
    assert_ne!(called[0], called[1], "one was taken for the other");
    hatch.assert_each_sent_once(&[vanished, taken]).await;
    hatch.finish().await;
}
