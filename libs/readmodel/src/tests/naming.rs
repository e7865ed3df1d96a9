//! The mails that others refer to by name, and who has a part in their conversations.

use hatch_domain::address::Address;
use hatch_domain::message::event::{MessageReceived, MessageRequested};
use hatch_domain::{Channel, Email};

use super::Db;
use crate::history::*;

const US: &str = "support@example.com";
const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";

fn mailbox(text: &str) -> Address {
    Address::email(text).expect("a mailbox")
}

/// Message 1 is a mail of ours to Ann with a copy to Bob, 2 a mail of hers to another tenant, 3 a mail of
/// Bob's to us.
fn mails() -> History {
    let email = |mail_id: &str| Email { mail_id: Some(mail_id.to_owned()), ..Email::default() };
    let mut history = History::default();
    let copied = Email { cc: vec![mailbox(BOB)], subject: Some("Hi".to_owned()), ..email("1@us") };
    let ours = MessageRequested {
        channel: Channel::Email,
        email: Some(Box::new(copied)),
        ..requested(TENANT, &mailbox(US), &mailbox(ANN))
    };
    history.record(TENANT, 1, ours);
    history.record(TENANT, 1, attempted(1));
    history.record(TENANT, 1, sent(1));
    let other = MessageReceived {
        channel: Channel::Email,
        email: Some(Box::new(email("2@x"))),
        ..received(OTHER_TENANT, &mailbox(ANN), &mailbox(US))
    };
    history.record(OTHER_TENANT, 2, other);
    let answered = Email { ours: vec![mailbox(US)], ..email("3@x") };
    let theirs = MessageReceived {
        channel: Channel::Email,
        email: Some(Box::new(answered)),
        ..received(TENANT, &mailbox(BOB), &mailbox(US))
    };
    history.record(TENANT, 3, theirs);
    history
}

#[tokio::test]
async fn mails_are_found_by_all_of_their_names_in_one_query() {
    let db = Db::with(&mails().events).await;
    let read_model = db.read_model();
    let names = ["1@us", "2@x", "3@x", "4@x", "a\0b"];
    let found = read_model.named_mails(TENANT, &names, &["SM1", "SM7"], &["twilio", "none"]).await;
    let mut found = found.expect("an answer");
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let shown = found.iter().map(|one| (one.name.as_str(), one.by_provider, one.is_outbound));
    let expected = [("1@us", false, true), ("3@x", false, false), ("SM1", true, true)];
    assert_eq!(shown.collect::<Vec<_>>(), expected, "the other tenant's is none of them");
    assert_eq!(found[0].people, [mailbox(US), mailbox(ANN), mailbox(BOB)]);
    assert_eq!((&found[0].ours, &found[1].ours), (&vec![mailbox(US)], &vec![mailbox(US)]));
    assert_eq!(found[0].subject.as_deref(), Some("Hi"));
    assert_eq!(found[2].conversation_id, found[0].conversation_id);
}

#[tokio::test]
async fn who_has_a_part_in_a_conversation_is_told_for_each() {
    let db = Db::with(&mails().events).await;
    let (ann, bob) = (mailbox(ANN), mailbox("Bob@Example.org"));
    let ours = requested(TENANT, &mailbox(US), &ann).conversation_id;
    let theirs = requested(TENANT, &mailbox(US), &bob).conversation_id;
    let read_model = db.read_model();
    let members = read_model.taking_part(TENANT, &[ours, theirs], &[&ann, &bob]).await;
    let mut members = members.expect("an answer");
    members.sort();
    let mut expected = [(ours, ann.clone()), (theirs, bob.identity().into_owned())];
    expected.sort();
    assert_eq!(members, expected, "a copy alone makes no member here");
    let none = read_model.taking_part(OTHER_TENANT, &[ours, theirs], &[&ann, &bob]).await;
    assert_eq!(none.expect("an answer"), []);
}
