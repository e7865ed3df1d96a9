//! What became of each recipient, given a history.

use hatch_domain::message::event::{MessageDelivered, MessageUndelivered, RecipientComplained};
use uuid::Uuid;

use super::*;

const A: &str = "a@example.com";
const B: &str = "b@example.com";

fn mailbox(text: &str) -> Address {
    Address::email(text).expect("a mailbox")
}

fn delivered_to(recipient: &str) -> MessageEvent {
    MessageDelivered {
        attempt: 1,
        provider_message_id: "SM1".to_owned(),
        receipt_id: Uuid::nil(),
        recipient: Some(mailbox(recipient)),
        at: at(0),
    }
    .into()
}

fn bounced_from(recipient: Option<&str>) -> MessageEvent {
    MessageUndelivered {
        attempt: 1,
        provider_message_id: "SM1".to_owned(),
        receipt_id: Uuid::nil(),
        error: error("5.1.1", true),
        recipient: recipient.map(mailbox),
        bounced: true,
        at: at(0),
    }
    .into()
}

/// The state of a mail to two after `events`.
fn mail(events: impl IntoIterator<Item = MessageEvent>) -> MessageState {
    let mut history = History::default();
    let request = requested(TENANT, &mailbox("us@example.com"), &mailbox(A));
    let to = vec![mailbox(A), mailbox(B)];
    history.record(TENANT, 1, MessageRequested { channel: Channel::Email, to, ..request });
    for event in events {
        history.record(TENANT, 1, event);
    }
    state(&folded(&history), 1).clone()
}

#[test]
fn a_message_to_one_keeps_none() {
    let state = outbound([attempted(1), sent(1), delivered(1)]);
    assert!(state.recipients.is_empty());
    let back = outbound([attempted(1), sent(1), delivered(1), bounced_from(None)]);
    assert_eq!(back.progress.status, Status::Undelivered);
    assert_eq!((back.error, back.delivered_at), (Some(error("5.1.1", true)), Some(at(4))));
    assert!(back.recipients.is_empty());
}

#[test]
fn a_mail_that_came_back_from_some_says_why_whatever_came_first() {
    for order in
        [[delivered_to(A), bounced_from(Some(B))], [bounced_from(Some(B)), delivered_to(A)]]
    {
        let state = mail([attempted(1), sent(1)].into_iter().chain(order));
        assert_eq!(state.progress.status, Status::PartlyDelivered);
        assert_eq!(state.error, Some(error("5.1.1", true)));
        let shown: Vec<_> = state.recipients.iter().map(|one| (one.status, one.at)).collect();
        let [(Status::Delivered, arrived), (Status::Undelivered, came_back)] = shown[..] else {
            panic!("{shown:?}")
        };
        assert_eq!(arrived.max(came_back), at(5), "each has its own time");
        assert_ne!(arrived, came_back);
    }
}

#[test]
fn a_mail_that_is_with_all_has_no_error() {
    let state = mail([attempted(1), sent(1), delivered_to(A)]);
    assert_eq!((state.progress.status, state.delivered_at), (Status::Sent, Some(at(4))));
    let state = mail([attempted(1), sent(1), delivered_to(A), delivered_to(B)]);
    assert_eq!((state.progress.status, state.error), (Status::Delivered, None));
}

#[test]
fn a_complaint_moves_nothing_but_the_time() {
    let complaint = RecipientComplained {
        attempt: 1,
        provider_message_id: "SM1".to_owned(),
        receipt_id: Uuid::nil(),
        recipient: customer(1),
        reason: "spamreport".to_owned(),
        at: at(0),
    };
    let state = outbound([attempted(1), sent(1), delivered(1), complaint.into()]);
    assert_eq!((state.progress.status, state.updated_at), (Status::Delivered, at(5)));
    let complained: Vec<_> = state.recipients.iter().map(|one| one.complained_at).collect();
    assert_eq!(complained, [Some(at(5))]);
}
