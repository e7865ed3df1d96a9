//! What is due without a delivery: doubts, schedules, retries, and everything while NATS is away.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use hatch::roles::Role;
use hatch::settings::Settings;
use hatch_dispatcher::DoubtPolicy;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::MessageRequested;
use serde_json::{Value, json};

use crate::dispatch::{NOBODY_DISPATCHES, claim, execute};
use crate::harness::{CUSTOMER, Hatch, set_of};
use crate::time::as_in_production;

/// A recipient whose requests vanish, and one whose requests are never answered.
pub(crate) const HOLE: &str = "+18045550503";
const MUTE: &str = "+18045550504";

/// The least that a message takes whose two attempts end in doubt: leases and look-ups.
const TWO_DOUBTS: TimeDelta = TimeDelta::seconds(2 * (60 + 120));

/// A port where nobody listens.
const NO_NATS: &str = "nats://127.0.0.1:1";

/// Two attempts.
pub(crate) fn twice(settings: &mut Settings) {
    as_in_production(settings);
    settings.dispatcher.retry.attempts_max = 2;
}

pub(crate) fn with_policy(policy: DoubtPolicy) -> impl FnOnce(&mut Settings) {
    move |settings| {
        twice(settings);
        settings.dispatcher.in_doubt = BTreeMap::from([("twilio".to_owned(), policy)]);
    }
}

/// Has a message be requested that is to be sent `wait` from now; its id.
pub(crate) async fn schedule(hatch: &Hatch, wait: TimeDelta) -> (String, DateTime<Utc>) {
    let at = hatch.in_time(TimeDelta::zero());
    let id = hatch.machine().new_id().to_string();
    let request =
        MessageRequested { send_at: Some(at + wait), ..hatch_domain::testing::request(at) };
    execute(hatch, &id, &MessageCommand::Request(request.into())).await.expect("requested");
    (id, at + wait)
}

pub(crate) fn time(message: &Value, field: &str) -> DateTime<Utc> {
    let text = message[field].as_str().unwrap_or_else(|| panic!("no {field} in {message}"));
    text.parse().expect("RFC 3339")
}

/// Lets time pass until a doubt is left to a person.
pub(crate) async fn left_in_doubt(hatch: &Hatch, id: &str) {
    hatch
        .eventually("the doubt is left to a person", async |hatch| {
            let left = "SELECT count(*) FROM due.timers WHERE looks > 0";
            if hatch.count(left).await == 1 {
                return Some(());
            }
            hatch.pass_time(id).await;
            None
        })
        .await;
}

/// Waits until no timer is left.
async fn nothing_is_due(hatch: &Hatch) {
    hatch
        .eventually("no timer is left", async |hatch| {
            (hatch.count("SELECT count(*) FROM due.timers").await == 0).then_some(())
        })
        .await;
}

#[tokio::test]
async fn an_attempt_that_the_provider_knows_nothing_of_is_made_again_until_none_is_left() {
    let hatch = Hatch::start_with_clock(&Role::ALL, twice).await;
    let begun = hatch.in_time(TimeDelta::zero());
    let id = hatch.send_sms(HOLE, "Hello").await;
    let message = hatch.hasten(&id, "failed").await;
    let took = hatch.in_time(TimeDelta::zero()) - begun;
    assert!(took > TWO_DOUBTS, "{took}");
    assert_eq!(message["attempts"], 2);
    assert_eq!(message["error"]["code"], "not_found");
    assert_eq!(
        hatch.event_types(&id).await,
        [
            "MessageRequested",
            "SendAttempted",
            "SendInDoubt",
            "SendFailed",
            "SendAttempted",
            "SendInDoubt",
            "SendFailed",
            "MessageFailed",
        ]
    );
    assert!(hatch.record().await.is_empty());
    nothing_is_due(&hatch).await;
    hatch.finish().await;
}

#[tokio::test]
async fn an_attempt_that_the_provider_knows_of_was_made_once() {
    // Nobody takes receipts: only the look-up can tell.
    let roles = [Role::Command, Role::Query, Role::Relay, Role::Projector, Role::Dispatcher];
    let hatch = Hatch::start_with_clock(&roles, twice).await;
    let twin = hatch.send_sms(MUTE, "Hello").await;
    let id = hatch.send_sms(MUTE, "Hello").await;
    for id in [&twin, &id] {
        let message = hatch.hasten(id, "sent").await;
        assert_eq!(message["attempts"], 1);
    }
    let record = hatch.record().await;
    let mut recorded: Vec<_> = record.iter().map(|r| r["provider_message_id"].clone()).collect();
    let mut settled = Vec::new();
    for id in [&twin, &id] {
        let message = hatch.get(&format!("/api/v1/messages/{id}")).await;
        settled.push(message.body["provider_message_id"].clone());
    }
    recorded.sort_by_key(ToString::to_string);
    settled.sort_by_key(ToString::to_string);
    assert_eq!(settled, recorded, "each took one, though nothing tells the two apart");
    assert!(record.iter().all(|line| line["calls"] == 1));
    hatch.finish().await;
}

