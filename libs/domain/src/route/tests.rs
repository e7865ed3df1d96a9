//! How commands change a route, and which terms it refuses.

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::command::{RouteCommand as Command, RouteRejection as Rejection};
use super::event::{RouteChanged, RouteCreated, RouteEvent, RouteRemoved};
use super::*;
use crate::Priority;
use crate::account_name::AccountName;
use crate::address::Address;
use crate::channel::Channel;
use crate::tests::{decided_twice_adds_nothing, examples_are_the_golden_events};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
}

fn name(text: &str) -> AccountName {
    text.parse().expect("a name")
}

fn terms(weight: u16) -> RouteTerms {
    RouteTerms {
        channel: Some(Channel::Sms),
        to: Some("+44".parse().expect("a prefix")),
        from: Some(Address::phone("+12016661234").expect("a possible number")),
        priority: Some(Priority::High),
        accounts: vec![
            Weighted { account: name("vonage"), weight },
            Weighted { account: name("twilio-main"), weight: 20 },
        ],
        backup: vec![name("telnyx")],
    }
}

fn created() -> RouteCreated {
    RouteCreated {
        name: Some("Great Britain".to_owned()),
        order: 10,
        terms: terms(80),
        created_by: "key:0123456789AB".to_owned(),
        at: at(0),
    }
}

fn changed(weight: u16, second: i64) -> RouteChanged {
    RouteChanged { name: None, order: -1, terms: terms(weight), at: at(second) }
}

fn removed(second: i64) -> RouteEvent {
    RouteRemoved { at: at(second) }.into()
}

fn given(history: &[RouteEvent]) -> Route {
    history.iter().fold(Route::default(), Route::evolve)
}

#[test]
fn a_route_is_changed_so_often_at_most_and_can_be_removed_then() {
    let revision = CHANGES_MAX;
    let worn = Route { revision, ..given(&[created().into()]) };
    let change = |weight| Command::Change { to: Box::new(changed(weight, 10)), revision };
    assert_eq!(worn.decide(&change(50)), Err(Rejection::TooOften));
    assert_eq!(worn.decide(&Command::Remove { at: at(9) }), Ok(vec![removed(9)]));
}

#[test]
fn golden_events_are_read_and_written_alike() {
    let events = [created().into(), changed(50, 100).into(), removed(300)];
    examples_are_the_golden_events::<Route>(&events);
}

#[test]
fn a_route_is_made_changed_and_removed_once() {
    let create = Command::Create(Box::new(created()));
    let events = Route::default().decide(&create).expect("it is new");
    assert_eq!(events, [created().into()]);
    let route = given(&events);
    assert!(route.is_there());
    assert_eq!(route.decide(&create), Err(Rejection::Exists));
    let change = |weight, revision| Command::Change { to: Box::new(changed(weight, 10)), revision };
    assert_eq!(route.decide(&change(50, route.revision())), Ok(vec![changed(50, 10).into()]));
    let after = route.clone().evolve(&changed(50, 10).into());
    assert_eq!((after.name(), after.order(), after.terms()), (None, -1, &terms(50)));
    assert_eq!(after.decide(&change(60, route.revision())), Err(Rejection::Moved));
    assert_eq!(after.decide(&change(50, after.revision())), Ok(Vec::new()), "it is so already");
    let remove = Command::Remove { at: at(20) };
    assert_eq!(after.decide(&remove), Ok(vec![removed(20)]));
    let gone = after.evolve(&removed(20));
    assert!(!gone.is_there());
    assert_eq!(gone.decide(&remove), Ok(Vec::new()));
    assert_eq!(gone.decide(&change(60, gone.revision())), Err(Rejection::Unknown));
    assert_eq!(gone.decide(&create), Err(Rejection::Exists));
    assert_eq!(Route::default().decide(&remove), Err(Rejection::Unknown));
}

#[test]
fn terms_by_which_nothing_would_ever_be_sent_are_refused() {
    let weighted = |text: &str, weight| Weighted { account: name(text), weight };
    let domain = "example.com".parse::<Reach>().expect("a domain");
    let mailbox = Address::email("user@example.com").expect("a mailbox");
    let many = (0..33).map(|n| weighted(&format!("a{n}"), 1)).collect();
    for (said, terms, refused) in [
        ("good ones", terms(80), None),
        ("0 beside another", terms(0), None),
        ("none", RouteTerms { accounts: vec![], ..terms(1) }, Some(BadTerms::Count)),
        ("too many", RouteTerms { accounts: many, ..terms(1) }, Some(BadTerms::Count)),
        ("too great", terms(101), Some(BadTerms::Weights)),
        (
            "all 0",
            RouteTerms { accounts: vec![weighted("a", 0)], ..terms(1) },
            Some(BadTerms::Weights),
        ),
        (
            "twice",
            RouteTerms { accounts: vec![weighted("a", 1), weighted("a", 2)], ..terms(1) },
            Some(BadTerms::Twice(name("a"))),
        ),
        (
            "also as its own backup",
            RouteTerms { backup: vec![name("vonage")], ..terms(1) },
            Some(BadTerms::Twice(name("vonage"))),
        ),
        ("a domain", RouteTerms { to: Some(domain.clone()), ..terms(1) }, Some(BadTerms::To)),
        (
            "a prefix for mails",
            RouteTerms { channel: Some(Channel::Email), ..terms(1) },
            Some(BadTerms::To),
        ),
        ("a mailbox", RouteTerms { from: Some(mailbox), ..terms(1) }, Some(BadTerms::From)),
        (
            "a number without its plus, which is no sender's name",
            RouteTerms { from: Address::wanted("12016661234").ok(), ..terms(1) },
            Some(BadTerms::From),
        ),
        ("a short code", RouteTerms { from: Address::wanted("73822").ok(), ..terms(1) }, None),
        ("of any channel", RouteTerms { channel: None, to: Some(domain), ..terms(1) }, None),
    ] {
        assert_eq!(terms.check().err(), refused, "{said}");
    }
}

#[test]
fn a_name_is_of_a_few_printable_characters() {
    for (text, is) in
        [("UK", true), ("Great Britain", true), ("", false), (" a", false), ("a\nb", false)]
    {
        assert_eq!(is_name(text), is, "{text:?}");
    }
    assert!(is_name(&"\u{e9}".repeat(64)) && !is_name(&"a".repeat(65)));
}

#[test]
fn the_state_is_kept_and_read_again() {
    for route in [given(&[created().into(), changed(2, 10).into()]), Route::default()] {
        let json = serde_json::to_string(&route).expect("JSON");
        assert_eq!(serde_json::from_str::<Route>(&json).expect("a route"), route);
    }
}

fn any_event() -> impl Strategy<Value = RouteEvent> {
    (0..3_u8, 0..200_u16, 0..2_000_i64).prop_map(|(choice, weight, second)| match choice {
        0 => created().into(),
        1 => changed(weight, second).into(),
        _ => removed(second),
    })
}

proptest! {
    #[test]
    fn no_history_and_no_command_panics(
        history in prop::collection::vec(any_event(), 0..8), weight in 0..200_u16, revision in 0..9_u32,
    ) {
        for command in [
            Command::Create(Box::new(created())),
            Command::Change { to: Box::new(changed(weight, 3_000)), revision },
            Command::Remove { at: at(3_000) },
        ] {
            decided_twice_adds_nothing::<Route>(&history, &command);
        }
    }
}
