//! Events as they are written in the log, and read by this build and by later ones.

use super::accounts::{abandoned, deferred};
use super::*;
use crate::consent::Programme;
use crate::consent::words::{Confirmed, Suggestion};
use crate::decider::DomainEvent;
use crate::ids::ConversationId;
use crate::message::command::JoinConversation;
use crate::message::event::MessageJoinedConversation;
use crate::{Email, MailKind};

#[test]
fn every_event_reads_back_as_it_was_written() {
    for event in every_event() {
        let read =
            MessageEvent::decode(event.event_type(), event.schema_version(), &event.encode());
        assert_eq!(read.expect("readable"), event);
    }
}

#[test]
fn golden_events_are_read_and_written_alike() {
    crate::tests::examples_are_the_golden_events::<Message>(&every_event());
}

#[test]
fn an_unknown_type_version_or_shape_is_an_error_not_a_guess() {
    for (name, version, payload) in
        [("MessageTeleported", 1, "{}"), ("MessageSent", 2, "{}"), ("MessageSent", 1, "{}")]
    {
        assert!(MessageEvent::decode(name, version, payload).is_err(), "{name} {version}");
    }
}

pub(super) fn every_event() -> Vec<MessageEvent> {
    let delivered = receipt(1, ReceiptOutcome::Delivered);
    let mut events: Vec<MessageEvent> = vec![
        request().into(),
        attempted(1, 1),
        sent(1),
        failed(1, Some(at(9))),
        SendInDoubt { attempt: 1, detail: "timeout".to_owned(), at: at(4) }.into(),
        abandoned(1, None, 5),
        MessageFailed {
            attempt: 1,
            error: error(true),
            receipt_id: None,
            recipient: None,
            at: at(4),
        }
        .into(),
        MessageDelivered {
            attempt: 1,
            provider_message_id: "SM1".to_owned(),
            receipt_id: delivered.receipt_id,
            recipient: None,
            at: at(4),
        }
        .into(),
        MessageUndelivered {
            attempt: 1,
            provider_message_id: "SM1".to_owned(),
            receipt_id: delivered.receipt_id,
            error: error(true),
            recipient: None,
            bounced: false,
            at: at(4),
        }
        .into(),
        inbound().into(),
        MessageRead {
            attempt: 1,
            provider_message_id: "SM1".to_owned(),
            receipt_id: delivered.receipt_id,
            recipient: None,
            at: at(5),
        }
        .into(),
        MessageCanceled { at: at(1) }.into(),
        deferred("rate", 6),
        RetryRequested { at: at(7) }.into(),
        MessageReread { message: Box::new(reread()), at: at(8) }.into(),
    ];
    events.extend(later_events(delivered.receipt_id));
    events
}

/// What happens to a message after it has arrived, or was in doubt.
fn later_events(receipt_id: Uuid) -> Vec<MessageEvent> {
    vec![
        RecipientComplained {
            attempt: 1,
            provider_message_id: "LRzXl_NHStOGhQ4kofSm_A".to_owned(),
            receipt_id,
            recipient: mailbox("ann@example.com"),
            reason: "spamreport".to_owned(),
            at: at(8),
        }
        .into(),
        RecipientUnsubscribed {
            attempt: 1,
            provider_message_id: "LRzXl_NHStOGhQ4kofSm_A".to_owned(),
            receipt_id,
            recipient: mailbox("ann@example.com"),
            reason: "group_unsubscribe".to_owned(),
            at: at(8),
        }
        .into(),
        joined(7).into(),
        DoubtResolved {
            attempt: 1,
            resolution: Resolution::NotSent,
            reason: "their log has nothing of it".to_owned(),
            at: at(9),
        }
        .into(),
    ]
}

