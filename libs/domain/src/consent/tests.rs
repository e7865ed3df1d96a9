//! Given these events, when this command, then these events.

use proptest::prelude::*;
use proptest::sample::Index;

use super::event::{
    ConsentBlocked, ConsentGiven, ConsentUnblocked, ConsentWithdrawn, Evidence, WordAnswered,
};
use super::words::Confirmed;
use super::*;
use crate::conversation::conversation_id;
use crate::ids::MessageId;
use crate::tests::{decided_twice_adds_nothing, examples_are_the_golden_events, fold};
use crate::{Channel, DomainEvent};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
}

fn customer() -> Address {
    Address::phone("+18045551234").expect("a possible number")
}

fn sms() -> Programme {
    Programme::default_of(Channel::Sms).expect("it has one")
}

fn conversation() -> ConversationId {
    let ours = Address::phone("+12016661234").expect("a possible number");
    conversation_id(TenantId::DEFAULT, [&ours, &customer()], None)
}

fn word(word: &str) -> Evidence {
    Evidence::Message { message_id: MessageId(Uuid::from_u128(7)), word: word.to_owned() }
}

fn given(second: i64) -> ConsentGiven {
    ConsentGiven {
        address: customer(),
        programme: sms(),
        evidence: word("START"),
        conversation_id: Some(conversation()),
        at: at(second),
    }
}

fn withdrawn(second: i64) -> ConsentWithdrawn {
    ConsentWithdrawn {
        address: customer(),
        programme: sms(),
        evidence: word("STOP"),
        conversation_id: Some(conversation()),
        at: at(second),
    }
}

fn blocked(account: &str, second: i64) -> ConsentBlocked {
    ConsentBlocked {
        address: customer(),
        programme: sms(),
        provider: "twilio".to_owned(),
        account: account.to_owned(),
        reason: "21610".to_owned(),
        message_id: Some(MessageId(Uuid::from_u128(8))),
        receipt_id: Some(Uuid::from_u128(1_000 + u128::from(second.unsigned_abs()))),
        conversation_id: Some(conversation()),
        at: at(second),
    }
}

fn unblocked(account: &str, second: i64) -> ConsentUnblocked {
    ConsentUnblocked {
        address: customer(),
        programme: sms(),
        provider: "twilio".to_owned(),
        account: account.to_owned(),
        reason: "START".to_owned(),
        receipt_id: None,
        conversation_id: None,
        at: at(second),
    }
}

fn answered(confirms: Confirmed, second: i64) -> WordAnswered {
    WordAnswered {
        address: customer(),
        programme: sms(),
        confirms,
        message_id: MessageId(Uuid::from_u128(7)),
        answer_id: MessageId(Uuid::from_u128(9)),
        conversation_id: Some(conversation()),
        at: at(second),
    }
}

fn every_event() -> Vec<ConsentEvent> {
    vec![
        given(1).into(),
        withdrawn(2).into(),
        blocked("AC1", 3).into(),
        unblocked("AC1", 4).into(),
        answered(Confirmed::Help, 5).into(),
    ]
}

fn decided(history: &[ConsentEvent], command: ConsentCommand) -> Vec<ConsentEvent> {
    let Ok(events) = fold::<Consent>(history).decide(&command);
    events
}

#[test]
fn without_a_word_of_anybody_a_message_may_be_sent() {
    assert_eq!(Consent::default().hindrance(), None);
    assert_eq!(Consent::default().wish(), None);
}

#[test]
fn a_withdrawal_forbids_until_it_is_taken_back() {
    let events = decided(&[], ConsentCommand::Withdraw(withdrawn(1)));
    assert_eq!(events, [withdrawn(1).into()]);
    let consent = fold::<Consent>(&events);
    assert_eq!(consent.hindrance(), Some(Hindrance::Wish));
    assert_eq!(consent.wish(), Some((Wish::OptedOut, at(1))));
    let back = decided(&events, ConsentCommand::Give(given(2)));
    let consent = fold::<Consent>(&[events, back].concat());
    assert_eq!(consent.hindrance(), None);
    assert_eq!(consent.wish(), Some((Wish::OptedIn, at(2))));
}

