//! What becomes of an account, and what of it leaves the log.

use proptest::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;

use super::command::{AccountCommand as Command, AccountRejection as Rejection};
use super::event::{
    AccountChanged, AccountCreated, AccountEvent, AccountRemoved, AccountSecretsRewrapped,
};
use super::*;
use crate::published::published;
use crate::tests::{decided_twice_adds_nothing, examples_are_the_golden_events};
use crate::{DomainEvent, Kind};

/// The stream of `twilio-main`, computed elsewhere.
const KNOWN_STREAM: &str = "32638479-b945-5b9f-bb94-bd2c73ccbac9";

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
}

fn name() -> AccountName {
    "twilio-main".parse().expect("a name")
}

fn sealed(seed: u8) -> BTreeMap<String, Sealed> {
    let id = format!("{seed:02x}").repeat(8);
    let secret = Sealed::of(&id, "d3JhcHBlZA", &format!("Y2FuYXJ5{seed}")).expect("good parts");
    BTreeMap::from([("auth_token".to_owned(), secret)])
}

fn settings(sid: &str) -> BTreeMap<String, Value> {
    BTreeMap::from([("account_sid".to_owned(), json!(sid))])
}

fn created(seed: u8) -> AccountCreated {
    AccountCreated {
        name: name(),
        provider: "twilio".to_owned(),
        channels: Vec::new(),
        senders: Vec::new(),
        traffic: Traffic::Live,
        limits: AccountLimits::default(),
        on_doubt: None,
        settings: settings("AC1"),
        secrets: sealed(seed),
        created_by: "key:0123456789AB".to_owned(),
        at: at(0),
    }
}

fn changed(seed: u8, second: i64) -> AccountChanged {
    AccountChanged {
        channels: vec![Channel::Sms],
        senders: vec![Address::phone("+12016661234").expect("a possible number")],
        traffic: Traffic::Test,
        limits: AccountLimits::default(),
        on_doubt: None,
        settings: settings("AC2"),
        secrets: sealed(seed),
        at: at(second),
    }
}

fn rewrapped(seed: u8, second: i64) -> AccountEvent {
    let master_key_id = format!("{seed:02x}").repeat(8);
    AccountSecretsRewrapped { master_key_id, secrets: sealed(seed), at: at(second) }.into()
}

fn removed(second: i64) -> AccountEvent {
    AccountRemoved { at: at(second) }.into()
}

fn rewrap(from: u8, to: u8) -> Command {
    let master_key_id = format!("{to:02x}").repeat(8);
    Command::Rewrap { master_key_id, from: sealed(from), to: sealed(to), at: at(50) }
}

fn given(history: &[AccountEvent]) -> Account {
    history.iter().fold(Account::default(), Account::evolve)
}

/// One of each type, with everything that it can have.
fn every_event() -> Vec<AccountEvent> {
    let AccountChanged { channels, senders, .. } = changed(1, 0);
    let whole = AccountCreated { channels, senders, ..created(1) };
    vec![whole.into(), changed(2, 100).into(), rewrapped(3, 200), removed(300)]
}

#[test]
fn limits_and_a_policy_are_written_where_they_are_said() {
    let limits = AccountLimits { per_day: Some(9), ..AccountLimits::default() };
    let on_doubt = Some(crate::OnDoubt::Resend);
    let said: AccountEvent = AccountChanged { limits, on_doubt, ..changed(1, 1) }.into();
    let written = said.encode();
    assert!(written.contains("\"per_day\":9") && written.contains("resend"), "{written}");
    let read = AccountEvent::decode("AccountChanged", 1, &written);
    assert_eq!(read.ok(), Some(said));
}

#[test]
fn golden_events_are_read_and_written_alike() {
    examples_are_the_golden_events::<Account>(&every_event());
}

#[test]
fn nobody_outside_of_the_log_is_told_a_secret_though_it_is_sealed() {
    for event in every_event() {
        let payload = RawValue::from_string(event.encode()).expect("JSON");
        let shown = published(event.event_type(), payload);
        assert!(!shown.get().contains("secrets") && !shown.get().contains("Y2FuYXJ5"), "{shown}");
        assert!(shown.get().contains("\"at\""), "{shown}");
        assert!(!format!("{event:?}").contains("Y2FuYXJ5"), "{event:?}");
    }
    let shapes = Kind::named(AGGREGATE).expect("a kind").shapes();
    assert_eq!(shapes.len(), every_event().len());
    for shape in shapes {
        assert!(!shape.data["properties"]["secrets"].is_object(), "{}", shape.data);
    }
}

