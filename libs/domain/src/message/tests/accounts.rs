//! A message that waits for an account has not failed, and no attempt of it is used up.

use super::super::due::Due;
use super::*;

/// An attempt was given up at second 4, for a reason of the claimant's own.
pub(super) fn abandoned(n: u32, reason: Option<&str>, retry_at: i64) -> MessageEvent {
    let (reason, retry_at) = (reason.map(str::to_owned), at(retry_at));
    let (error, expires_at) = (None, None);
    AttemptAbandoned { attempt: n, reason, retry_at, error, expires_at, at: at(4) }.into()
}

/// The message is put off at second 1.
pub(super) fn deferred(reason: &str, until: i64) -> MessageEvent {
    let (reason, until) = (reason.to_owned(), at(until));
    MessageDeferred { reason, until, error: None, expires_at: None, waits_for: None, at: at(1) }
        .into()
}

fn refusal() -> SendError {
    let (code, detail) = ("20003".to_owned(), "Authenticate".to_owned());
    SendError { code, class: ErrorClass::Account, detail, permanent: false }
}

fn wait(reason: &str, second: i64) -> WaitForAccount {
    let reason = reason.to_owned();
    WaitForAccount { reason, error: refusal(), expires_at: at(1_000), at: at(second) }
}

fn refused() -> AttemptOutcome {
    let reason = "account_credentials".to_owned();
    AttemptOutcome::AccountRefused { reason, error: refusal(), expires_at: Some(at(1_000)) }
}

#[test]
fn an_attempt_whose_account_was_refused_counts_for_none_and_the_message_waits() {
    let mut history = vec![MessageEvent::from(request())];
    for n in 1..=50 {
        history.push(attempted(n, 1));
        history.extend(given(&history).when(outcome(n, refused())).expect("accepted"));
    }
    assert_eq!(history.len(), 101, "one event each, none of them terminal");
    let waiting = given(&history);
    assert_eq!((waiting.status(), waiting.0.attempt_in_round()), (Status::Retrying, 0));
    assert_eq!(waiting.0.waits_for_account(), Some("account_credentials"));
    let last = history.last().expect("events");
    assert!(last.waits_for_account());
    assert_eq!(last.due(), Due::At { attempt: Some(50), at: at(1_000) });
    assert_eq!(names(&waiting.when(start(51, 2)).expect("at once")), ["SendAttempted"]);
}

#[test]
fn a_message_says_once_for_what_account_it_waits_and_may_be_sent_at_any_time() {
    let new = given(&[request().into()]);
    let events = new.when(wait("waiting_for_account", 5)).expect("it waits");
    assert_eq!(names(&events), ["MessageDeferred"]);
    assert_eq!(events[0].due(), Due::At { attempt: None, at: at(1_000) });
    let waiting = Given(new.0.evolve(&events[0]));
    assert_eq!(waiting.status(), Status::Queued, "it can be called off");
    assert!(waiting.when(wait("waiting_for_account", 6)).expect("known").is_empty());
    let other = waiting.when(wait("account_credit", 6)).expect("news");
    assert_eq!(names(&other), ["MessageDeferred"]);
    let claimed = waiting.0.evolve(&attempted(1, 7));
    assert_eq!(claimed.waits_for_account(), None);
    let sending = Given(claimed).when(wait("account_credit", 8));
    assert_eq!(sending, Err(MessageRejection::NotWaiting(Status::Sending)));
}

#[test]
fn waiting_for_an_account_shortens_no_other_wait() {
    let retrying = given(&[request().into(), attempted(1, 1), failed(1, Some(at(60)))]);
    let events = retrying.when(wait("account_credit", 5)).expect("it waits");
    let waiting = Given(retrying.0.evolve(&events[0]));
    assert_eq!(waiting.when(start(2, 59)), Err(MessageRejection::NotDue(at(60))));
    assert!(waiting.when(start(2, 60)).is_ok());
}

#[test]
fn a_message_whose_account_was_refused_waits_for_nothing_where_it_goes_by_another() {
    let history = [request().into(), attempted(1, 1)];
    let reason = "account_credentials".to_owned();
    let refused = AttemptOutcome::AccountRefused { reason, error: refusal(), expires_at: None };
    let events = given(&history).when(outcome(1, refused)).expect("accepted");
    assert_eq!(names(&events), ["AttemptAbandoned"]);
    let MessageEvent::AttemptAbandoned(abandoned) = &events[0] else { panic!("{events:?}") };
    assert_eq!((abandoned.retry_at, abandoned.expires_at), (abandoned.at, None));
    let next = Given(given(&history).0.evolve(&events[0]));
    assert_eq!((next.0.waits_for_account(), next.0.attempt_in_round()), (None, 0));
    assert_eq!(next.0.tried().count(), 1, "not by that account again");
}

#[test]
fn an_account_was_tried_where_it_surely_did_not_send_and_in_this_round_alone() {
    let tried = |history: &[MessageEvent]| given(history).0.tried().count();
    let mut history = vec![request().into(), attempted(1, 1)];
    assert_eq!(tried(&history), 0, "it is under way");
    let doubt = SendInDoubt { attempt: 1, detail: "timeout".to_owned(), at: at(3) };
    assert_eq!(tried(&[&history[..], &[doubt.into()]].concat()), 0, "nobody knows");
    let unmade = [&history[..], &[abandoned(1, Some("files"), 9)]].concat();
    assert_eq!(tried(&unmade), 0, "nobody was called");
    history.push(failed(1, Some(at(9))));
    assert_eq!(tried(&history), 1);
    history.extend([attempted(2, 9), failed(2, None)]);
    assert_eq!(tried(&history), 2);
    history.push(RetryRequested { at: at(50) }.into());
    assert_eq!((tried(&history), given(&history).0.round()), (0, 2));
}

#[test]
fn a_message_says_once_that_it_stands_in_a_line_and_leaves_it_with_its_claim() {
    let in_line = |line: &str, until| {
        MessageCommand::WaitInLine(WaitInLine {
            reason: "rate".to_owned(),
            waits_for: line.to_owned(),
            until,
            expires_at: at(1_000),
            at: at(5),
        })
    };
    let new = given(&[request().into()]);
    let events = new.when(in_line("rate:one", None)).expect("it waits");
    assert_eq!(names(&events), ["MessageDeferred"]);
    assert!(events[0].waits_for_account());
    assert_eq!(events[0].due(), Due::At { attempt: None, at: at(1_000) });
    let waiting = Given(new.0.evolve(&events[0]));
    assert_eq!(waiting.0.waits_in_line(), Some("rate:one"));
    assert_eq!(waiting.0.waits_in_line_until(), Some(at(1_000)), "as its timer has it");
    assert!(waiting.when(in_line("rate:one", None)).expect("known").is_empty());
    let other = waiting.when(in_line("rate:other", Some(at(900)))).expect("another line");
    let put_off = Given(waiting.0.evolve(&other[0]));
    let claimed = put_off.when(start(1, 6)).expect("there is room earlier than was foreseen");
    assert_eq!(Given(put_off.0.evolve(&claimed[0])).0.waits_in_line(), None);
}