#[test]
fn what_is_so_already_is_no_event() {
    assert_eq!(decided(&[withdrawn(1).into()], ConsentCommand::Withdraw(withdrawn(9))), []);
    assert_eq!(decided(&[given(1).into()], ConsentCommand::Give(given(9))), []);
    let block = ConsentCommand::Block(blocked("AC1", 9));
    assert_eq!(decided(&[blocked("AC1", 1).into()], block), []);
    assert_eq!(decided(&[], ConsentCommand::Unblock(unblocked("AC1", 9))), []);
}

#[test]
fn a_yes_takes_a_withdrawal_back_and_says_nothing_else() {
    let yes = || ConsentCommand::GiveBack(given(9));
    assert_eq!(decided(&[], yes()), []);
    assert_eq!(decided(&[given(1).into()], yes()), []);
    assert_eq!(decided(&[withdrawn(1).into()], yes()), [given(9).into()]);
}

#[test]
fn a_wish_and_a_block_are_two_facts_and_both_must_allow() {
    let mut history: Vec<ConsentEvent> = vec![blocked("AC1", 1).into(), withdrawn(2).into()];
    assert_eq!(fold::<Consent>(&history).hindrance(), Some(Hindrance::Wish));
    history.push(given(3).into());
    let consent = fold::<Consent>(&history);
    let blocker = Blocker::of("twilio", "AC1");
    assert_eq!(consent.hindrance(), Some(Hindrance::Block(&blocker)), "a wish lifts no block");
    history.push(unblocked("AC1", 4).into());
    assert_eq!(fold::<Consent>(&history).hindrance(), None);
    history.push(withdrawn(5).into());
    history.push(unblocked("AC1", 6).into());
    assert_eq!(
        fold::<Consent>(&history).hindrance(),
        Some(Hindrance::Wish),
        "and no block's end is a wish"
    );
}

#[test]
fn each_account_lifts_its_own_block() {
    let history = [blocked("AC1", 1).into(), blocked("AC2", 2).into(), unblocked("AC1", 3).into()];
    let consent = fold::<Consent>(&history);
    let blocks: Vec<_> = consent.blocks().map(|(b, since)| (b.account.as_str(), since)).collect();
    assert_eq!(blocks, [("AC2", at(2))]);
}

#[test]
fn a_receipt_that_comes_again_after_its_block_was_lifted_blocks_nothing() {
    let history = [blocked("AC1", 1).into(), unblocked("AC1", 2).into()];
    assert_eq!(decided(&history, ConsentCommand::Block(blocked("AC1", 1))), []);
    let another = ConsentCommand::Block(blocked("AC1", 3));
    assert_eq!(decided(&history, another), [blocked("AC1", 3).into()]);
}

#[test]
fn a_word_that_was_said_before_the_last_one_decides_nothing() {
    let stopped: [ConsentEvent; 1] = [withdrawn(100).into()];
    assert_eq!(decided(&stopped, ConsentCommand::Give(given(99))), []);
    assert_eq!(decided(&stopped, ConsentCommand::GiveBack(given(99))), []);
    let started: [ConsentEvent; 1] = [given(100).into()];
    assert_eq!(decided(&started, ConsentCommand::Withdraw(withdrawn(39))), []);
    let little_older = withdrawn(41);
    let events = decided(&started, ConsentCommand::Withdraw(little_older.clone()));
    assert_eq!(events, [little_older.into()], "clocks differ");
    // What a client says, it says now.
    let asked = ConsentGiven { evidence: Evidence::Request { note: None }, ..given(99) };
    assert_eq!(decided(&stopped, ConsentCommand::Give(asked.clone())), [asked.into()]);
}

#[test]
fn what_a_provider_said_before_its_last_word_decides_nothing() {
    let lifted = [blocked("AC1", 1).into(), unblocked("AC1", 5).into()];
    assert_eq!(decided(&lifted, ConsentCommand::Block(blocked("AC1", 4))), []);
    let again = blocked("AC1", 6);
    assert_eq!(decided(&lifted, ConsentCommand::Block(again.clone())), [again.into()]);
    let held = [blocked("AC1", 5).into()];
    assert_eq!(decided(&held, ConsentCommand::Unblock(unblocked("AC1", 4))), []);
}

