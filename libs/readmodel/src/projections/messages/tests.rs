//! The fold, given a history: no database.

mod recipients;
mod several;

use std::collections::BTreeMap;
use std::sync::Arc;

use hatch_domain::address::Address;
use hatch_domain::contact::contact_id;
use hatch_domain::mailbox::{Person, PersonRole};
use hatch_domain::message::event::{
    MessageCanceled, MessageDeferred, MessageEvent, MessageRead, MessageReceived, MessageRequested,
    RetryRequested,
};
use hatch_domain::message::status::Status;
use hatch_domain::{Attachment, Channel, Email, MailKind};
use hatch_eventstore::{Position, RecordedEvent};
use proptest::prelude::*;

use super::fold::{MessageRows, conversations_to_load, message_facts, messages_to_load};
use super::message::Direction;
use super::recent::{MESSAGES_MAX, RecentMessages};
use super::state::MessageState;
use crate::Error;
use crate::history::*;

fn fold(rows: MessageRows, page: &[Arc<RecordedEvent>]) -> Result<MessageRows, Error> {
    rows.after(&message_facts(page)?)
}

fn folded(history: &History) -> MessageRows {
    fold(MessageRows::default(), &history.events).expect("a lawful history")
}

fn state(rows: &MessageRows, message: u128) -> &MessageState {
    &rows.states.get(&id(message)).expect("the message has a row").state
}

/// The state of one outbound message after `events`.
fn outbound(
    events: impl IntoIterator<Item = hatch_domain::message::event::MessageEvent>,
) -> MessageState {
    let mut history = History::default();
    history.record(TENANT, 1, requested(TENANT, &phone(OURS), &customer(1)));
    for event in events {
        history.record(TENANT, 1, event);
    }
    state(&folded(&history), 1).clone()
}

#[test]
fn a_request_begins_a_queued_message_and_its_conversation() {
    let mut history = History::default();
    history.record(TENANT, 1, requested(TENANT, &phone(OURS), &customer(1)));
    let rows = folded(&history);
    let [content] = rows.contents.as_slice() else {
        panic!("one message, got {:?}", rows.contents)
    };
    assert_eq!((content.id, content.direction), (id(1), Direction::Outbound));
    assert_eq!(content.contact_id, contact_id(TENANT, &customer(1)).0);
    assert_eq!((content.created_position, content.created_at), (Position(1), at(1)));
    assert_eq!(content.metadata, serde_json::json!({"order": "42"}));
    assert_eq!(state(&rows, 1).progress.status, Status::Queued);
    assert_eq!(rows.opened, [content.conversation_id]);
    let conversation = &rows.conversations[&content.conversation_id];
    assert_eq!(conversation.participants, [OURS, "+18045550001"]);
    assert_eq!((conversation.message_count, conversation.unread_count), (1, 0));
}

#[test]
fn a_life_that_goes_well_ends_delivered_with_all_its_times() {
    let state = outbound([attempted(1), sent(1), delivered(1)]);
    assert_eq!((state.progress.status, state.progress.attempt), (Status::Delivered, 1));
    assert_eq!((state.sent_at, state.delivered_at), (Some(at(3)), Some(at(4))));
    assert_eq!((state.updated_at, state.position), (at(4), Position(4)));
    assert_eq!(
        (state.provider.as_deref(), state.account.as_deref()),
        (Some("twilio"), Some(ACCOUNT))
    );
    assert_eq!((state.provider_message_id.as_deref(), state.segments), (Some("SM1"), Some(2)));
    assert_eq!((state.error, state.next_attempt_at), (None, None));
}

#[test]
fn an_inbound_message_is_received_and_unread() {
    let mut history = History::default();
    history.record(TENANT, 1, received(TENANT, &customer(1), &phone(OURS)));
    let rows = folded(&history);
    assert_eq!(rows.contents[0].contact_id, contact_id(TENANT, &customer(1)).0);
    let state = state(&rows, 1);
    assert_eq!((state.progress.status, state.progress.attempt), (Status::Received, 0));
    assert_eq!(state.provider_message_id.as_deref(), Some("SMinbound"));
    assert_eq!(rows.provider_messages, [], "receipts speak of outbound messages only");
    let conversation = rows.conversations.values().next().expect("one");
    assert_eq!((conversation.message_count, conversation.unread_count), (1, 1));
}

