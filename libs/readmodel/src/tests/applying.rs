//! Pages become rows: once, whole, and by one projector.

use std::sync::Arc;

use hatch_domain::contact::contact_id;
use hatch_eventstore::{Position, RecordedEvent};
use serde_json::json;

use super::Db;
use crate::history::*;
use crate::messages::DEFINITION;
use crate::{Error, Origin, PROJECTIONS, Projection, ProjectionState, QueryError};

/// Two outbound messages and an inbound one, through most that can happen to them.
fn history() -> History {
    let mut history = History::default();
    history.record(TENANT, 1, requested(TENANT, &phone(OURS), &customer(1)));
    history.record(TENANT, 1, attempted(1));
    history.record(TENANT, 2, requested(TENANT, &phone(OURS), &customer(2)));
    history.record(TENANT, 1, send_failed(1, Some(at(60))));
    history.push(TENANT, 99, "consent", "ConsentWithdrawn", "{}");
    history.record(TENANT, 3, received(TENANT, &customer(1), &phone(OURS)));
    history.record(TENANT, 1, attempted(2));
    history.record(TENANT, 2, attempted(1));
    history.record(TENANT, 1, delivered(2));
    history.record(TENANT, 1, sent(2));
    history.record(TENANT, 2, sent(1));
    history.record(TENANT, 2, undelivered(1));
    history
}

