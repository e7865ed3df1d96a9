//! A message is called off before it begins, and tried again in a new round once it has failed.

use super::*;

#[test]
fn what_has_not_begun_can_be_called_off_once() {
    let later = MessageRequested { send_at: Some(at(60)), ..request() };
    for history in [vec![request().into()], vec![later.into()]] {
        let waiting = given(&history);
        let cancel = || MessageCommand::Cancel { at: at(1) };
        assert_eq!(waiting.when(cancel()), Ok(vec![MessageCanceled { at: at(1) }.into()]));
        let canceled = Given(execute(waiting.0, &cancel()).0);
        assert_eq!(canceled.status(), Status::Canceled);
        let again = canceled.when(cancel());
        assert_eq!(again, Err(MessageRejection::NotCancelable(Status::Canceled)));
        let start = canceled.when(start(1, 99));
        assert_eq!(start, Err(MessageRejection::NotWaiting(Status::Canceled)));
    }
}

#[test]
fn what_has_begun_cannot_be_called_off() {
    let claimed = given(&[request().into(), attempted(1, 1)]);
    let late = claimed.when(MessageCommand::Cancel { at: at(2) });
    assert_eq!(late, Err(MessageRejection::NotCancelable(Status::Sending)));
}

#[test]
fn a_failed_message_gets_a_new_round_of_attempts() {
    let history = [
        request().into(),
        attempted(1, 1),
        failed(1, None),
        MessageFailed {
            attempt: 1,
            error: error(true),
            receipt_id: None,
            recipient: None,
            at: at(2),
        }
        .into(),
    ];
    let over = given(&history);
    let retry = MessageCommand::Retry { at: at(7) };
    let (again, events) = execute(over.0, &retry);
    assert_eq!(names(&events), ["RetryRequested"]);
    assert_eq!(again.status(), Status::Queued);
    let (again, events) = execute(again, &start(2, 7).into());
    assert_eq!(names(&events), ["SendAttempted"]);
    assert_eq!((again.attempt(), again.attempt_in_round()), (2, 1));
    let running = again.decide(&retry);
    assert_eq!(running, Err(MessageRejection::NotRetryable(Status::Sending)));
}

#[test]
fn a_message_that_did_not_arrive_gets_a_new_round_where_somebody_asks_for_it() {
    let bounced = receipt(1, ReceiptOutcome::Undelivered(error(true)));
    let is_sent = given(&[request().into(), attempted(1, 1), sent(1)]).0;
    let (back, _) = execute(is_sent, &bounced.clone().into());
    assert_eq!(back.status(), Status::Undelivered);
    let (again, events) = execute(back, &MessageCommand::Retry { at: at(7) });
    assert_eq!(names(&events), ["RetryRequested"]);
    assert_eq!((again.status(), again.round_from()), (Status::Queued, Some(at(7))));
    assert_eq!(again.decide(&bounced.clone().into()), Ok(Vec::new()), "it is known already");
    let (sending, _) = execute(again, &start(2, 7).into());
    assert_eq!((sending.status(), sending.attempt_in_round()), (Status::Sending, 1));
    assert_eq!(sending.decide(&bounced.into()), Ok(Vec::new()), "it is of an earlier attempt");
    let (delivered, _) = execute(sending, &receipt(1, ReceiptOutcome::Delivered).into());
    let retry = delivered.decide(&MessageCommand::Retry { at: at(9) });
    assert_eq!(retry, Err(MessageRejection::NotRetryable(Status::Delivered)));
}

#[test]
fn a_repeated_failure_receipt_does_not_end_the_new_round() {
    let gave_up = receipt(1, ReceiptOutcome::Failed(error(true)));
    let (failed, _) =
        execute(given(&[request().into(), attempted(1, 1), sent(1)]).0, &gave_up.clone().into());
    let (again, _) = execute(failed, &MessageCommand::Retry { at: at(7) });
    assert_eq!(again.decide(&gave_up.into()), Ok(Vec::new()));
    let (delivered, _) = execute(again, &receipt(1, ReceiptOutcome::Delivered).into());
    assert_eq!(delivered.status(), Status::Delivered, "but a delivery is one, whenever it comes");
}

#[test]
fn a_delivery_by_an_earlier_attempt_is_told_of_a_message_that_was_called_off() {
    let history = [
        request().into(),
        attempted(1, 1),
        in_doubt(1),
        failed(1, None),
        MessageFailed {
            attempt: 1,
            error: error(false),
            receipt_id: None,
            recipient: None,
            at: at(5),
        }
        .into(),
        RetryRequested { at: at(6) }.into(),
        MessageCanceled { at: at(7) }.into(),
    ];
    assert_eq!(given(&history).0.status(), Status::Canceled);
    for (outcome, event, status) in [
        (ReceiptOutcome::Delivered, "MessageDelivered", Status::Delivered),
        (ReceiptOutcome::Read, "MessageRead", Status::Read),
    ] {
        let told = receipt(1, outcome);
        let (after, events) = execute(given(&history).0, &told.clone().into());
        assert_eq!(names(&events), [event]);
        assert_eq!(after.status(), status);
        assert_eq!(after.decide(&told.into()), Ok(Vec::new()), "once");
    }
    let undelivered = receipt(1, ReceiptOutcome::Undelivered(error(true)));
    assert_eq!(given(&history).when(undelivered), Ok(Vec::new()), "what is less is late");
}

#[test]
fn each_account_of_a_round_has_its_own_tries() {
    let by = |n: u32, account: &str| {
        let MessageEvent::SendAttempted(attempted) = attempted(n, 1) else { panic!("an attempt") };
        SendAttempted { account: account.to_owned(), ..attempted }.into()
    };
    let history = [
        request().into(),
        by(1, "A"),
        failed(1, Some(at(2))),
        by(2, "B"),
        failed(2, Some(at(3))),
        by(3, "A"),
    ];
    let message = given(&history).0;
    assert_eq!((message.attempt_in_round(), message.attempt_by_account()), (3, 2));
}