#[test]
fn what_a_program_wrote_by_itself_is_not_unread() {
    let address = |text: &str| Address::email(text).expect("an address");
    let kinds = [MailKind::AutoReply, MailKind::Bounce, MailKind::List, MailKind::Person];
    let mut history = History::default();
    for (n, kind) in (1..).zip(kinds) {
        let email = Some(Box::new(Email { kind, ..Email::default() }));
        let mail = received(TENANT, &address("ann@example.com"), &address("us@example.com"));
        history.record(TENANT, n, MessageReceived { channel: Channel::Email, email, ..mail });
    }
    let rows = folded(&history);
    assert_eq!(rows.contents[0].kind, Some("auto_reply"));
    let conversation = rows.conversations.values().next().expect("one");
    assert_eq!((conversation.message_count, conversation.unread_count), (4, 2));
    assert_eq!(conversation.last_message.id, id(4));
}

#[test]
fn a_failed_attempt_shows_why_and_when_the_next_is_due_until_it_starts() {
    let waiting = outbound([attempted(1), send_failed(1, Some(at(60)))]);
    assert_eq!(waiting.progress.status, Status::Retrying);
    assert_eq!(waiting.next_attempt_at, Some(at(60)));
    assert_eq!(waiting.error, Some(error("20500", false)));
    let again = outbound([attempted(1), send_failed(1, Some(at(60))), attempted(2)]);
    assert_eq!((again.progress.status, again.progress.attempt), (Status::Sending, 2));
    assert_eq!((again.next_attempt_at, again.error), (None, None));
}

#[test]
fn a_final_failure_has_no_next_attempt() {
    let state = outbound([attempted(1), send_failed(1, None), failed(1)]);
    assert_eq!(state.progress.status, Status::Failed);
    assert_eq!((state.error, state.next_attempt_at), (Some(error("30008", true)), None));
}

#[test]
fn a_late_receipt_of_a_former_attempt_changes_neither_status_nor_reason() {
    let life = [attempted(1), sent(1), undelivered(1), attempted(2), sent(2)];
    let before = outbound(life.clone());
    let after = outbound(life.into_iter().chain([undelivered(1)]));
    assert_eq!(after.progress.status, Status::Sent);
    assert_eq!(after.position, before.position.next(), "it did touch the message");
    let untouched =
        MessageState { updated_at: before.updated_at, position: before.position, ..after };
    assert_eq!(untouched, before);
}

#[test]
fn a_receipt_that_overtakes_the_answer_leaves_the_answers_details() {
    let state = outbound([attempted(1), delivered(1), sent(1)]);
    assert_eq!(state.progress.status, Status::Delivered);
    assert_eq!((state.sent_at, state.segments), (Some(at(4)), Some(2)));
}

#[test]
fn what_the_provider_calls_each_attempt_is_kept_once() {
    let mut history = History::default();
    history.record(TENANT, 1, requested(TENANT, &phone(OURS), &customer(1)));
    for event in [attempted(1), sent(1), undelivered(1), attempted(2), sent(2), delivered(2)] {
        history.record(TENANT, 1, event);
    }
    let rows = folded(&history);
    let kept: Vec<_> = rows
        .provider_messages
        .iter()
        .map(|p| (p.provider_message_id.as_str(), p.attempt))
        .collect();
    assert_eq!(kept, [("SM1", 1), ("SM2", 2)]);
}

#[test]
fn a_conversation_counts_exactly_and_shows_its_latest_message() {
    let mut history = History::default();
    let long = "word ".repeat(100);
    history.record(TENANT, 1, requested(TENANT, &phone(OURS), &customer(1)));
    history.record(TENANT, 2, received(TENANT, &customer(1), &phone(OURS)));
    history.record(TENANT, 1, attempted(1));
    let mut last = received(TENANT, &customer(1), &phone(OURS));
    last.body = Some(format!("  two\nlines {long}"));
    history.record(TENANT, 3, last);
    let rows = folded(&history);
    let conversation = rows.conversations.values().next().expect("one");
    assert_eq!((conversation.message_count, conversation.unread_count), (3, 2));
    assert_eq!(conversation.last_message.id, id(3));
    assert_eq!(conversation.last_message_position, Position(4));
    assert_eq!((conversation.created_at, conversation.updated_at), (at(1), at(4)));
    let preview = conversation.last_message.preview.as_deref().expect("it has a text");
    assert!(preview.starts_with("two lines word word"), "{preview}");
    assert!((138..=140).contains(&preview.chars().count()), "{preview}");
}