/// When the event at `position` happened, as the API shows it: with six digits of the second.
fn shown(position: i64) -> String {
    at(position).format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[tokio::test]
async fn a_message_reads_back_as_the_apis_object() {
    let db = Db::with(&history().events).await;
    let read_model = db.read_model();
    let message =
        read_model.message(TENANT, id(2)).await.expect("it can be read").expect("it is there");
    let request = requested(TENANT, &phone(OURS), &customer(2));
    assert_eq!(
        serde_json::to_value(message).expect("it serialises"),
        json!({
            "id": id(2), "conversation_id": request.conversation_id,
            "contact_id": contact_id(TENANT, &customer(2)), "direction": "outbound",
            "channel": "sms", "from": OURS, "to": ["+18045550002"], "cc": [], "bcc": [],
            "to_count": null, "cc_count": null, "bcc_count": null,
            "subject": null, "body": "Hello", "body_truncated": false, "html": null,
            "html_truncated": false, "attachments": [],
            "status": "undelivered", "provider": "twilio", "provider_message_id": "SM1",
            "attempts": 1, "next_attempt_at": null, "authentication": null, "cut": null,
            "programme": "sms", "suggests": null, "test": false,
            "error": {"code": "30003", "class": "other", "detail": "because of 30003",
            "permanent": true}, "segments": 2, "people": [], "message_id_header": null, "metadata": {"order": "42"}, "created_at": shown(3),
            "scheduled_at": null, "sent_at": shown(11), "delivered_at": null, "read_at": null,
            "updated_at": shown(12),
            "kind": "person", "reply_to": null, "envelope": null, "signs": [],
            "repeated_id": false, "linked_to": null, "visible_body": "Hello", "folded": [], "recipients": [],
            "recipients_count": null, "position": 12,
        })
    );
}

#[tokio::test]
async fn a_conversation_reads_back_as_the_apis_object() {
    let db = Db::with(&history().events).await;
    let conversation_id = requested(TENANT, &phone(OURS), &customer(1)).conversation_id;
    let conversation =
        db.read_model().conversation(TENANT, conversation_id).await.expect("it can be read");
    assert_eq!(
        serde_json::to_value(conversation.expect("it is there")).expect("it serialises"),
        json!({
            "id": conversation_id, "participants": [OURS, "+18045550001"],
            "participants_count": null, "channels": ["sms"],
            "topic": null, "message_count": 2, "last_message": {"id": id(3), "direction": "inbound",
            "channel": "sms", "preview": "Hi back", "at": shown(6)}, "metadata": {},
            "created_at": shown(1), "updated_at": shown(6),
        })
    );
}

#[tokio::test]
async fn events_one_by_one_or_as_one_page_give_equal_rows() {
    let history = history();
    let (whole, single) = (Db::with(&history.events).await, Db::new().await);
    for (n, event) in (0..).zip(&history.events) {
        single.advance(Position(n), std::slice::from_ref(event)).await.expect("it is the next");
    }
    let dump = whole.dump().await;
    assert!(dump.len() > 10, "{dump:?}");
    assert_eq!(single.dump().await, dump);
    assert_eq!(single.checkpoint().await, whole.checkpoint().await);
}

#[tokio::test]
async fn a_projector_that_remembers_its_pages_writes_the_same_and_reads_nothing_back() {
    let history = history();
    let (whole, mindful) = (Db::with(&history.events).await, Db::new().await);
    let mut projection = Projection::of(&DEFINITION);
    // Whatever is done to the row of a message that is on its way, the next event writes it anew.
    let spoil = "UPDATE rm_messages_v1.message_states SET attempts = 99 WHERE status = 'sending'";
    let mut spoiled = 0;
    for (n, event) in (0..).zip(&history.events) {
        let page = std::slice::from_ref(event);
        mindful.go_on(Position(n), page, &mut projection).await.expect("it is the next");
        spoiled += mindful.client().await.execute(spoil, &[]).await.expect("it may be written");
    }
    assert!(spoiled > 0, "messages of the history are on their way for a while");
    assert_eq!(mindful.dump().await, whole.dump().await);
}

#[tokio::test]
async fn a_page_applied_twice_changes_nothing_the_second_time() {
    let history = history();
    let db = Db::with(&history.events).await;
    let before = db.dump().await;
    let again = db.advance(Position::START, &history.events).await.expect_err("it was applied");
    assert!(again.is_fenced(), "{again}");
    assert_eq!(db.dump().await, before);
}

#[tokio::test]
async fn of_two_projectors_at_one_checkpoint_exactly_one_applies_the_page() {
    let history = history();
    let db = Db::new().await;
    let outcomes = tokio::join!(
        db.advance(Position::START, &history.events),
        db.advance(Position::START, &history.events),
        db.advance(Position::START, &history.events[..3]),
    );
    let outcomes = [outcomes.0, outcomes.1, outcomes.2];
    let winners: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    let fenced = outcomes.iter().filter(|one| one.as_ref().is_err_and(Error::is_fenced)).count();
    assert_eq!(fenced, 2, "{outcomes:?}");
    let applied = usize::try_from(winners[0].0).expect("positive");
    assert_eq!(db.dump().await, Db::with(&history.events[..applied]).await.dump().await);
}

#[tokio::test]
async fn a_projector_that_stops_in_the_middle_of_a_page_leaves_it_unapplied() {
    let history = history();
    let db = Db::with(&history.events[..4]).await;
    let before = db.dump().await;
    let (mut client, checkpoint) = (db.client().await, db.checkpoint().await);
    let (mut projection, rest) = (Projection::of(&DEFINITION), &history.events[4..]);
    let advance = projection.advance(&mut client, &checkpoint, (rest, Origin::MadeUp));
    // Polled until it waits for PostgreSQL for the third time, and then never again.
    let mut polls = 0;
    let mut advance = Box::pin(advance);
    let interrupted = std::future::poll_fn(|context| {
        polls += 1;
        match advance.as_mut().poll(context) {
            std::task::Poll::Ready(outcome) => std::task::Poll::Ready(Some(outcome)),
            std::task::Poll::Pending if polls == 3 => std::task::Poll::Ready(None),
            std::task::Poll::Pending => std::task::Poll::Pending,
        }
    });
    assert!(interrupted.await.is_none(), "it was to be interrupted");
    drop(advance);
    drop(client);
    assert_eq!(db.dump().await, before);
    let restarted = db.advance(db.checkpoint().await.position, &history.events[4..]).await;
    assert_eq!(restarted.expect("it goes on"), Position(12));
    assert_eq!(db.dump().await, Db::with(&history.events).await.dump().await);
}

#[tokio::test]
async fn a_page_with_an_unknown_event_is_not_applied_at_all() {
    let mut history = history();
    history.push(TENANT, 1, "message", "MessageTeleported", "{}");
    let db = Db::new().await;
    let error = db.advance(Position::START, &history.events).await.expect_err("never skipped");
    assert!(matches!(error, Error::Undecodable { position: Position(13), .. }), "{error}");
    assert_eq!((db.checkpoint().await.position, db.dump().await), (Position::START, Vec::new()));
}

#[tokio::test]
async fn a_page_that_is_not_the_next_is_refused() {
    let history = history();
    let db = Db::new().await;
    let gap = [Arc::clone(&history.events[0]), Arc::clone(&history.events[2])];
    let later: &[Arc<RecordedEvent>] = &history.events[1..];
    for page in [later, &gap] {
        let error = db.advance(Position::START, page).await.expect_err("it does not follow");
        assert!(matches!(error, Error::NotContiguous { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_receipt_finds_its_message_by_what_the_provider_calls_it() {
    let db = Db::with(&history().events).await;
    let read_model = db.read_model();
    let find = async |tenant, provider: &str, account: Option<&str>, called: &str| {
        let found: Result<_, QueryError> =
            read_model.sent_as(tenant, provider, account, called).await;
        found.expect("it can be looked up").map(|sent| (sent.message_id, sent.attempt))
    };
    assert_eq!(find(TENANT, "twilio", None, "SM2").await, Some((id(1), 2)));
    assert_eq!(find(TENANT, "twilio", Some(ACCOUNT), "SM2").await, Some((id(1), 2)));
    assert_eq!(find(TENANT, "twilio", Some("AC2"), "SM2").await, None);
    assert_eq!(find(TENANT, "vonage", None, "SM2").await, None);
    assert_eq!(find(OTHER_TENANT, "twilio", None, "SM2").await, None);
    assert_eq!(find(TENANT, "twilio", None, "SMinbound").await, None);
}

#[tokio::test]
async fn the_applications_role_may_do_what_the_application_does() {
    let mut db = Db::new().await;
    let mut config = db.database.config();
    config.options("-c role=hatch_app");
    db.pool = hatch_eventstore::pool(&config, 2, std::time::Duration::from_secs(5));
    let history = history();
    db.advance(Position::START, &history.events).await.expect("it may write the rows");
    let client = db.client().await;
    DEFINITION.record_halt(&client, Position(13), "why").await.expect("it may say so");
    let webhook = "INSERT INTO hatch.webhook_log (id, tenant_id, provider, outcome, method,
            path_and_query, headers, body, received_at)
        VALUES (gen_random_uuid(), gen_random_uuid(), 'twilio', 'applied', 'POST', '/', '{}', '', now())";
    client.batch_execute(webhook).await.expect("it may log webhooks");
    let statuses = db.read_model().projections().await.expect("it may read");
    let halted = |name: &&str| {
        let status = statuses.iter().find(|one| one.name == *name).map(|one| one.status);
        status == Some(ProjectionState::Halted)
    };
    assert!(DEFINITION.read_models().iter().all(halted), "{statuses:?}");
    assert!(db.read_model().message(TENANT, id(1)).await.expect("it may read").is_some());
}

#[tokio::test]
async fn a_projection_that_never_ran_is_listed_at_the_beginning() {
    let statuses = Db::new().await.read_model().projections().await.expect("they can be read");
    let listed: Vec<_> = statuses.iter().map(|one| one.name).collect();
    let all: Vec<_> = PROJECTIONS.iter().flat_map(|one| one.read_models).copied().collect();
    assert_eq!(listed, all);
    assert!(statuses.iter().all(|one| one.position == Position::START), "{statuses:?}");
}