/// An hour, in seconds.
const HOUR: i64 = 3_600;

#[test]
fn a_call_for_help_that_was_answered_has_its_next_answer_an_hour_later() {
    use Confirmed::{Help, Start, Stop};
    let history = [answered(Help, 0).into()];
    for (word, second, is_answered) in [
        (Help, 0, false),
        (Help, 1, false),
        (Help, HOUR - 1, false),
        (Help, HOUR, true),
        (Stop, 1, true),
        (Start, 1, true),
        // Of two processes one has a clock that is behind.
        (Help, -30, false),
        // A clock was wrong by days once.
        (Help, -48 * HOUR, true),
    ] {
        let answer = answered(word, second);
        let expected: Vec<ConsentEvent> =
            if is_answered { vec![answer.clone().into()] } else { Vec::new() };
        let events = decided(&history, ConsentCommand::Answer(answer));
        assert_eq!(events, expected, "{word:?} after {second} s");
    }
}

#[test]
fn a_wish_that_changes_is_confirmed_each_time_and_ten_times_a_day() {
    for word in [Confirmed::Stop, Confirmed::Start] {
        let mut history: Vec<ConsentEvent> = Vec::new();
        for second in 0..30 {
            let answer = ConsentCommand::Answer(answered(word, second));
            history.extend(decided(&history, answer));
        }
        assert_eq!(history.len(), 10, "{word:?}");
    }
}

#[test]
fn a_word_has_ten_answers_a_day() {
    let mut history: Vec<ConsentEvent> = Vec::new();
    let mut ask = |second| {
        let events = decided(&history, ConsentCommand::Answer(answered(Confirmed::Help, second)));
        history.extend_from_slice(&events);
        events.len()
    };
    let of_a_day: Vec<usize> = (0..24).map(|hour| ask(hour * HOUR)).collect();
    assert_eq!(of_a_day, [vec![1; 10], vec![0; 14]].concat());
    let of_the_next: Vec<usize> = (24..48).map(|hour| ask(hour * HOUR)).collect();
    assert_eq!(of_the_next, [vec![1; 10], vec![0; 14]].concat(), "as each is a day old");
}

#[test]
fn any_number_of_calls_for_help_within_the_hour_has_one_answer() {
    let mut history: Vec<ConsentEvent> = vec![withdrawn(0).into()];
    for second in 1..=200 {
        let answer = ConsentCommand::Answer(answered(Confirmed::Help, second));
        history.extend(decided(&history, answer));
    }
    assert_eq!(history.len(), 2);
}

#[test]
fn an_answer_says_nothing_of_the_wish() {
    let before = [blocked("AC1", 1).into(), withdrawn(2).into()];
    let after = [&before[..], &[answered(Confirmed::Stop, 2).into()]].concat();
    let (before, after) = (fold::<Consent>(&before), fold::<Consent>(&after));
    assert_eq!((after.wish(), after.hindrance()), (before.wish(), before.hindrance()));
    assert!(after.blocks().eq(before.blocks()));
}

#[test]
fn a_programme_of_its_own_needs_both_consents() {
    let fold = |events: &[ConsentEvent]| fold::<Consent>(events);
    let (nothing, stopped) = (Consent::default(), fold(&[withdrawn(5).into()]));
    assert_eq!(nothing.hindrance_of(&nothing), None);
    assert_eq!(nothing.hindrance_of(&stopped), Some(Hindrance::Wish));
    assert_eq!(stopped.hindrance_of(&nothing), Some(Hindrance::Wish), "a STOP stops all");
    assert_eq!(stopped.hindrance_of(&fold(&[given(4).into()])), Some(Hindrance::Wish));
    assert_eq!(stopped.hindrance_of(&fold(&[given(6).into()])), None, "agreed to since");
    assert_eq!(fold(&[given(9).into()]).hindrance_of(&stopped), Some(Hindrance::Wish));
    let blocker = Blocker::of("twilio", "AC1");
    let blocked = fold(&[blocked("AC1", 1).into()]);
    for (default, named) in [(&blocked, &nothing), (&nothing, &blocked)] {
        assert_eq!(default.hindrance_of(named), Some(Hindrance::Block(&blocker)));
    }
}