#[test]
fn a_mail_shows_all_that_a_mail_has_and_its_subject_where_it_has_no_text() {
    let mut history = History::default();
    let mail = |text: &str| Address::email(text).expect("an address");
    let them =
        Person { role: PersonRole::To, address: mail("them@example.com"), name: "Them".to_owned() };
    let people = vec![them];
    history.record(
        TENANT,
        1,
        MessageRequested {
            channel: Channel::Email,
            body: None,
            attachments: vec![Attachment {
                filename: Some("a.txt".to_owned()),
                content: Some("aGVsbG8=".to_owned()),
                ..Attachment::default()
            }],
            email: Some(Box::new(Email {
                subject: Some("An  offer".to_owned()),
                html: Some("<p>Hello</p>".to_owned()),
                cc: vec![mail("c@example.com")],
                bcc: vec![mail("b@example.com")],
                mail_id: Some("name@example.com".to_owned()),
                people: people.clone(),
                ..Email::default()
            })),
            topic: Some("offers".to_owned()),
            ..requested(TENANT, &mail("us@example.com"), &mail("them@example.com"))
        },
    );
    let rows = folded(&history);
    let content = &rows.contents[0];
    assert_eq!(content.subject.as_deref(), Some("An  offer"));
    assert_eq!(content.html.as_deref(), Some("<p>Hello</p>"));
    assert_eq!(
        (&content.cc[..], &content.bcc[..]),
        (&[mail("c@example.com")][..], &[mail("b@example.com")][..])
    );
    assert_eq!(content.mail_id.as_deref(), Some("name@example.com"));
    assert_eq!(content.message_id_header().as_deref(), Some("<name@example.com>"));
    assert_eq!(content.people.as_deref(), Some(&people[..]));
    let attachment = &rows.attachments[0];
    assert_eq!((attachment.position, attachment.place), (Position(1), 0));
    let shown = serde_json::json!([
        {"id": attachment.id.to_string(), "filename": "a.txt", "size_bytes": 5}
    ]);
    assert_eq!(content.attachments, shown, "the file itself is in the event");
    let conversation = &rows.conversations[&content.conversation_id];
    assert_eq!(conversation.topic.as_deref(), Some("offers"));
    assert_eq!(conversation.last_message.preview.as_deref(), Some("An offer"));
    assert_eq!(conversation.participants.len(), 2, "copies are no participants");
}

#[test]
fn a_mailbox_takes_part_once_however_it_is_written_and_is_shown_as_it_was() {
    let mut history = History::default();
    let mail = |text: &str| Address::email(text).expect("an address");
    let (us, written) = (mail("us@example.com"), mail("Ann@Example.com"));
    let email = |request: MessageRequested| MessageRequested { channel: Channel::Email, ..request };
    history.record(TENANT, 1, email(requested(TENANT, &us, &written)));
    history.record(TENANT, 2, email(requested(TENANT, &us, &mail("ann@example.com"))));
    let rows = folded(&history);
    let [first, second] = &rows.contents[..] else { panic!("two messages") };
    assert_eq!(first.to, [mail("Ann@example.com")]);
    assert_eq!(first.participants(), ["ann@example.com", "us@example.com"]);
    assert_eq!(first.contact_id, second.contact_id);
    let conversation = rows.conversations.values().next().expect("one");
    assert_eq!((rows.conversations.len(), conversation.message_count), (1, 2));
    assert_eq!(conversation.participants, ["ann@example.com", "us@example.com"]);
}

#[test]
fn a_schedule_is_the_first_due_time_and_a_cancel_ends_it() {
    let mut history = History::default();
    let request = requested(TENANT, &phone(OURS), &customer(1));
    history.record(TENANT, 1, MessageRequested { send_at: Some(at(500)), ..request });
    let rows = folded(&history);
    assert_eq!(rows.contents[0].scheduled_at, Some(at(500)));
    let waiting = state(&rows, 1);
    assert_eq!(waiting.progress.status, Status::Scheduled);
    assert_eq!(waiting.next_attempt_at, Some(at(500)));
    history.record(TENANT, 1, MessageCanceled { at: at(0) });
    let rows = folded(&history);
    let canceled = state(&rows, 1);
    assert_eq!(canceled.progress.status, Status::Canceled);
    assert_eq!(canceled.next_attempt_at, None);
}

