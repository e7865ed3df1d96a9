//! Given these events, when this command, then these events (or this rejection).

mod accounts;
mod doubts;
mod endings;
mod older;
mod properties;
mod receipts;
mod recipients;
mod refused;
mod rounds;
mod written;

use chrono::{DateTime, Utc};

use super::command::{
    AttemptOutcome, ReceiptOutcome, RecordOutcome, RecordReceipt, ResolveDoubt, SettleDoubt,
    Settlement, StartAttempt, WaitForAccount, WaitInLine,
};
use super::event::{
    AttemptAbandoned, DoubtResolved, MessageCanceled, MessageDeferred, MessageDelivered,
    MessageFailed, MessageRead, MessageReceived, MessageRequested, MessageReread, MessageSent,
    MessageUndelivered, RecipientComplained, RecipientUnsubscribed, Resolution, RetryRequested,
    SendAttempted, SendFailed, SendInDoubt,
};
use super::status::Status;
use super::*;
use crate::address::Address;
use crate::conversation::conversation_id;
use crate::decider::DomainEvent;
use crate::ids::TenantId;
use crate::{ErrorClass, SendError};

/// A scenario under construction: history in, one command, then the check.
struct Given(Message);

fn given(history: &[MessageEvent]) -> Given {
    Given(history.iter().fold(Message::default(), Message::evolve))
}

impl Given {
    fn when(
        &self,
        command: impl Into<MessageCommand>,
    ) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.0.decide(&command.into())
    }

    fn status(&self) -> Status {
        self.0.status()
    }
}

impl From<StartAttempt> for MessageCommand {
    fn from(command: StartAttempt) -> Self {
        Self::StartAttempt(command)
    }
}

impl From<RecordOutcome> for MessageCommand {
    fn from(command: RecordOutcome) -> Self {
        Self::RecordOutcome(command)
    }
}

impl From<SettleDoubt> for MessageCommand {
    fn from(command: SettleDoubt) -> Self {
        Self::SettleDoubt(command)
    }
}

impl From<ResolveDoubt> for MessageCommand {
    fn from(command: ResolveDoubt) -> Self {
        Self::ResolveDoubt(command)
    }
}

impl From<WaitForAccount> for MessageCommand {
    fn from(command: WaitForAccount) -> Self {
        Self::WaitForAccount(command)
    }
}

impl From<RecordReceipt> for MessageCommand {
    fn from(command: RecordReceipt) -> Self {
        Self::RecordReceipt(command)
    }
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
}

fn token(n: u32) -> Uuid {
    Uuid::from_u128(0xC1A1_0000 + u128::from(n))
}

fn phones() -> (Address, Address) {
    let phone = |text| Address::phone(text).expect("a possible number");
    (phone("+12016661234"), phone("+18045551234"))
}

fn mailbox(text: &str) -> Address {
    Address::email(text).expect("a mailbox")
}

fn request() -> MessageRequested {
    crate::testing::request(at(0))
}

fn inbound() -> MessageReceived {
    let (to, from) = phones();
    MessageReceived {
        conversation_id: conversation_id(TenantId::DEFAULT, [&from, &to], None),
        channel: Channel::Sms,
        provider: "twilio".to_owned(),
        account: "AC0".to_owned(),
        provider_message_id: "SM-in".to_owned(),
        from,
        to: vec![to],
        body: Some("Hi".to_owned()),
        attachments: Vec::new(),
        email: None,
        topic: None,
        segments: Some(1),
        suggests: None,
        test: false,
        at: at(0),
    }
}

/// The same, as a later build reads it.
fn reread() -> MessageReceived {
    MessageReceived { body: Some("Hello".to_owned()), ..inbound() }
}

fn start(n: u32, second: i64) -> StartAttempt {
    StartAttempt {
        provider: "twilio".to_owned(),
        account: "AC0".to_owned(),
        choice: None,
        token: token(n),
        call_before: at(second + 5),
        lease_until: at(second + 10),
        at: at(second),
    }
}

fn attempted(n: u32, second: i64) -> MessageEvent {
    let StartAttempt { provider, account, choice, token, call_before, lease_until, at } =
        start(n, second);
    let (attempt, token) = (n, Some(token));
    SendAttempted { attempt, provider, account, choice, token, call_before, lease_until, at }.into()
}

fn outcome(n: u32, outcome: AttemptOutcome) -> RecordOutcome {
    RecordOutcome { attempt: n, token: token(n), outcome, at: at(2) }
}

