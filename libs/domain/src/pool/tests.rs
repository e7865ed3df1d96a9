//! How commands change a pool, and which terms it refuses.

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::command::{PoolCommand as Command, PoolRejection as Rejection};
use super::event::{PoolChanged, PoolCreated, PoolEvent, PoolRemoved};
use super::*;
use crate::address::Address;
use crate::channel::Channel;
use crate::tests::{decided_twice_adds_nothing, examples_are_the_golden_events};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
}

fn sender(text: &str, weight: u16) -> PoolSender {
    PoolSender { address: Address::sender(text).expect("a sender"), weight, area: None }
}

fn terms(weight: u16) -> PoolTerms {
    let area = Some("212".to_owned());
    PoolTerms {
        channel: Some(Channel::Sms),
        is_default: true,
        senders: vec![
            PoolSender { area, ..sender("+12016661234", weight) },
            sender("73822", 20),
            sender("My Shop", 10),
            sender("MG00000000000000000000000000000000", 5),
        ],
    }
}

fn name() -> PoolName {
    "support".parse().expect("a name")
}

fn created() -> PoolCreated {
    let created_by = "key:0123456789AB".to_owned();
    PoolCreated { name: name(), terms: terms(80), created_by, at: at(0) }
}

fn changed(weight: u16, second: i64) -> PoolChanged {
    PoolChanged { terms: terms(weight), at: at(second) }
}

fn removed(second: i64) -> PoolEvent {
    PoolRemoved { at: at(second) }.into()
}

fn given(history: &[PoolEvent]) -> Pool {
    history.iter().fold(Pool::default(), Pool::evolve)
}

#[test]
fn a_pool_is_changed_so_often_at_most_and_can_be_removed_then() {
    let revision = CHANGES_MAX;
    let worn = Pool { revision, ..given(&[created().into()]) };
    let change = |weight| Command::Change { to: Box::new(changed(weight, 10)), revision };
    assert_eq!(worn.decide(&change(50)), Err(Rejection::TooOften));
    assert_eq!(worn.decide(&Command::Remove { at: at(9) }), Ok(vec![removed(9)]));
    let worn = Pool { removed_at: Some(at(9)), ..worn };
    let create = Command::Create(Box::new(created()));
    assert_eq!(worn.decide(&create), Err(Rejection::TooOften));
}

#[test]
fn golden_events_are_read_and_written_alike() {
    let events = [created().into(), changed(50, 100).into(), removed(300)];
    examples_are_the_golden_events::<Pool>(&events);
}

#[test]
fn a_pool_is_made_changed_and_removed_and_made_again() {
    let create = Command::Create(Box::new(created()));
    let events = Pool::default().decide(&create).expect("it is new");
    assert_eq!(events, [created().into()]);
    let pool = given(&events);
    assert!(pool.is_there());
    assert_eq!(pool.decide(&create), Err(Rejection::Exists));
    let change = |weight, revision| Command::Change { to: Box::new(changed(weight, 10)), revision };
    assert_eq!(pool.decide(&change(50, pool.revision())), Ok(vec![changed(50, 10).into()]));
    let after = pool.clone().evolve(&changed(50, 10).into());
    assert_eq!(after.terms(), &terms(50));
    assert_eq!(after.decide(&change(60, pool.revision())), Err(Rejection::Moved));
    assert_eq!(after.decide(&change(50, after.revision())), Ok(Vec::new()), "it is so already");
    let remove = Command::Remove { at: at(20) };
    assert_eq!(after.decide(&remove), Ok(vec![removed(20)]));
    let gone = after.evolve(&removed(20));
    assert!(!gone.is_there());
    assert_eq!(gone.decide(&remove), Ok(Vec::new()));
    assert_eq!(gone.decide(&change(60, gone.revision())), Err(Rejection::Unknown));
    assert_eq!(gone.decide(&create), Ok(vec![created().into()]));
    assert_eq!(Pool::default().decide(&remove), Err(Rejection::Unknown));
}

#[test]
fn a_pool_from_which_nothing_could_be_sent_is_refused() {
    let number = || sender("+12016661234", 100);
    let with = |senders: Vec<PoolSender>| PoolTerms { senders, ..PoolTerms::default() };
    let area = |text: &str| PoolSender { area: Some(text.to_owned()), ..number() };
    let mailbox =
        PoolSender { address: Address::email("user@example.com").expect("a mailbox"), ..number() };
    let many = (0..501).map(|n| sender(&format!("Shop {n}"), 1)).collect();
    for (said, terms, refused) in [
        ("one", with(vec![number()]), None),
        ("all kinds", terms(0), None),
        ("none", with(Vec::new()), Some(BadPool::Count)),
        ("too many", with(many), Some(BadPool::Count)),
        ("mail", PoolTerms { channel: Some(Channel::Email), ..terms(1) }, Some(BadPool::Channel)),
        (
            "a name for files",
            PoolTerms { channel: Some(Channel::Mms), ..terms(1) },
            Some(BadPool::Name(2)),
        ),
        ("too much", with(vec![sender("73822", 101)]), Some(BadPool::Weight(0))),
        ("nothing", with(vec![sender("73822", 0)]), Some(BadPool::Weights)),
        ("twice", with(vec![number(), number()]), Some(BadPool::Twice(1))),
        ("a mailbox", with(vec![number(), mailbox]), Some(BadPool::Sender(1))),
        ("an area", with(vec![area("2o1")]), Some(BadPool::Area(0))),
        ("another area", with(vec![area("2011")]), Some(BadPool::Area(0))),
    ] {
        assert_eq!(terms.check().err(), refused, "{said}");
    }
}

#[test]
fn a_pool_is_for_texts_and_for_files_unless_it_says_which() {
    let both = PoolTerms { channel: None, ..terms(1) };
    let of = |terms: &PoolTerms| Channel::ALL.map(|channel| terms.is_for(channel));
    assert_eq!(of(&both), [true, true, false, false]);
    assert_eq!(of(&terms(1)), [true, false, false, false]);
}

#[test]
fn the_stream_of_a_pool_never_changes() {
    let id = pool_id(TenantId::DEFAULT, &name());
    assert_eq!(id.to_string(), "3d65e96a-5c04-50bb-a243-6d3b98d26ae1");
    let other = pool_id(TenantId(Uuid::from_u128(2)), &name());
    assert_ne!(other, id);
}

fn any_event() -> impl Strategy<Value = PoolEvent> {
    (0..3_u8, 0..101_u16, 0..2_000_i64).prop_map(|(choice, weight, second)| match choice {
        0 => created().into(),
        1 => changed(weight, second).into(),
        _ => removed(second),
    })
}

proptest! {
    #[test]
    fn no_history_and_no_command_panics(
        history in prop::collection::vec(any_event(), 0..8), weight in 0..101_u16, revision in 0..9_u32,
    ) {
        for command in [
            Command::Create(Box::new(created())),
            Command::Change { to: Box::new(changed(weight, 10)), revision },
            Command::Remove { at: at(10) },
        ] {
            decided_twice_adds_nothing::<Pool>(&history, &command);
        }
    }
}