#[test]
fn a_deferral_puts_off_the_next_attempt_and_leaves_the_reason_of_the_last() {
    let deferred = || {
        MessageEvent::from(MessageDeferred {
            reason: "rate".into(),
            until: at(90),
            error: None,
            expires_at: None,
            waits_for: None,
            at: at(0),
        })
    };
    let queued = outbound([deferred()]);
    assert_eq!((queued.progress.status, queued.next_attempt_at), (Status::Queued, Some(at(90))));
    let retrying = outbound([attempted(1), send_failed(1, Some(at(60))), deferred()]);
    assert_eq!(retrying.progress.status, Status::Retrying);
    assert_eq!(retrying.next_attempt_at, Some(at(90)));
    assert_eq!(retrying.error, Some(error("20500", false)));
    let late = outbound([attempted(1), sent(1), deferred()]);
    assert_eq!((late.progress.status, late.next_attempt_at), (Status::Sent, None));
}

#[test]
fn a_new_round_begins_without_the_error_of_the_last() {
    let life = [attempted(1), send_failed(1, None), failed(1), RetryRequested { at: at(0) }.into()];
    let again = outbound(life.clone());
    assert_eq!((again.progress.status, again.progress.attempt), (Status::Queued, 1));
    assert_eq!((again.error, again.next_attempt_at), (None, None));
    let sent = outbound(life.into_iter().chain([attempted(2), sent(2)]));
    assert_eq!((sent.progress.status, sent.progress.attempt), (Status::Sent, 2));
    assert_eq!(sent.provider_message_id.as_deref(), Some("SM2"));
}

#[test]
fn a_read_message_knows_when_whatever_order_its_receipts_have() {
    let read = || {
        MessageEvent::from(MessageRead {
            attempt: 1,
            provider_message_id: "SM1".to_owned(),
            receipt_id: uuid::Uuid::from_u128(8),
            recipient: None,
            at: at(0),
        })
    };
    let state = outbound([attempted(1), read(), sent(1), delivered(1)]);
    assert_eq!(state.progress.status, Status::Read);
    assert_eq!((state.read_at, state.sent_at), (Some(at(3)), Some(at(4))));
    assert_eq!(state.delivered_at, Some(at(5)));
    assert_eq!(state.provider_message_id.as_deref(), Some("SM1"));
}

#[test]
fn a_chat_message_has_arrived_when_it_is_written() {
    let mut history = History::default();
    let name = |text: &str| Address::name(text).expect("a name");
    let request = requested(TENANT, &name("alice"), &name("bob"));
    history.record(TENANT, 1, MessageRequested { channel: Channel::Chat, ..request });
    let rows = folded(&history);
    let state = state(&rows, 1);
    assert_eq!((state.progress.status, state.delivered_at), (Status::Delivered, Some(at(1))));
}

#[test]
fn a_text_that_postgresql_cannot_hold_does_not_halt_the_projection() {
    let mut history = History::default();
    let mut odd = received(TENANT, &customer(1), &phone(OURS));
    odd.body = Some("a\u{0}b".to_owned());
    history.record(TENANT, 1, odd);
    assert_eq!(folded(&history).contents[0].body.as_deref(), Some("a\u{fffd}b"));
}

#[test]
fn an_unknown_event_of_a_message_names_its_position_and_type() {
    let mut history = History::default();
    history.record(TENANT, 1, requested(TENANT, &phone(OURS), &customer(1)));
    history.push(TENANT, 1, "message", "MessageTeleported", "{}");
    let error = fold(MessageRows::default(), &history.events).expect_err("never skipped");
    assert!(matches!(error, Error::Undecodable { position: Position(2), .. }), "{error}");
    assert!(error.to_string().contains("MessageTeleported"), "{error}");
}

#[test]
fn events_of_other_aggregates_are_none_of_its_business() {
    let mut history = History::default();
    history.push(TENANT, 9, "consent", "ConsentWithdrawn", "{}");
    assert_eq!(folded(&history), MessageRows::default());
}

#[test]
fn an_event_that_does_not_fit_its_message_is_refused() {
    let request = || requested(TENANT, &phone(OURS), &customer(1));
    let mut orphan = History::default();
    orphan.record(TENANT, 1, attempted(1));
    let mut twice = History::default();
    twice.record(TENANT, 1, request());
    twice.record(TENANT, 1, request());
    for (history, position) in [(orphan, 1), (twice, 2)] {
        let error = fold(MessageRows::default(), &history.events).expect_err("it does not fit");
        let expected = matches!(&error, Error::Misplaced { position: at, .. } if at.0 == position);
        assert!(expected, "{error}");
    }
}