#[tokio::test]
async fn a_claim_whose_holder_died_ends_in_doubt_and_the_message_is_sent_once() {
    let mut hatch = Hatch::start_with_clock(NOBODY_DISPATCHES, twice).await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    claim(&hatch, &id).await;
    hatch.start_more(&[Role::Dispatcher]).await;
    let message = hatch.hasten(&id, "delivered").await;
    assert_eq!(message["attempts"], 2);
    let types = hatch.event_types(&id).await;
    assert_eq!(
        types[..4],
        ["MessageRequested", "SendAttempted", "SendInDoubt", "SendFailed"],
        "{types:?}"
    );
    let record = hatch.record().await;
    assert_eq!((record.len(), &record[0]["calls"]), (1, &json!(1)));
    hatch.finish().await;
}

#[tokio::test]
async fn a_doubt_is_sent_again_failed_or_left_by_policy() {
    let hatch = Hatch::start_with_clock(&Role::ALL, with_policy(DoubtPolicy::Resend)).await;
    let id = hatch.send_sms(HOLE, "Hello").await;
    let message = hatch.hasten(&id, "failed").await;
    assert_eq!((&message["attempts"], &message["error"]["code"]), (&json!(2), &json!("in_doubt")));
    hatch.finish().await;

    let hatch = Hatch::start_with_clock(&Role::ALL, with_policy(DoubtPolicy::Fail)).await;
    let id = hatch.send_sms(HOLE, "Hello").await;
    let message = hatch.hasten(&id, "failed").await;
    assert_eq!((&message["attempts"], &message["error"]["code"]), (&json!(1), &json!("in_doubt")));
    hatch.finish().await;
}

#[tokio::test]
async fn a_doubt_that_waits_for_a_receipt_stays_one() {
    let hatch = Hatch::start_with_clock(&Role::ALL, with_policy(DoubtPolicy::Wait)).await;
    let id = hatch.send_sms(HOLE, "Hello").await;
    left_in_doubt(&hatch, &id).await;
    assert_eq!(hatch.event_types(&id).await, ["MessageRequested", "SendAttempted", "SendInDoubt"]);
    hatch.finish().await;
}

#[tokio::test]
async fn a_scheduled_message_is_sent_at_its_time_unless_it_is_canceled() {
    let hatch = Hatch::start_with_clock(&Role::ALL, twice).await;
    let (canceled, _) = schedule(&hatch, TimeDelta::hours(1)).await;
    let (id, due) = schedule(&hatch, TimeDelta::hours(1)).await;
    let (next, _) = schedule(&hatch, TimeDelta::hours(2)).await;
    let cancel = MessageCommand::Cancel { at: hatch.in_time(TimeDelta::zero()) };
    execute(&hatch, &canceled, &cancel).await.expect("canceled in time");
    hatch.advance(TimeDelta::minutes(58)).await;
    let sent_now = hatch.send_sms(CUSTOMER, "Now").await;
    hatch.message_with_status(&sent_now, "delivered").await;
    assert_eq!(hatch.event_types(&id).await, ["MessageRequested"], "too early");
    hatch.advance(TimeDelta::minutes(2)).await;
    hatch.message_with_status(&id, "delivered").await;
    let events = hatch.get(&format!("/api/v1/messages/{id}/events")).await;
    let late = time(&events.body["data"][1], "time") - due;
    assert!(late >= TimeDelta::zero() && late < TimeDelta::minutes(2), "late by {late}");
    assert_eq!(hatch.event_types(&next).await, ["MessageRequested"], "not its hour");
    hatch.advance(TimeDelta::hours(1)).await;
    hatch.message_with_status(&next, "delivered").await;
    assert_eq!(hatch.event_types(&canceled).await, ["MessageRequested", "MessageCanceled"]);
    hatch.assert_each_sent_once(&[sent_now, id, next]).await;
    nothing_is_due(&hatch).await;
    hatch.finish().await;
}