fn accepted() -> AttemptOutcome {
    AttemptOutcome::Accepted { provider_message_id: "SM1".to_owned(), segments: Some(1) }
}

/// Given up for want of files.
fn abandoned_until(second: i64) -> AttemptOutcome {
    AttemptOutcome::Abandoned { reason: Some("files".to_owned()), retry_at: at(second) }
}

fn error(permanent: bool) -> SendError {
    SendError {
        code: "21211".to_owned(),
        class: ErrorClass::Other,
        detail: "invalid To".to_owned(),
        permanent,
    }
}

fn sent(n: u32) -> MessageEvent {
    let provider_message_id = "SM1".to_owned();
    MessageSent { attempt: n, provider_message_id, segments: Some(1), at: at(2) }.into()
}

fn failed(n: u32, retry_at: Option<DateTime<Utc>>) -> MessageEvent {
    SendFailed { attempt: n, error: error(retry_at.is_none()), retry_at, at: at(2) }.into()
}

fn receipt(n: u32, outcome: ReceiptOutcome) -> RecordReceipt {
    let receipt_id = Uuid::new_v5(&Uuid::nil(), format!("{n} {outcome:?}").as_bytes());
    RecordReceipt {
        attempt: Some(n),
        provider_message_id: format!("SM{n}"),
        receipt_id,
        recipient: None,
        outcome,
        at: at(3),
    }
}

fn defer_until(second: i64) -> MessageCommand {
    MessageCommand::Defer { reason: "rate".to_owned(), until: at(second), at: at(0) }
}

/// A look-up that found the message, or surely did not.
fn settle(n: u32, sent: bool) -> SettleDoubt {
    let settlement = if sent {
        Settlement::Sent { provider_message_id: "SM1".to_owned() }
    } else {
        Settlement::NotSent { error: error(false), retry_at: Some(at(30)) }
    };
    SettleDoubt { attempt: n, settlement, at: at(20) }
}

/// A person who looked.
fn resolve(resolution: Resolution) -> ResolveDoubt {
    ResolveDoubt { resolution, reason: "asked their support".to_owned(), at: at(40) }
}

fn in_doubt(n: u32) -> MessageEvent {
    SendInDoubt { attempt: n, detail: "timeout".to_owned(), at: at(4) }.into()
}

fn names(events: &[MessageEvent]) -> Vec<&'static str> {
    events.iter().map(DomainEvent::event_type).collect()
}

/// Decides and applies; a rejection leaves the message as it is.
fn execute(message: Message, command: &MessageCommand) -> (Message, Vec<MessageEvent>) {
    let events = message.decide(command).unwrap_or_default();
    (events.iter().fold(message, Message::evolve), events)
}

#[test]
fn a_request_begins_the_stream_and_waits() {
    let given_nothing = given(&[]);
    let events = given_nothing.when(MessageCommand::Request(request().into()));
    assert_eq!(events, Ok(vec![request().into()]));
    assert_eq!(given(&[request().into()]).status(), Status::Queued);
}

#[test]
fn a_message_is_requested_once() {
    let again = given(&[request().into()]).when(MessageCommand::Request(request().into()));
    assert_eq!(again, Err(MessageRejection::Exists));
}

#[test]
fn a_claim_carries_the_claimants_token_and_the_first_number() {
    let events = given(&[request().into()]).when(start(1, 1));
    assert_eq!(events, Ok(vec![attempted(1, 1)]));
}

#[test]
fn an_attempt_under_way_is_not_started_again() {
    let claimed = given(&[request().into(), attempted(1, 1)]);
    assert_eq!(claimed.status(), Status::Sending);
    assert_eq!(claimed.when(start(2, 1)), Err(MessageRejection::NotWaiting(Status::Sending)));
}

#[test]
fn nothing_is_attempted_for_a_message_that_nobody_asked_for() {
    assert_eq!(given(&[]).when(start(1, 1)), Err(MessageRejection::Unknown));
    let came_in = given(&[inbound().into()]);
    assert_eq!(came_in.when(start(1, 1)), Err(MessageRejection::Inbound));
}

#[test]
fn an_accepted_attempt_is_sent() {
    let claimed = given(&[request().into(), attempted(1, 1)]);
    assert_eq!(claimed.when(outcome(1, accepted())), Ok(vec![sent(1)]));
    assert_eq!(given(&[request().into(), attempted(1, 1), sent(1)]).status(), Status::Sent);
}

