//! Who may call the provider, and when.

use std::time::{Duration, Instant};

use hatch::roles::Role;
use hatch_domain::Environment;
use hatch_domain::ids::TenantId;
use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, StartAttempt};
use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{
    Appender, AppenderConfig, Execute, ExecuteResult, Log, Metadata, Store, SystemEnvironment,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::harness::{ACCOUNT, CUSTOMER, Hatch};

pub(crate) const NOBODY_DISPATCHES: &[Role] =
    &[Role::Command, Role::Query, Role::Webhook, Role::Relay, Role::Projector];

#[tokio::test]
async fn two_dispatchers_send_each_message_once() {
    let mut hatch = Hatch::start().await;
    hatch.start_more(&[Role::Dispatcher]).await;
    let sends = (0..100).map(|n| {
        let hatch = &hatch;
        async move { hatch.send_sms(CUSTOMER, &format!("number {n}")).await }
    });
    let ids = futures::future::join_all(sends).await;
    for id in &ids {
        hatch.message_with_status(id, "delivered").await;
    }
    let record = hatch.record().await;
    assert_eq!(record.len(), ids.len());
    assert!(record.iter().all(|line| line["calls"] == 1));
    hatch.finish().await;
}

/// The only permit of a queue is for who tries again while no further delivery comes. Timers would bring it back after
/// a minute.
#[tokio::test]
async fn one_permit_is_enough_for_a_message_that_is_tried_again() {
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        let dispatcher = &mut settings.dispatcher;
        dispatcher.concurrency_max = 1;
        dispatcher.timers_lag_ms = 60_000;
        (dispatcher.retry.backoff_min_ms, dispatcher.retry.backoff_max_ms) = (50, 200);
    })
    .await;
    let begun = Instant::now();
    let id = hatch.send_sms(FAILS_TWICE, "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    assert!(begun.elapsed() < Duration::from_secs(30), "the timers brought it: {begun:?}");
    hatch.finish().await;
}

/// The provider answers the first two calls for a message to it with an error of its own.
const FAILS_TWICE: &str = "+18045550500";

#[tokio::test]
async fn an_attempt_that_another_claimed_is_not_made() {
    let mut hatch = Hatch::start_with(NOBODY_DISPATCHES, |_| {}).await;
    let claimed = hatch.send_sms(CUSTOMER, "claimed by another").await;
    claim(&hatch, &claimed).await;
    let free = hatch.send_sms(CUSTOMER, "free").await;
    hatch.start_more(&[Role::Dispatcher]).await;
    hatch.message_with_status(&free, "delivered").await;
    // One queue hands out in order: the claimed one was looked at before the free one.
    let types = hatch.event_types(&claimed).await;
    assert_eq!(types[..2], ["MessageRequested", "SendAttempted"]);
    // Its lease is over; a slow machine comes to that.
    let other = types[2..].iter().find(|name| *name != "SendInDoubt");
    assert_eq!(other, None, "{types:?}");
    let record = hatch.record().await;
    assert_eq!(record.len(), 1);
    assert_eq!(record[0]["hatch_message_id"], *free);
    hatch.finish().await;
}

/// Claims the message's attempt as a dispatcher elsewhere would that then dies.
pub(crate) async fn claim(hatch: &Hatch, id: &str) {
    claim_in(&hatch.database, id).await;
}

/// The same in a database.
pub(crate) async fn claim_in(database: &TestDatabase, id: &str) {
    let now = SystemEnvironment.now();
    let command = MessageCommand::StartAttempt(StartAttempt {
        provider: "twilio".to_owned(),
        account: ACCOUNT.to_owned(),
        choice: None,
        token: SystemEnvironment.new_id(),
        call_before: now,
        lease_until: now,
        at: now,
    });
    execute_in(database, id, &command).await.expect("claimed");
}

/// Has the message decide on a command, as another process would.
pub(crate) async fn execute(
    hatch: &Hatch,
    id: &str,
    command: &MessageCommand,
) -> ExecuteResult<Message> {
    execute_in(&hatch.database, id, command).await
}

