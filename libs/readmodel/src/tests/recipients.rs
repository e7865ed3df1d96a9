//! What became of each recipient is kept and read back.

use hatch_domain::address::Address;
use hatch_domain::message::event::{
    MessageDelivered, MessageEvent, MessageRequested, MessageUndelivered,
};
use hatch_domain::{Channel, Email, SendError};
use hatch_eventstore::Position;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Db;
use crate::history::*;
use crate::{MessageFilter, Page};

fn mailbox(n: usize) -> Address {
    Address::email(&format!("r{n}@example.com")).expect("a mailbox")
}

/// A mail to `count`, the last of them in `cc`.
fn mail(count: usize) -> MessageRequested {
    let request = requested(TENANT, &mailbox(9_999), &mailbox(0));
    let email = Email { cc: vec![mailbox(count - 1)], ..Email::default() };
    let (channel, email) = (Channel::Email, Some(Box::new(email)));
    MessageRequested { channel, email, to: (0..count - 1).map(mailbox).collect(), ..request }
}

fn delivered_to(n: usize) -> MessageEvent {
    MessageDelivered {
        attempt: 1,
        provider_message_id: "SM1".to_owned(),
        receipt_id: Uuid::nil(),
        recipient: Some(mailbox(n)),
        at: at(0),
    }
    .into()
}

/// What the server said has a NUL in it.
fn bounced_from(n: usize) -> MessageEvent {
    let error = SendError { detail: "550\0 no such user".to_owned(), ..error("5.1.1", true) };
    MessageUndelivered {
        attempt: 1,
        provider_message_id: "SM1".to_owned(),
        receipt_id: Uuid::nil(),
        error,
        recipient: Some(mailbox(n)),
        bounced: true,
        at: at(0),
    }
    .into()
}

fn history(count: usize, told: &[MessageEvent]) -> History {
    let mut history = History::default();
    history.record(TENANT, 1, mail(count));
    history.record(TENANT, 1, attempted(1));
    history.record(TENANT, 1, sent(1));
    for event in told {
        history.record(TENANT, 1, event.clone());
    }
    history
}

async fn shown(db: &Db) -> Value {
    let message = db.read_model().message(TENANT, id(1)).await.expect("readable").expect("there");
    serde_json::to_value(message).expect("JSON")
}

#[tokio::test]
async fn what_is_kept_of_recipients_goes_on_from_page_to_page() {
    let history = history(3, &[delivered_to(0), bounced_from(2), delivered_to(1)]);
    let (whole, single) = (Db::with(&history.events).await, Db::new().await);
    for (n, event) in (0..).zip(&history.events) {
        single.advance(Position(n), std::slice::from_ref(event)).await.expect("it is the next");
    }
    assert_eq!(single.dump().await, whole.dump().await);
    let message = shown(&single).await;
    assert_eq!(
        (&message["status"], &message["error"]["code"]),
        (&json!("partly_delivered"), &json!("5.1.1"))
    );
    let rows = message["recipients"].as_array().expect("a list");
    let states: Vec<_> = rows.iter().map(|one| (&one["role"], &one["status"])).collect();
    let (to, cc) = (&json!("to"), &json!("cc"));
    let (there, back) = (&json!("delivered"), &json!("undelivered"));
    assert_eq!(states, [(to, there), (to, there), (cc, back)]);
    assert_eq!(rows[2]["error"]["class"], "other");
    assert_eq!(rows[0]["error"], Value::Null);
}

#[tokio::test]
async fn a_list_shows_of_many_recipients_their_number_alone() {
    let db = Db::with(&history(300, &[bounced_from(7), delivered_to(8)]).events).await;
    let whole = shown(&db).await;
    assert_eq!(whole["recipients"].as_array().map(Vec::len), Some(300));
    assert_eq!(whole["recipients_count"], Value::Null);
    let page = Page::new(Some(5), None).expect("a lawful limit");
    let list = db.read_model().messages(TENANT, &MessageFilter::default(), &page).await;
    let list = serde_json::to_value(list.expect("readable").data).expect("JSON");
    assert_eq!(list[0]["recipients_count"], 300);
    assert_eq!(list[0]["recipients"], json!([]));
}

#[tokio::test]
async fn a_message_to_one_has_a_row_for_its_recipient_when_it_is_asked_for() {
    let mut history = History::default();
    history.record(TENANT, 1, requested(TENANT, &phone(OURS), &customer(1)));
    history.record(TENANT, 1, attempted(1));
    history.record(TENANT, 1, sent(1));
    history.record(TENANT, 1, undelivered(1));
    let db = Db::with(&history.events).await;
    let message = shown(&db).await;
    assert_eq!((&message["recipients"], &message["recipients_count"]), (&json!([]), &Value::Null));
    let message = db.read_model().message(TENANT, id(1)).await.expect("readable").expect("there");
    let rows = message.into_recipients();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.address.as_str(), row.role.as_str()), ("+18045550001", "to"));
    assert_eq!((row.status.as_str(), row.error.is_some()), ("undelivered", true));
    let kept = "SELECT count(*) FROM rm_messages_v1.message_states WHERE recipients IS NOT NULL";
    let kept: i64 = db.client().await.query_one(kept, &[]).await.expect("a count").get(0);
    assert_eq!(kept, 0);
}