#[test]
fn an_outcome_said_twice_is_recorded_once() {
    let is_sent = given(&[request().into(), attempted(1, 1), sent(1)]);
    assert_eq!(is_sent.when(outcome(1, accepted())), Ok(Vec::new()));
    let unknown = AttemptOutcome::Unknown { detail: "timeout".to_owned() };
    assert_eq!(is_sent.when(outcome(1, unknown)), Ok(Vec::new()));
}

#[test]
fn only_the_claimant_says_what_came_of_its_attempt() {
    let claimed = given(&[request().into(), attempted(1, 1)]);
    let stranger = RecordOutcome { token: token(9), ..outcome(1, accepted()) };
    assert_eq!(claimed.when(stranger), Err(MessageRejection::NotClaimant(1)));
    assert_eq!(claimed.when(outcome(2, accepted())), Err(MessageRejection::NotClaimant(2)));
}

#[test]
fn a_passing_failure_is_retried_when_due_and_not_before() {
    let not_sent = AttemptOutcome::NotSent { error: error(false), retry_at: Some(at(9)) };
    let claimed = given(&[request().into(), attempted(1, 1)]);
    let events = claimed.when(outcome(1, not_sent)).expect("accepted");
    assert_eq!(names(&events), ["SendFailed"]);

    let history = [request().into(), attempted(1, 1), failed(1, Some(at(9)))];
    let retrying = given(&history);
    assert_eq!(retrying.status(), Status::Retrying);
    assert_eq!(retrying.when(start(2, 8)), Err(MessageRejection::NotDue(at(9))));
    assert_eq!(retrying.when(start(2, 9)), Ok(vec![attempted(2, 9)]));
}

#[test]
fn a_permanent_refusal_ends_the_message_whatever_the_retry_says() {
    let refused = AttemptOutcome::NotSent { error: error(true), retry_at: Some(at(9)) };
    let events = given(&[request().into(), attempted(1, 1)]).when(outcome(1, refused));
    assert_eq!(names(&events.expect("accepted")), ["SendFailed", "MessageFailed"]);
}

#[test]
fn the_last_failed_attempt_ends_the_message() {
    let exhausted = AttemptOutcome::NotSent { error: error(false), retry_at: None };
    let claimed = given(&[request().into(), attempted(1, 1)]);
    let events = claimed.when(outcome(1, exhausted)).expect("accepted");
    assert_eq!(names(&events), ["SendFailed", "MessageFailed"]);
    let over = events.iter().fold(claimed.0, Message::evolve);
    assert_eq!(over.status(), Status::Failed);
    let again = over.decide(&start(2, 99).into());
    assert_eq!(again, Err(MessageRejection::NotWaiting(Status::Failed)));
}

#[test]
fn no_answer_is_doubt_and_starts_no_second_attempt() {
    let unknown = AttemptOutcome::Unknown { detail: "timeout".to_owned() };
    let claimed = given(&[request().into(), attempted(1, 1)]);
    let events = claimed.when(outcome(1, unknown)).expect("accepted");
    assert_eq!(names(&events), ["SendInDoubt"]);
    let doubtful = events.iter().fold(claimed.0, Message::evolve);
    assert_eq!(doubtful.status(), Status::InDoubt);
    let again = doubtful.decide(&start(2, 99).into());
    assert_eq!(again, Err(MessageRejection::NotWaiting(Status::InDoubt)));
}

#[test]
fn a_late_receipt_settles_a_doubt() {
    let in_doubt = SendInDoubt { attempt: 1, detail: "timeout".to_owned(), at: at(4) };
    let doubtful = given(&[request().into(), attempted(1, 1), in_doubt.into()]);
    let settled = doubtful.when(receipt(1, ReceiptOutcome::Sent)).expect("accepted");
    assert_eq!(names(&settled), ["MessageSent"]);
    let settled = doubtful.when(receipt(1, ReceiptOutcome::Delivered)).expect("accepted");
    assert_eq!(names(&settled), ["MessageDelivered"]);
}

#[test]
fn an_abandoned_attempt_was_not_made_and_is_retried() {
    let abandoned = abandoned_until(8);
    let claimed = given(&[request().into(), attempted(1, 1)]);
    let events = claimed.when(outcome(1, abandoned)).expect("accepted");
    assert_eq!(names(&events), ["AttemptAbandoned"]);
    let retrying = events.iter().fold(claimed.0, Message::evolve);
    assert_eq!(names(&retrying.decide(&start(2, 8).into()).expect("due")), ["SendAttempted"]);
}