#[test]
fn an_event_is_found_by_its_conversation() {
    let consent = fold::<Consent>(&[withdrawn(1).into()]);
    assert_eq!(consent.routing().conversation_id, Some(conversation()));
    let consent = fold::<Consent>(&[withdrawn(1).into(), unblocked("AC1", 2).into()]);
    assert_eq!(consent.routing().conversation_id, None, "not by that of the one before");
}

#[test]
fn streams_are_kept_apart_by_tenant_address_and_programme() {
    let (a, b) = (customer(), Address::phone("+18045551235").expect("a possible number"));
    let other = TenantId(Uuid::from_u128(2));
    let news = Programme::new("news").expect("a name");
    let id = consent_id(TenantId::DEFAULT, &a, &sms());
    for another in [
        consent_id(other, &a, &sms()),
        consent_id(TenantId::DEFAULT, &b, &sms()),
        consent_id(TenantId::DEFAULT, &a, &news),
    ] {
        assert_ne!(another, id);
    }
    assert_eq!(id, consent_id(TenantId::DEFAULT, &a, &sms()));
    let mailbox = |text| Address::email(text).expect("a mailbox");
    let of_mail = |text| consent_id(TenantId::DEFAULT, &mailbox(text), &news);
    assert_eq!(of_mail("Ann.B@example.com"), of_mail("ann.b@example.com"), "one mailbox");
    // Streams are found by it for ever.
    assert_eq!(id.to_string(), "7034d182-83b0-5e4e-8846-44b1b2da3386");
}

#[test]
fn a_programme_has_a_plain_name() {
    for name in ["sms", "news.weekly", "a-b_c", "1", &"x".repeat(64)] {
        assert_eq!(Programme::new(name).as_ref().map(Programme::as_str), Ok(name));
    }
    for name in ["", "News", "a b", "ä", "a/b", "a\n", &"x".repeat(65)] {
        assert_eq!(Programme::new(name), Err(ProgrammeError), "{name:?}");
    }
    for channel in Channel::ALL {
        let default = Programme::default_of(channel);
        assert_eq!(default.is_some(), channel.has_provider(), "{channel:?}");
        assert!(default.is_none_or(|p| Programme::new(p.as_str()) == Ok(p)));
    }
    assert_eq!(Programme::default_for(&customer()), Some(sms()));
}

#[test]
fn golden_events_are_read_and_written_alike() {
    examples_are_the_golden_events::<Consent>(&every_event());
}

fn any_event() -> impl Strategy<Value = ConsentEvent> {
    any::<Index>().prop_map(|pick| pick.get(&every_event()).clone())
}

fn any_command() -> impl Strategy<Value = ConsentCommand> {
    prop_oneof![
        Just(ConsentCommand::Give(given(1))),
        Just(ConsentCommand::GiveBack(given(1))),
        Just(ConsentCommand::Withdraw(withdrawn(2))),
        Just(ConsentCommand::Block(blocked("AC1", 3))),
        Just(ConsentCommand::Unblock(unblocked("AC1", 4))),
        Just(ConsentCommand::Answer(answered(Confirmed::Help, 6))),
    ]
}

proptest! {
    #[test]
    fn laws_of_every_decider_hold(
        history in prop::collection::vec(any_event(), 0..12),
        command in any_command(),
    ) {
        decided_twice_adds_nothing::<Consent>(&history, &command);
    }

    /// What is allowed follows from the last word of the person and the last of each account alone.
    #[test]
    fn the_last_word_of_each_decides(history in prop::collection::vec(any_event(), 0..12)) {
        let last = |names: [&str; 2]| {
            history.iter().rev().map(DomainEvent::event_type).find(|name| names.contains(name))
        };
        let wish = last(["ConsentGiven", "ConsentWithdrawn"]);
        let block = last(["ConsentBlocked", "ConsentUnblocked"]);
        let forbidden = wish == Some("ConsentWithdrawn") || block == Some("ConsentBlocked");
        prop_assert_eq!(fold::<Consent>(&history).hindrance().is_some(), forbidden);
    }
}
