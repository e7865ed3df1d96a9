//! A person says what an attempt in doubt was, while nobody else has.

use super::*;

/// A message whose first attempt got no answer.
fn doubtful() -> Given {
    given(&[request().into(), attempted(1, 1), in_doubt(1)])
}

#[test]
fn what_a_person_holds_for_sent_is_sent_and_a_receipt_still_says_more() {
    let (resolved, events) = execute(doubtful().0, &resolve(Resolution::Sent).into());
    assert_eq!(names(&events), ["DoubtResolved"]);
    assert_eq!(resolved.status(), Status::Sent);
    assert_eq!(events[0].due(), due::Due::Settled { attempt: 1 });
    let (delivered, _) = execute(resolved, &receipt(1, ReceiptOutcome::Delivered).into());
    assert_eq!(delivered.status(), Status::Delivered);
}

#[test]
fn what_a_person_holds_for_not_sent_fails_for_a_person_to_retry_and_a_late_receipt_settles_it() {
    let (resolved, events) = execute(doubtful().0, &resolve(Resolution::NotSent).into());
    assert_eq!(names(&events), ["DoubtResolved", "SendFailed", "MessageFailed"]);
    assert_eq!(resolved.status(), Status::Failed);
    let (again, _) = execute(resolved.clone(), &MessageCommand::Retry { at: at(50) });
    assert_eq!(again.status(), Status::Queued);
    let (late, _) = execute(resolved, &receipt(1, ReceiptOutcome::Delivered).into());
    assert_eq!(late.status(), Status::Delivered);
}

#[test]
fn what_a_person_has_sent_again_is_due_at_once_and_valid_from_then() {
    let (resolved, events) = execute(doubtful().0, &resolve(Resolution::Resend).into());
    assert_eq!(names(&events), ["DoubtResolved", "SendFailed"]);
    assert_eq!(resolved.status(), Status::Retrying);
    assert_eq!((resolved.attempt_due(), resolved.round_from()), (Some(at(40)), Some(at(40))));
    let started = resolved.decide(&start(2, 40).into());
    assert_eq!(names(&started.expect("due")), ["SendAttempted"]);
}

#[test]
fn an_account_in_doubt_was_not_tried_whoever_has_it_sent_again() {
    let again = |code: &str| {
        let error = SendError { code: code.to_owned(), ..error(false) };
        let retry_at = Some(at(40));
        let settlement = Settlement::NotSent { error, retry_at };
        let settle = SettleDoubt { attempt: 1, settlement, at: at(40) };
        execute(doubtful().0, &MessageCommand::SettleDoubt(settle)).0.tried().count()
    };
    for code in [event::BY_POLICY, "not_found"] {
        assert_eq!(again(code), 0, "{code}: a doubt moves a message to nobody else");
    }
    let (resolved, _) = execute(doubtful().0, &resolve(Resolution::Resend).into());
    assert_eq!(resolved.tried().count(), 0);
}

#[test]
fn who_looked_says_so_with_a_reason_and_about_the_attempt() {
    let events = doubtful().when(resolve(Resolution::NotSent)).expect("in doubt");
    let reason = "asked their support".to_owned();
    let resolution = Resolution::NotSent;
    assert_eq!(events[0], DoubtResolved { attempt: 1, resolution, reason, at: at(40) }.into());
    let MessageEvent::MessageFailed(failed) = &events[2] else { panic!("it failed") };
    assert_eq!(failed.error.code, "resolved_not_sent");
    assert_eq!(failed.error.detail, "asked their support");
}

#[test]
fn where_nothing_is_in_doubt_a_person_settles_nothing() {
    let in_doubt = doubtful();
    let (delivered, _) = execute(in_doubt.0, &receipt(1, ReceiptOutcome::Delivered).into());
    let histories = [
        (given(&[request().into()]).0, Status::Queued),
        (given(&[request().into(), attempted(1, 1)]).0, Status::Sending),
        (given(&[request().into(), attempted(1, 1), sent(1)]).0, Status::Sent),
        (delivered, Status::Delivered),
    ];
    for (message, status) in histories {
        for said in Resolution::ALL {
            let refused = message.decide(&resolve(said).into());
            assert_eq!(refused, Err(MessageRejection::NotInDoubt(status)), "{said:?}");
        }
    }
    assert_eq!(given(&[]).when(resolve(Resolution::Sent)), Err(MessageRejection::Unknown));
    let came_in = given(&[inbound().into()]).when(resolve(Resolution::Sent));
    assert_eq!(came_in, Err(MessageRejection::Inbound));
}

#[test]
fn a_message_to_several_is_sent_to_each_by_a_persons_word() {
    let several = MessageRequested {
        channel: Channel::Email,
        from: mailbox("us@example.com"),
        to: vec![mailbox("ann@example.com"), mailbox("bob@example.com")],
        ..request()
    };
    let doubtful = given(&[several.into(), attempted(1, 1), in_doubt(1)]);
    let (resolved, _) = execute(doubtful.0, &resolve(Resolution::Sent).into());
    assert_eq!(resolved.status(), Status::Sent);
    assert!(resolved.recipients().iter().all(|one| one.status == Status::Sent));
}
