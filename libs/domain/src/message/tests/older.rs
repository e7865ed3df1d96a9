//! Events as earlier builds wrote them, to the letter: what becomes of their messages today.

use super::*;
use crate::Priority;

/// The events of a message of then, the first of which asked for it.
fn history(more: &[(&str, &str)]) -> Vec<MessageEvent> {
    const REQUESTED: &str = r#"{"conversation_id":"9a2476e4-4694-8b3f-8121-f933c8b3c73b","channel":"sms",
        "from":"+12016661234","to":["+18045551234"],"body":"Hello","priority":"low",
        "at":"2027-01-15T08:00:00Z"}"#;
    let all = [("MessageRequested", REQUESTED)].into_iter().chain(more.iter().copied());
    all.map(|(name, text)| MessageEvent::decode(name, 1, text).expect(text)).collect()
}

const ATTEMPTED: (&str, &str) = (
    "SendAttempted",
    r#"{"attempt":1,"provider":"twilio","account":"AC0",
        "token":"00000000-0000-0000-0000-0000c1a10001","call_before":"2027-01-15T08:00:06Z",
        "lease_until":"2027-01-15T08:00:11Z","at":"2027-01-15T08:00:01Z"}"#,
);

/// The provider refused its account, and the message waits for that.
const REFUSED: (&str, &str) = (
    "AttemptAbandoned",
    r#"{"attempt":1,"reason":"credentials","retry_at":"2027-01-15T08:00:02Z",
        "error":{"code":"20003","class":"account","detail":"Authenticate","permanent":false},
        "expires_at":"2027-01-15T09:00:00Z","at":"2027-01-15T08:00:02Z"}"#,
);

/// No account carries it.
const WAITS: (&str, &str) = (
    "MessageDeferred",
    r#"{"reason":"waiting_for_account","until":"2027-01-15T08:00:05Z",
        "error":{"code":"waiting_for_account","class":"account",
        "detail":"no account carries sms","permanent":false},
        "expires_at":"2027-01-15T09:00:00Z","at":"2027-01-15T08:00:05Z"}"#,
);

/// A consent puts it off until the morning.
const PUT_OFF: (&str, &str) = (
    "MessageDeferred",
    r#"{"reason":"quiet_hours","until":"2027-01-15T09:00:00Z","at":"2027-01-15T08:00:01Z"}"#,
);

#[test]
fn what_was_low_is_bulk_and_says_so_where_its_next_events_go() {
    let message = given(&history(&[ATTEMPTED])).0;
    assert_eq!(message.requested().map(|request| request.priority), Some(Priority::Bulk));
    assert_eq!(message.routing().priority, Some("bulk"));
}

#[test]
fn a_message_that_waited_for_its_account_goes_on_and_by_another_account_first() {
    let message = given(&history(&[ATTEMPTED, REFUSED])).0;
    assert_eq!(message.waits_for_account(), Some("credentials"));
    assert_eq!(message.waits_in_line(), None);
    let tried: Vec<_> = message.tried().map(|one| (one.name, one.provider, one.account)).collect();
    assert_eq!(tried, [(None, "twilio", "AC0")], "the claim says no name of hatch's");
    assert_eq!(message.attempt_in_round(), 0, "it counts for no attempt");
    let events = given(&history(&[ATTEMPTED, REFUSED])).when(start(2, 3)).expect("it is due");
    assert!(matches!(events[..], [MessageEvent::SendAttempted(_)]), "{events:?}");
}

#[test]
fn a_message_that_was_put_off_stands_in_no_line() {
    for (said, waits_for, second) in
        [(WAITS, Some("waiting_for_account"), 5), (PUT_OFF, None, 3_600)]
    {
        let message = given(&history(&[said])).0;
        assert_eq!(message.waits_for_account(), waits_for, "{said:?}");
        assert_eq!(message.waits_in_line(), None, "{said:?}");
        assert_eq!(message.attempt_due(), Some(at(second)), "{said:?}");
    }
}

#[test]
fn a_claim_of_an_earlier_build_ends_as_it_would_have() {
    let history = history(&[ATTEMPTED]);
    let late = given(&history).when(MessageCommand::ExpireLease { at: at(11) });
    let events = late.expect("nobody said what came of it");
    assert!(matches!(events[..], [MessageEvent::SendInDoubt(_)]), "{events:?}");
    let events = given(&history).when(outcome(1, accepted())).expect("its claimant says it");
    assert!(matches!(events[..], [MessageEvent::MessageSent(_)]), "{events:?}");
}