async fn execute_in(
    database: &TestDatabase,
    id: &str,
    command: &MessageCommand,
) -> ExecuteResult<Message> {
    let postgres = database.config().clone();
    let pool = hatch_eventstore::pool(&postgres, 1, Duration::from_secs(5));
    let stop = CancellationToken::new();
    let (appender, task) = Appender::start(AppenderConfig::default(), postgres, stop.clone());
    let store = Store::new(appender, Log::new(pool), std::sync::Arc::new(SystemEnvironment));
    let executed = store
        .execute::<Message>(Execute::new(
            TenantId::DEFAULT.0,
            id.parse().expect("a UUID"),
            command,
            Metadata::default(),
        ))
        .await;
    stop.cancel();
    task.await.expect("no panic");
    executed
}

#[tokio::test]
async fn a_claim_whose_answer_did_not_come_in_time_is_recognised_and_made_once() {
    let mut hatch = Hatch::start_with(NOBODY_DISPATCHES, |_| {}).await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    let session = hatch.database.connect().await;
    let lock = i64::from_be_bytes(*b"hatchlog");
    session.execute("SELECT pg_advisory_lock($1)", &[&lock]).await.expect("locked");
    hatch.start_more(&[Role::Dispatcher]).await;
    hatch
        .eventually("an append has given up and another waits", async |hatch| {
            // The appender's caller waits for four seconds, the lock for three at a time.
            let waiting = "SELECT count(*) FROM pg_stat_activity \
                WHERE datname = current_database() AND wait_event = 'advisory' \
                AND clock_timestamp() - (SELECT max(recorded_at) FROM es.events) > interval '4.3 s'";
            (hatch.count(waiting).await > 0).then_some(())
        })
        .await;
    session.execute("SELECT pg_advisory_unlock($1)", &[&lock]).await.expect("unlocked");
    session.close().await;
    let message = hatch.message_with_status(&id, "delivered").await;
    assert_eq!(message["attempts"], 1);
    let record = hatch.record().await;
    assert_eq!((record.len(), &record[0]["calls"]), (1, &json!(1)));
    hatch.finish().await;
}

#[tokio::test]
async fn a_claim_that_commits_after_its_deadline_is_abandoned_without_a_call() {
    let mut hatch = Hatch::start_with(NOBODY_DISPATCHES, |settings| {
        // The call must begin within half a second of the claim: 4.5 s less 3 s for the call and
        // 1 s of margin.
        settings.dispatcher.lease_ms = 4_500;
    })
    .await;
    let id = claimed_too_late(&mut hatch).await;
    let message = hatch.message_with_status(&id, "delivered").await;
    // A slow machine is late with the next claim, too.
    assert!(message["attempts"].as_u64() >= Some(2), "{message}");
    let types = hatch.event_types(&id).await;
    assert_eq!(types[..3], ["MessageRequested", "SendAttempted", "AttemptAbandoned"]);
    let record = hatch.record().await;
    assert_eq!(record.len(), 1);
    assert_eq!(record[0]["calls"], json!(1), "the abandoned attempt called nobody");
    hatch.finish().await;
}

#[tokio::test]
async fn a_call_that_is_not_made_uses_up_nothing_of_the_day() {
    let mut hatch = Hatch::start_with(NOBODY_DISPATCHES, |settings| {
        settings.dispatcher.lease_ms = 4_500;
        let account = settings.accounts.get_mut("twilio").expect("the account of SMS");
        account.per_day = Some(1);
    })
    .await;
    let id = claimed_too_late(&mut hatch).await;
    hatch.message_with_status(&id, "delivered").await;
    assert_eq!(hatch.record().await.len(), 1);
    hatch.finish().await;
}

/// Has a message be accepted, and a dispatcher be so slow with its claim that half a second is over.
async fn claimed_too_late(hatch: &mut Hatch) -> String {
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    let session = hatch.database.connect().await;
    // What orders all appends; while it is held, no claim commits.
    let lock = i64::from_be_bytes(*b"hatchlog");
    session.execute("SELECT pg_advisory_lock($1)", &[&lock]).await.expect("locked");
    hatch.start_more(&[Role::Dispatcher]).await;
    hatch
        .eventually("a claim waits for longer than its deadline", async |hatch| {
            let waiting = "SELECT count(*) FROM pg_stat_activity \
                WHERE datname = current_database() AND wait_event = 'advisory' \
                AND clock_timestamp() - query_start > interval '0.7 s'";
            (hatch.count(waiting).await > 0).then_some(())
        })
        .await;
    session.execute("SELECT pg_advisory_unlock($1)", &[&lock]).await.expect("unlocked");
    session.close().await;
    id
}