#[test]
fn an_abandoned_attempt_is_none_of_those_that_a_round_may_have() {
    let abandoned = |n| -> MessageEvent { accounts::abandoned(n, Some("files"), 8) };
    let mut history = vec![request().into()];
    for n in 1..=20 {
        history.extend([attempted(n, 8), abandoned(n)]);
    }
    history.push(attempted(21, 8));
    let first = given(&history).0;
    assert_eq!((first.attempt(), first.attempt_in_round()), (21, 1));
    history.extend([failed(21, Some(at(9))), attempted(22, 9), in_doubt(22), abandoned(22)]);
    let second = given(&history).0.evolve(&attempted(23, 10));
    assert_eq!((second.attempt(), second.attempt_in_round()), (23, 2));
}

#[test]
fn a_claimant_that_was_given_up_still_knows_that_it_sent_nothing() {
    let error = || SendError {
        code: "503".into(),
        class: ErrorClass::Unreachable,
        detail: "away".into(),
        permanent: false,
    };
    for (said, event) in [
        (AttemptOutcome::NotSent { error: error(), retry_at: Some(at(8)) }, "SendFailed"),
        (abandoned_until(8), "AttemptAbandoned"),
    ] {
        let doubtful = given(&[request().into(), attempted(1, 1), in_doubt(1)]);
        let events = doubtful.when(outcome(1, said.clone())).expect("accepted");
        assert_eq!(names(&events), [event]);
        let retrying = events.iter().fold(doubtful.0, Message::evolve);
        assert_eq!((retrying.status(), retrying.doubt().is_none()), (Status::Retrying, true));
        assert_eq!(names(&retrying.decide(&start(2, 8).into()).expect("due")), ["SendAttempted"]);
        let settled = retrying.evolve(&attempted(2, 8));
        assert_eq!(settled.decide(&outcome(1, said).into()), Ok(Vec::new()), "another attempt");
    }
    let doubtful = given(&[request().into(), attempted(1, 1), in_doubt(1)]);
    let unknown = AttemptOutcome::Unknown { detail: "no answer".to_owned() };
    assert_eq!(doubtful.when(outcome(1, unknown)), Ok(Vec::new()), "it is in doubt already");
}

#[test]
fn a_scheduled_message_waits_for_its_time() {
    let later = MessageRequested { send_at: Some(at(60)), ..request() };
    let scheduled = given(&[later.clone().into()]);
    assert_eq!(scheduled.status(), Status::Scheduled);
    assert_eq!(scheduled.when(start(1, 59)), Err(MessageRejection::NotDue(at(60))));
    assert_eq!(scheduled.when(start(1, 60)), Ok(vec![attempted(1, 60)]));
    let begun = given(&[later.into(), attempted(1, 60)]);
    assert_eq!(begun.status(), Status::Sending);
}

#[test]
fn a_deferral_holds_the_attempt_back_and_never_brings_it_forward() {
    let (deferred, events) = execute(given(&[request().into()]).0, &defer_until(10));
    assert_eq!(names(&events), ["MessageDeferred"]);
    let early = deferred.decide(&start(1, 9).into());
    assert_eq!(early, Err(MessageRejection::NotDue(at(10))));
    assert_eq!(deferred.decide(&defer_until(9)), Ok(Vec::new()));
    assert_eq!(names(&deferred.decide(&start(1, 10).into()).expect("due")), ["SendAttempted"]);
}

#[test]
fn an_attempt_without_an_outcome_is_in_doubt_when_its_lease_is_over() {
    let claimed = given(&[request().into(), attempted(1, 1)]);
    let expire = |second| MessageCommand::ExpireLease { at: at(second) };
    assert_eq!(claimed.when(expire(10)), Ok(Vec::new()), "its lease runs until 11");
    let (doubtful, events) = execute(claimed.0, &expire(11));
    assert_eq!(names(&events), ["SendInDoubt"]);
    let doubt = doubtful.doubt().expect("a doubt");
    assert_eq!((doubt.attempt, doubt.account, doubt.since), (1, "AC0", at(11)));
    let done = given(&[request().into(), attempted(1, 1), sent(1)]);
    assert_eq!(done.when(expire(99)), Ok(Vec::new()));
}

