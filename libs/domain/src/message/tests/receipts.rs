//! What providers say of an attempt afterwards: late, twice, and out of order.

use super::*;

#[test]
fn a_delivery_is_recorded_once() {
    let is_sent = given(&[request().into(), attempted(1, 1), sent(1)]);
    let delivered = receipt(1, ReceiptOutcome::Delivered);
    let events = is_sent.when(delivered.clone()).expect("accepted");
    assert_eq!(names(&events), ["MessageDelivered"]);
    let arrived = events.iter().fold(is_sent.0, Message::evolve);
    assert_eq!(arrived.status(), Status::Delivered);
    assert_eq!(arrived.decide(&delivered.into()), Ok(Vec::new()));
}

#[test]
fn an_undelivered_message_says_why() {
    let is_sent = given(&[request().into(), attempted(1, 1), sent(1)]);
    let undelivered = receipt(1, ReceiptOutcome::Undelivered(error(true)));
    let events = is_sent.when(undelivered).expect("accepted");
    assert!(matches!(&events[..], [MessageEvent::MessageUndelivered(e)] if e.error == error(true)));
    let message = events.iter().fold(is_sent.0, Message::evolve);
    assert_eq!(message.status(), Status::Undelivered);
}

#[test]
fn a_provider_that_gives_up_after_accepting_fails_the_message() {
    let is_sent = given(&[request().into(), attempted(1, 1), sent(1)]);
    let gave_up = receipt(1, ReceiptOutcome::Failed(error(true)));
    let events = is_sent.when(gave_up).expect("accepted");
    assert_eq!(names(&events), ["MessageFailed"]);
    let message = events.iter().fold(is_sent.0, Message::evolve);
    assert_eq!(message.status(), Status::Failed);
}

#[test]
fn a_delivery_overtakes_the_answer_and_is_not_taken_back_by_it() {
    let claimed = given(&[request().into(), attempted(1, 1)]);
    let (early, _) = execute(claimed.0, &receipt(1, ReceiptOutcome::Delivered).into());
    assert_eq!(early.status(), Status::Delivered);
    let (after, events) = execute(early, &outcome(1, accepted()).into());
    assert_eq!(names(&events), ["MessageSent"], "its parts are still news");
    assert_eq!(after.status(), Status::Delivered);
}

#[test]
fn an_answer_after_the_sent_receipt_still_brings_the_parts() {
    let claimed = given(&[request().into(), attempted(1, 1)]);
    let (early, _) = execute(claimed.0, &receipt(1, ReceiptOutcome::Sent).into());
    let (after, events) = execute(early, &outcome(1, accepted()).into());
    assert!(matches!(&events[..], [MessageEvent::MessageSent(e)] if e.segments == Some(1)));
    assert_eq!(after.decide(&outcome(1, accepted()).into()), Ok(Vec::new()), "and only once");
}

#[test]
fn a_timeout_after_a_delivery_is_no_doubt() {
    let claimed = given(&[request().into(), attempted(1, 1)]);
    let (early, _) = execute(claimed.0, &receipt(1, ReceiptOutcome::Delivered).into());
    let unknown = AttemptOutcome::Unknown { detail: "timeout".to_owned() };
    assert_eq!(early.decide(&outcome(1, unknown).into()), Ok(Vec::new()));
}

#[test]
fn a_late_undelivered_of_the_first_attempt_leaves_the_second_alone() {
    let history =
        [request().into(), attempted(1, 1), failed(1, Some(at(9))), attempted(2, 9), sent(2)];
    let second = given(&history);
    let late = receipt(1, ReceiptOutcome::Undelivered(error(true)));
    assert_eq!(second.when(late), Ok(Vec::new()));
    assert_eq!(second.status(), Status::Sent);
}

#[test]
fn a_late_delivery_of_the_first_attempt_is_a_delivery() {
    let history = [request().into(), attempted(1, 1), failed(1, Some(at(9))), attempted(2, 9)];
    let (message, _) = execute(given(&history).0, &receipt(1, ReceiptOutcome::Delivered).into());
    assert_eq!(message.status(), Status::Delivered);
}

#[test]
fn a_receipt_without_our_attempt_is_found_by_the_providers_id() {
    let is_sent = given(&[request().into(), attempted(1, 1), sent(1)]);
    let nameless = RecordReceipt { attempt: None, ..receipt(1, ReceiptOutcome::Delivered) };
    assert_eq!(names(&is_sent.when(nameless).expect("found")), ["MessageDelivered"]);
}

#[test]
fn a_receipt_of_nobodys_attempt_is_refused() {
    let is_sent = given(&[request().into(), attempted(1, 1), sent(1)]);
    let foreign = receipt(7, ReceiptOutcome::Delivered);
    assert_eq!(is_sent.when(foreign), Err(MessageRejection::NoSuchAttempt));
    let nameless = RecordReceipt {
        attempt: None,
        provider_message_id: "SM-other".to_owned(),
        ..receipt(1, ReceiptOutcome::Delivered)
    };
    assert_eq!(is_sent.when(nameless), Err(MessageRejection::NoSuchAttempt));
    let unknown = given(&[]).when(receipt(1, ReceiptOutcome::Delivered));
    assert_eq!(unknown, Err(MessageRejection::Unknown));
}