#[tokio::test]
async fn of_a_cancel_and_a_claim_at_the_same_time_one_wins() {
    let hatch = Hatch::start_with(&Role::ALL, twice).await;
    let races = (0..20).map(|n| {
        let hatch = &hatch;
        async move {
            let id = hatch.send_sms(CUSTOMER, &format!("number {n}")).await;
            let cancel = MessageCommand::Cancel { at: hatch.in_time(TimeDelta::zero()) };
            let canceled = execute(hatch, &id, &cancel).await.is_ok();
            (id, canceled)
        }
    });
    for (id, canceled) in futures::future::join_all(races).await {
        let status = if canceled { "canceled" } else { "delivered" };
        hatch.message_with_status(&id, status).await;
        let called = hatch.record().await.iter().any(|line| line["hatch_message_id"] == *id);
        assert_eq!(called, !canceled);
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_retry_begins_a_new_round_soon() {
    let hatch = Hatch::start_with_clock(&Role::ALL, twice).await;
    let id = hatch.send_sms("+18045550400", "Hello").await;
    hatch.message_with_status(&id, "failed").await;
    let retry = MessageCommand::Retry { at: hatch.in_time(TimeDelta::zero()) };
    execute(&hatch, &id, &retry).await.expect("asked for");
    hatch
        .eventually("the new round has failed as the first", async |hatch| {
            hatch.pass_time(&id).await;
            let types = hatch.event_types(&id).await;
            (types.iter().filter(|name| *name == "MessageFailed").count() == 2).then_some(())
        })
        .await;
    assert_eq!(hatch.message_with_status(&id, "failed").await["attempts"], 2);
    hatch.finish().await;
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_while_it_is_valid_expires() {
    let hatch = Hatch::start_with_clock(&Role::ALL, |settings| {
        as_in_production(settings);
        settings.dispatcher.validity_ms = 86_400_000;
        settings.dispatcher.retry.attempts_max = 5_000;
    })
    .await;
    let url = format!("{}/_sim/accounts/{}", hatch.simulator, crate::harness::ACCOUNT);
    let down = hatch.http.put(url).json(&json!({"mode": "down"})).send().await;
    assert!(down.expect("the simulator answers").status().is_success());
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&id, "retrying").await;
    hatch.advance(TimeDelta::hours(23)).await;
    hatch
        .eventually("it is tried again for a day", async |hatch| {
            let message = hatch.message_with_status(&id, "retrying").await;
            (message["attempts"].as_i64() > Some(1)).then_some(())
        })
        .await;
    hatch.advance(TimeDelta::hours(1)).await;
    let message = hatch.hasten(&id, "failed").await;
    assert_eq!(message["error"]["code"], "expired");
    nothing_is_due(&hatch).await;
    hatch.finish().await;
}

#[tokio::test]
async fn without_nats_messages_are_accepted_sent_once_and_shown() {
    let mut hatch = Hatch::start_with(&Role::ALL, |settings| {
        twice(settings);
        settings.dispatcher.delivery_grace_ms = 300;
        settings.nats_url = Some(NO_NATS.to_owned());
    })
    .await;
    hatch.start_more(&[Role::Dispatcher]).await;
    let sends = (0..40).map(|n| {
        let hatch = &hatch;
        async move { hatch.send_sms(CUSTOMER, &format!("number {n}")).await }
    });
    let ids = futures::future::join_all(sends).await;
    for id in &ids {
        let message = hatch.message_with_status(id, "delivered").await;
        assert_eq!(message["attempts"], 1);
    }
    let record = hatch.record().await;
    assert_eq!(record.len(), ids.len());
    assert!(record.iter().all(|line| line["calls"] == 1), "two sweepers, one call each");
    nothing_is_due(&hatch).await;
    hatch.finish().await;
}

#[tokio::test]
async fn what_finds_no_room_at_its_account_is_parked_and_sent_later() {
    let hatch = Hatch::start_with_clock(&Role::ALL, |settings| {
        twice(settings);
        set_of(settings, "twilio", "http_timeout_ms", json!(3_000));
        settings.dispatcher.account_concurrency_max = 1;
    })
    .await;
    let blocking = hatch.send_sms(HOLE, "Hello").await;
    hatch.message_with_status(&blocking, "sending").await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&blocking, "in_doubt").await;
    // Longer than anything is parked.
    hatch.advance(TimeDelta::seconds(5)).await;
    hatch.message_with_status(&id, "delivered").await;
    let types = hatch.event_types(&id).await;
    assert_eq!(types[..2], ["MessageRequested", "MessageDeferred"], "{types:?}");
    hatch.finish().await;
}
