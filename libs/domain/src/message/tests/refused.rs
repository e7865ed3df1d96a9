//! Messages that fail without an attempt, because nobody may be called for them.

use super::*;

fn opted_out() -> SendError {
    SendError {
        code: "opted_out".to_owned(),
        class: ErrorClass::OptedOut,
        detail: "+18045551234 does not wish to be written to".to_owned(),
        permanent: true,
    }
}

fn refuse(second: i64) -> MessageCommand {
    MessageCommand::Refuse { error: opted_out(), at: at(second) }
}

#[test]
fn a_message_that_waits_for_an_attempt_fails_without_one() {
    let later = MessageRequested { send_at: Some(at(60)), ..request() };
    for (history, attempt) in [
        (vec![request().into()], 0),
        (vec![later.into()], 0),
        (vec![request().into(), attempted(1, 1), failed(1, Some(at(9)))], 1),
    ] {
        let waiting = given(&history);
        let events = waiting.when(refuse(5)).expect("it waits");
        let (error, receipt_id, recipient) = (opted_out(), None, None);
        let expected = MessageFailed { attempt, error, receipt_id, recipient, at: at(5) };
        assert_eq!(events, [expected.into()]);
        let failed = Given(execute(waiting.0, &refuse(5)).0);
        assert_eq!(failed.status(), Status::Failed);
        assert_eq!(failed.when(refuse(6)), Err(MessageRejection::NotWaiting(Status::Failed)));
        assert_eq!(failed.when(start(attempt + 1, 99)).ok(), None);
        let again = given(&[history, events, vec![RetryRequested { at: at(7) }.into()]].concat());
        assert_eq!(again.when(refuse(8)).map(|events| events.len()), Ok(1), "in each round");
    }
}

#[test]
fn an_attempt_under_way_and_what_is_over_are_not_refused() {
    for history in [
        vec![request().into(), attempted(1, 1)],
        vec![request().into(), attempted(1, 1), in_doubt(1)],
        vec![request().into(), attempted(1, 1), sent(1)],
    ] {
        let message = given(&history);
        let refused = Err(MessageRejection::NotWaiting(message.status()));
        assert_eq!(message.when(refuse(5)), refused);
    }
    assert_eq!(given(&[inbound().into()]).when(refuse(5)), Err(MessageRejection::Inbound));
    assert_eq!(given(&[]).when(refuse(5)), Err(MessageRejection::Unknown));
}