#[test]
fn a_look_up_settles_a_doubt_and_nothing_else() {
    let doubtful = given(&[request().into(), attempted(1, 1), in_doubt(1)]);
    assert_eq!(names(&doubtful.when(settle(1, true)).expect("found")), ["MessageSent"]);
    assert_eq!(names(&doubtful.when(settle(1, false)).expect("not found")), ["SendFailed"]);
    assert_eq!(doubtful.when(settle(2, false)), Ok(Vec::new()), "another attempt");
    let (delivered, _) = execute(doubtful.0, &receipt(1, ReceiptOutcome::Delivered).into());
    assert_eq!(delivered.decide(&settle(1, false).into()), Ok(Vec::new()), "a receipt was faster");
}

#[test]
fn a_message_that_waits_too_long_expires_whether_it_was_attempted_or_not() {
    let expire = MessageCommand::Expire { round_from: request().at, at: at(90) };
    let queued = given(&[request().into()]);
    let retrying = given(&[request().into(), attempted(1, 1), failed(1, Some(at(9)))]);
    for waiting in [queued, retrying] {
        let (expired, events) = execute(waiting.0, &expire);
        assert_eq!(names(&events), ["MessageFailed"]);
        assert_eq!(expired.status(), Status::Failed);
        assert_eq!(events[0].due(), due::Due::Over);
        let (again, _) = execute(expired, &MessageCommand::Retry { at: at(100) });
        assert_eq!((again.status(), again.round_from()), (Status::Queued, Some(at(100))));
        assert_eq!(again.decide(&expire), Ok(Vec::new()), "it is another round");
    }
    let sending = given(&[request().into(), attempted(1, 1)]);
    assert_eq!(sending.when(expire), Err(MessageRejection::NotWaiting(Status::Sending)));
}

#[test]
fn a_chat_message_is_there_at_once_and_nobody_sends_it() {
    let chat = given(&[MessageRequested { channel: Channel::Chat, ..request() }.into()]);
    assert_eq!(chat.status(), Status::Delivered);
    assert_eq!(chat.when(start(1, 1)), Err(MessageRejection::NotWaiting(Status::Delivered)));
}

#[test]
fn a_read_message_is_delivered_and_more() {
    let is_sent = given(&[request().into(), attempted(1, 1), sent(1)]);
    let (read, _) = execute(is_sent.0, &receipt(1, ReceiptOutcome::Read).into());
    assert_eq!(read.status(), Status::Read);
    assert_eq!(read.decide(&receipt(1, ReceiptOutcome::Delivered).into()), Ok(Vec::new()));
}

#[test]
fn every_message_that_waits_or_is_under_way_has_a_due_time() {
    use super::due::Due;

    let due = |event: MessageEvent| event.due();
    let later = MessageRequested { send_at: Some(at(60)), ..request() };
    assert_eq!(due(request().into()), Due::At { attempt: None, at: at(0) });
    assert_eq!(due(later.into()), Due::At { attempt: None, at: at(60) });
    assert_eq!(due(attempted(1, 1)), Due::At { attempt: Some(1), at: at(11) });
    assert_eq!(due(in_doubt(1)), Due::At { attempt: Some(1), at: at(4) });
    assert_eq!(due(failed(1, Some(at(9)))), Due::At { attempt: Some(1), at: at(9) });
    assert_eq!(due(failed(1, None)), Due::Settled { attempt: 1 });
    assert_eq!(due(sent(1)), Due::Settled { attempt: 1 });
    assert_eq!(due(RetryRequested { at: at(7) }.into()), Due::At { attempt: None, at: at(7) });
    assert_eq!(due(inbound().into()), Due::Over);
}

#[test]
fn an_inbound_message_is_received_once() {
    let events = given(&[]).when(MessageCommand::Receive(inbound()));
    assert_eq!(events, Ok(vec![inbound().into()]));
    let received = given(&[inbound().into()]);
    assert_eq!(received.status(), Status::Received);
    let again = received.when(MessageCommand::Receive(inbound()));
    assert_eq!(again, Err(MessageRejection::Exists));
}

#[test]
fn the_stream_of_an_inbound_message_depends_on_account_and_provider_id_only() {
    let named = inbound_message_id;
    let id = named("twilio", "AC0", Channel::Sms, "SM1");
    assert_eq!(named("twilio", "AC0", Channel::Sms, "SM1"), id);
    assert_eq!(named("twilio", "AC0", Channel::Mms, "SM1"), id, "phone messages are of one kind");
    assert_ne!(named("twilio", "AC0", Channel::Email, "SM1"), id);
    assert_ne!(named("twilio", "AC1", Channel::Sms, "SM1"), id);
    assert_ne!(named("twilio", "AC0", Channel::Sms, "SM2"), id);
    assert_ne!(named("other", "AC0", Channel::Sms, "SM1"), id);
}
