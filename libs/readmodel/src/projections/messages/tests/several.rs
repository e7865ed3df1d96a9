//! A message in the conversations of several mailboxes.

use hatch_domain::conversation::conversation_id;

use super::super::joined::Elsewhere;
use super::*;

/// A message from a customer to us, in the conversation with another number of ours, too.
fn mail() -> (History, Address) {
    let (mut history, other) = (History::default(), phone("+12016665678"));
    history.record(TENANT, 1, received(TENANT, &customer(1), &phone(OURS)));
    history.record(TENANT, 1, joined(TENANT, &customer(1), &other));
    (history, other)
}

#[test]
fn each_conversation_has_the_message_at_a_place_of_its_own() {
    let (history, other) = mail();
    let rows = folded(&history);
    assert_eq!((rows.contents.len(), rows.conversations.len()), (1, 2));
    let conversation = |with: &Address| {
        let id = conversation_id(TENANT, [&customer(1), with], None);
        rows.conversations[&id].clone()
    };
    let (first, second) = (conversation(&phone(OURS)), conversation(&other));
    assert_eq!((first.last_message_position.0, second.last_message_position.0), (1, 2));
    for one in [&first, &second] {
        assert_eq!((one.message_count, one.unread_count), (1, 1));
        assert_eq!(one.last_message.preview.as_deref(), Some("Hi back"));
        assert_eq!(one.last_message.id, first.last_message.id);
    }
    let mut among = [customer(1).to_string(), other.to_string()];
    among.sort_unstable();
    assert_eq!(second.participants, among);
    let [joined] = &rows.joined[..] else { panic!("one joined") };
    assert_eq!((joined.created_position.0, joined.position.0), (1, 2));
    assert_eq!(state(&rows, 1).position.0, 2, "it is the latest event of the message");
}

#[test]
fn a_message_that_is_read_again_reads_so_in_each_conversation() {
    let (mut history, other) = mail();
    history.record(TENANT, 1, reread(TENANT, &customer(1), &phone(OURS), "Hello"));
    let rows = folded(&history);
    for one in rows.conversations.values() {
        assert_eq!(one.last_message.preview.as_deref(), Some("Hello"));
    }
    // Likewise where the page has nothing but the new reading.
    let (before, _) = mail();
    let MessageRows { states, conversations, .. } = folded(&before);
    let id = conversation_id(TENANT, [&customer(1), &other], None);
    let message = conversations[&id].last_message.id;
    let elsewhere = Elsewhere { joined: vec![(message, id)], ..Elsewhere::default() };
    let loaded = MessageRows { states, conversations, elsewhere, ..MessageRows::default() };
    let rows = fold(loaded, &history.events[2..]).expect("a lawful history");
    for one in rows.conversations.values() {
        assert_eq!(one.last_message.preview.as_deref(), Some("Hello"));
    }
}

#[test]
fn a_message_that_joins_later_reads_as_it_is_kept() {
    let (history, other) = mail();
    let began = fold(MessageRows::default(), &history.events[..1]).expect("a lawful history");
    let MessageRows { states, conversations, .. } = began;
    let message = *states.keys().next().expect("one message");
    let previews = [(message, Some("Kept".to_owned()))].into();
    let elsewhere = Elsewhere { previews, ..Elsewhere::default() };
    let loaded = MessageRows { states, conversations, elsewhere, ..MessageRows::default() };
    let rows = fold(loaded, &history.events[1..]).expect("a lawful history");
    let id = conversation_id(TENANT, [&customer(1), &other], None);
    assert_eq!(rows.conversations[&id].last_message.preview.as_deref(), Some("Kept"));
    assert_eq!(rows.opened, [id]);
}