#[test]
fn whom_an_event_speaks_of_is_absent_or_read_as_it_was_written() {
    for event in every_event() {
        let written = event.encode();
        let is_of_one = event.event_type().starts_with("Recipient");
        assert_eq!(written.contains("recipient\":"), is_of_one, "{written}");
        assert!(!written.contains("bounced"), "{written}");
    }
    let ann = Some(mailbox("Ann@example.com"));
    let provider_message_id = "SM1".to_owned();
    let bounce = MessageUndelivered {
        attempt: 1,
        provider_message_id,
        receipt_id: Uuid::nil(),
        error: error(true),
        recipient: ann.clone(),
        bounced: true,
        at: at(4),
    };
    let event = MessageEvent::from(bounce);
    let written = event.encode();
    assert!(written.contains(r#""recipient":"Ann@example.com","bounced":true"#), "{written}");
    let read = MessageEvent::decode(event.event_type(), event.schema_version(), &written);
    let read = read.expect("readable");
    assert_eq!((read.recipient(), read.at()), (ann.as_ref(), at(4)));
    assert_eq!(read, event);
}

#[test]
fn what_a_message_says_of_consent_is_absent_or_read_as_it_was_written() {
    for absent in ["programme", "confirms", "suggests"] {
        for event in [MessageEvent::from(request()), inbound().into()] {
            assert!(!event.encode().contains(absent), "{absent}: {}", event.encode());
        }
    }
    let news = Programme::new("news").expect("a name");
    let answer =
        MessageRequested { programme: Some(news), confirms: Some(Confirmed::Stop), ..request() };
    let near = MessageReceived { suggests: Some(Suggestion::OptedOut), ..inbound() };
    for (event, text) in [
        (MessageEvent::from(answer), r#""programme":"news","confirms":"stop""#),
        (near.into(), r#""suggests":"opted_out""#),
    ] {
        let written = event.encode();
        assert!(written.contains(text), "{written}");
        let read = MessageEvent::decode(event.event_type(), event.schema_version(), &written);
        assert_eq!(read.expect("readable"), event);
    }
}

#[test]
fn a_test_says_so_and_every_other_message_says_nothing_of_it() {
    for event in [MessageEvent::from(request()), inbound().into()] {
        assert!(!event.encode().contains("test"), "{}", event.encode());
    }
    let asked = MessageRequested { test: true, ..request() };
    let came = MessageReceived { test: true, ..inbound() };
    for event in [MessageEvent::from(asked), came.into()] {
        let written = event.encode();
        assert!(written.contains(r#""test":true"#), "{written}");
        let read = MessageEvent::decode(event.event_type(), event.schema_version(), &written);
        assert_eq!(read.expect("readable"), event);
        assert!(given(&[event]).0.is_test(), "{written}");
    }
    for history in [vec![request().into()], vec![inbound().into()], vec![]] {
        assert!(!given(&history).0.is_test(), "{history:?}");
    }
}

#[test]
fn each_word_has_one_answer() {
    let inbound = |n| MessageId(Uuid::from_u128(n));
    assert_eq!(confirmation_id(inbound(1)), confirmation_id(inbound(1)));
    assert_ne!(confirmation_id(inbound(1)), confirmation_id(inbound(2)));
    assert_ne!(confirmation_id(inbound(1)), inbound(1));
}

#[test]
fn a_message_that_is_read_again_says_what_is_new_and_who_wrote_to_whom_stays() {
    let again = |message: &Message, reading: MessageReceived| {
        let command = MessageCommand::Reread { message: Box::new(reading), at: at(9) };
        message.decide(&command).expect("it is taken")
    };
    let came = Message::default().evolve(&inbound().into());
    assert!(again(&came, inbound()).is_empty(), "it reads as it did");
    let moved =
        MessageReceived { provider_message_id: "other".to_owned(), to: Vec::new(), ..reread() };
    let events = again(&came, moved);
    let [event] = &events[..] else { panic!("one event") };
    assert_eq!(event, &MessageReread { message: Box::new(reread()), at: at(9) }.into());
    let after = came.evolve(event);
    assert_eq!(after.received(), Some(&reread()));
    assert_eq!(after.status(), Status::Received);
    assert!(again(&after, reread()).is_empty(), "again says nothing new");
    let sent = Message::default().evolve(&MessageEvent::MessageRequested(request().into()));
    assert!(again(&sent, reread()).is_empty(), "what did not come in is not read again");
}

/// The message in the conversation of another mailbox.
fn joined(n: u128) -> MessageJoinedConversation {
    MessageJoinedConversation {
        conversation_id: ConversationId(Uuid::from_u128(n)),
        mailbox: mailbox("sales@example.com"),
        participants: vec![mailbox("ann@example.com"), mailbox("sales@example.com")],
        topic: None,
        kind: MailKind::Person,
        at: at(9),
    }
}

/// What is said of a message that is brought to a mailbox, whose conversation is that.
fn join_of(
    message: &Message,
    conversation_id: ConversationId,
    mailbox: Address,
) -> Vec<MessageEvent> {
    let MessageJoinedConversation { participants, topic, at, .. } = joined(1);
    let join = JoinConversation { conversation_id, mailbox, participants, topic, at };
    message.decide(&MessageCommand::Join(Box::new(join))).expect("it is taken")
}

#[test]
fn a_mailbox_has_a_message_in_one_conversation() {
    let (support, sales) = (mailbox("support@example.com"), mailbox("sales@example.com"));
    let email = Email { ours: vec![support.clone(), sales.clone()], ..Email::default() };
    let came = MessageReceived { email: Some(Box::new(email)), ..inbound() };
    let came = Message::default().evolve(&came.into());
    let (first, second) = (ConversationId(Uuid::from_u128(1)), ConversationId(Uuid::from_u128(2)));
    assert!(join_of(&came, first, support).is_empty(), "it began with that one");
    let joins = join_of(&came, first, sales);
    assert_eq!(joins.len(), 1);
    let after = joins.iter().fold(came, Message::evolve);
    let again = join_of(&after, second, mailbox("Sales@Example.com"));
    assert!(again.is_empty(), "a repeat would go elsewhere by now");
    assert_eq!(join_of(&after, second, mailbox("office@example.com")).len(), 1);
}

#[test]
fn a_message_that_came_in_joins_each_conversation_once() {
    // Each is that of another mailbox.
    let join = |message: &Message, conversation_id: ConversationId| {
        let of = match conversation_id.0.as_u128() {
            1 => "sales@example.com".to_owned(),
            n => format!("office{n}@example.com"),
        };
        join_of(message, conversation_id, mailbox(&of))
    };
    let came = Message::default().evolve(&inbound().into());
    let (first, second) = (ConversationId(Uuid::from_u128(1)), ConversationId(Uuid::from_u128(2)));
    assert!(join(&came, inbound().conversation_id).is_empty(), "it began there");
    let events = join(&came, first);
    assert_eq!(events, [joined(1).into()]);
    let after = came.evolve(&events[0]);
    assert!(join(&after, first).is_empty(), "again says nothing new");
    let after = join(&after, second).iter().fold(after, Message::evolve);
    let conversations: Vec<_> = after.joined.iter().map(|(id, _)| *id).collect();
    assert_eq!(conversations, [first, second]);
    assert_eq!((after.status(), after.received()), (Status::Received, Some(&inbound())));
    let full = (3..200).fold(after, |message, n| {
        let events = join(&message, ConversationId(Uuid::from_u128(n)));
        events.iter().fold(message, Message::evolve)
    });
    assert_eq!(full.joined.len(), 100, "there is a limit");
    let sent = Message::default().evolve(&MessageEvent::MessageRequested(request().into()));
    assert!(join(&sent, first).is_empty(), "what did not come in is where it is");
}