#[test]
fn only_rows_that_can_exist_are_loaded() {
    let mut history = History::default();
    history.record(TENANT, 1, requested(TENANT, &phone(OURS), &customer(1)));
    history.record(TENANT, 2, requested(TENANT, &phone(OURS), &customer(2)));
    history.record(TENANT, 1, attempted(1));
    history.record(TENANT, 2, attempted(1));
    let facts = message_facts(&history.events[1..]).expect("lawful");
    let unknown = messages_to_load(&facts, &BTreeMap::new());
    assert_eq!(unknown, [id(1).0], "message 2 begins in this page");
    assert_eq!(conversations_to_load(&facts).len(), 1);
}

#[test]
fn so_many_recent_messages_are_remembered_and_no_settled_one() {
    let began = |first: usize, count: usize| {
        let mut history = History::default();
        for n in first..first + count {
            let request = requested(TENANT, &phone(OURS), &customer(1));
            history.record(TENANT, n as u128, request);
        }
        history
    };
    let mut recent = RecentMessages::default();
    let pages = 5;
    for n in 0..pages {
        recent.keep(folded(&began(1 + n * MESSAGES_MAX, MESSAGES_MAX)), &[]);
    }
    let mut goes_on = |n: usize| {
        let mut history = History::default();
        history.record(TENANT, n as u128, attempted(1));
        recent.take(&message_facts(&history.events).expect("lawful")).len()
    };
    assert_eq!(goes_on(pages * MESSAGES_MAX), 1, "the newest");
    assert_eq!(goes_on(pages * MESSAGES_MAX), 0, "it is taken");
    assert_eq!(goes_on(1), 0, "the oldest is forgotten");

    let mut recent = RecentMessages::default();
    let mut life = began(1, 1);
    for event in [attempted(1), sent(1), delivered(1)] {
        life.record(TENANT, 1, event);
    }
    let facts = message_facts(&life.events).expect("lawful");
    recent.keep(folded(&life), &[]);
    assert!(recent.take(&facts).is_empty());
}

proptest! {
    #[test]
    fn receipts_in_any_order_end_in_the_same_status(
        receipts in Just(vec![sent(1), sent(2), undelivered(1), undelivered(2), failed(2), delivered(2)])
            .prop_shuffle(),
        kept in 1..=6_usize,
        repeated in 0..6_usize,
    ) {
        let mut receipts = receipts;
        receipts.truncate(kept);
        receipts.push(receipts[repeated % kept].clone());
        let after = |receipts: Vec<_>| {
            outbound([attempted(1), attempted(2)].into_iter().chain(receipts)).progress
        };
        let mut sorted = receipts.clone();
        sorted.sort_by_key(|receipt| format!("{receipt:?}"));
        prop_assert_eq!(after(receipts), after(sorted));
    }

    #[test]
    fn the_borders_of_pages_do_not_matter(lives in lives(), cuts in prop::collection::vec(1..5_usize, 40)) {
        let whole = folded(&lives);
        let (mut rows, mut rest, mut cuts) = (MessageRows::default(), lives.events.as_slice(), cuts.into_iter());
        while !rest.is_empty() {
            let (page, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
            rows = fold(rows, page).expect("a lawful history");
            rest = later;
        }
        prop_assert_eq!(rows, whole);
    }
}

/// The interleaved lives of a few messages of two conversations.
pub(crate) fn lives() -> impl Strategy<Value = History> {
    let step = (1..5_u128, any::<bool>(), 0..9_usize);
    prop::collection::vec(step, 1..40).prop_map(|steps| {
        let mut history = History::default();
        let mut begun = std::collections::HashSet::new();
        for (message, inbound, kind) in steps {
            let peer = customer(u32::try_from(message % 2).unwrap_or_default());
            if begun.insert(message) {
                if inbound {
                    history.record(TENANT, message, received(TENANT, &peer, &phone(OURS)));
                } else {
                    history.record(TENANT, message, requested(TENANT, &phone(OURS), &peer));
                }
                continue;
            }
            history.record(
                TENANT,
                message,
                match kind {
                    0 => attempted(1),
                    1 => attempted(2),
                    2 => sent(1),
                    3 => sent(2),
                    4 => undelivered(1),
                    5 => send_failed(1, Some(at(99))),
                    6 => delivered(2),
                    7 => joined(
                        TENANT,
                        &customer(u32::try_from(message % 3).unwrap_or_default()),
                        &phone(OURS),
                    ),
                    _ => failed(2),
                },
            );
        }
        history
    })
}