#[test]
fn an_account_is_made_once_and_again_when_it_was_removed() {
    let create = Command::Create(Box::new(created(1)));
    let events = Account::default().decide(&create).expect("it is new");
    assert_eq!(events, [created(1).into()]);
    let account = given(&events);
    assert!(account.is_there());
    assert_eq!(account.decide(&create), Err(Rejection::Exists));
    let gone = account.evolve(&removed(10));
    assert!(!gone.is_there() && gone.secrets().is_empty(), "{gone:?}");
    assert_eq!(gone.decide(&create), Ok(vec![created(1).into()]));
}

#[test]
fn a_change_that_was_made_up_before_another_is_refused() {
    let account = given(&[created(1).into()]);
    let change = |seed, revision| Command::Change { to: Box::new(changed(seed, 10)), revision };
    let revision = account.revision();
    assert_eq!(account.decide(&change(2, revision)), Ok(vec![changed(2, 10).into()]));
    let after = account.evolve(&changed(2, 10).into());
    assert_eq!(after.decide(&change(3, revision)), Err(Rejection::Moved));
    assert_eq!(after.decide(&change(2, after.revision())), Ok(Vec::new()), "it is so already");
    let again = after.evolve(&removed(20)).evolve(&created(1).into());
    assert_eq!(again.decide(&change(2, revision)), Err(Rejection::Moved), "it is another account");
}

#[test]
fn secrets_are_wrapped_anew_only_where_they_are_those_still() {
    let account = given(&[created(1).into()]);
    assert_eq!(
        account.decide(&rewrap(1, 2)),
        Ok(vec![
            AccountSecretsRewrapped {
                master_key_id: "02".repeat(8),
                secrets: sealed(2),
                at: at(50),
            }
            .into()
        ])
    );
    let changed = account.clone().evolve(&changed(5, 10).into());
    assert_eq!(changed.decide(&rewrap(1, 2)), Ok(Vec::new()), "a newer secret is not lost");
    let rewrapped = account.evolve(&rewrapped(2, 50));
    assert_eq!(rewrapped.secrets(), &sealed(2));
    assert_eq!(rewrapped.decide(&rewrap(1, 2)), Ok(Vec::new()));
    assert_eq!(rewrapped.decide(&rewrap(2, 2)), Ok(Vec::new()));
}

#[test]
fn nothing_can_be_asked_of_an_account_that_there_is_not() {
    let change = |account: &Account| Command::Change {
        to: Box::new(changed(2, 10)),
        revision: account.revision(),
    };
    for account in [Account::default(), given(&[created(1).into(), removed(5)])] {
        for command in [change(&account), rewrap(1, 2)] {
            assert_eq!(account.decide(&command), Err(Rejection::Unknown));
        }
    }
    let remove = Command::Remove { at: at(20) };
    assert_eq!(Account::default().decide(&remove), Err(Rejection::Unknown));
    assert_eq!(given(&[created(1).into(), removed(5)]).decide(&remove), Ok(Vec::new()));
}

#[test]
fn the_stream_of_an_account_never_changes() {
    assert_eq!(account_id(&name()).to_string(), KNOWN_STREAM);
}

#[test]
fn the_state_is_kept_and_read_again() {
    let account = given(&[created(1).into(), changed(2, 10).into()]);
    for account in [account, Account::default()] {
        let json = serde_json::to_string(&account).expect("JSON");
        assert_eq!(serde_json::from_str::<Account>(&json).expect("an account"), account);
    }
}

fn any_event() -> impl Strategy<Value = AccountEvent> {
    (0..4_u8, any::<u8>(), 0..2_000_i64).prop_map(|(choice, seed, second)| match choice {
        0 => created(seed).into(),
        1 => changed(seed, second).into(),
        2 => rewrapped(seed, second),
        _ => removed(second),
    })
}

proptest! {
    #[test]
    fn no_history_and_no_command_panics_and_what_was_removed_has_no_secret(
        history in prop::collection::vec(any_event(), 0..8), seed in any::<u8>(), revision in 0..9_u32,
    ) {
        for command in [
            Command::Create(Box::new(created(seed))),
            Command::Change { to: Box::new(changed(seed, 10)), revision },
            rewrap(seed, seed.wrapping_add(1)),
            Command::Remove { at: at(10) },
        ] {
            decided_twice_adds_nothing::<Account>(&history, &command);
        }
        let account = given(&history);
        let ended_last = matches!(history.last(), Some(AccountEvent::AccountRemoved(_)));
        prop_assert!(!ended_last || account.secrets().is_empty());
    }
}
