//! What becomes of a key, and of its text.

use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::command::{ApiKeyCommand as Command, ApiKeyRejection as Rejection};
use super::event::{ApiKeyCreated, ApiKeyEvent, ApiKeyRevoked, ApiKeyRotated};
use super::*;
use crate::published::published;
use crate::tests::{decided_twice_adds_nothing, examples_are_the_golden_events};
use crate::{DomainEvent, Kind};

/// A key whose checksum, hash and stream were computed elsewhere.
const KNOWN: &str = "hk_live_0123456789AB_abcdefghijklmnopqrstuvwxyzABCDEF3AAPbs";
const KNOWN_HASH: &str = "cd7d6f3423a95e6be4f450c5567d7081eef6f7fc12c26e439650cef7a53f6e0f";
const KNOWN_STREAM: &str = "3a091406-c4f4-5238-a732-50bd811a466c";

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
}

fn minted(seed: u8) -> Minted {
    let entropy = std::array::from_fn(|n| seed.wrapping_mul(7).wrapping_add(n as u8) % 62);
    ApiKeyText::mint(KeyType::Live, &entropy).expect("all bytes are fair")
}

fn created(minted: &Minted) -> ApiKeyCreated {
    ApiKeyCreated {
        key_id: minted.id.clone(),
        name: "shop".to_owned(),
        key_type: KeyType::Live,
        scopes: Scopes::of(&[Scope::MessagesWrite]),
        senders: Vec::new(),
        channels: Vec::new(),
        ip_ranges: Vec::new(),
        secret_hash: minted.hash.clone(),
        expires_at: Some(at(1_000)),
        created_by: "cli".to_owned(),
        at: at(0),
    }
}

fn given(history: &[ApiKeyEvent]) -> ApiKey {
    history.iter().fold(ApiKey::default(), ApiKey::evolve)
}

fn rotated(minted: &Minted, old_until: i64, second: i64) -> ApiKeyEvent {
    let secret_hash = minted.hash.clone();
    ApiKeyRotated { secret_hash, old_until: at(old_until), at: at(second) }.into()
}

fn revoked(second: i64) -> ApiKeyEvent {
    ApiKeyRevoked { at: at(second) }.into()
}

/// One of each type, with everything that it can have.
fn every_event() -> Vec<ApiKeyEvent> {
    let whole = ApiKeyCreated {
        senders: vec![Address::phone("+12016661234").expect("a possible number")],
        channels: vec![Channel::Sms, Channel::Mms],
        ip_ranges: vec!["10.0.0.0/8".parse().expect("a network")],
        ..created(&minted(1))
    };
    vec![whole.into(), rotated(&minted(2), 200, 100), revoked(300)]
}

#[test]
fn golden_events_are_read_and_written_alike() {
    examples_are_the_golden_events::<ApiKey>(&every_event());
}

#[test]
fn nobody_outside_of_the_log_is_told_a_hash() {
    for event in every_event() {
        let payload = RawValue::from_string(event.encode()).expect("JSON");
        let shown = published(event.event_type(), payload);
        assert!(!shown.get().contains("hash"), "{shown}");
        assert!(shown.get().contains("\"at\""), "{shown}");
    }
    let shapes = Kind::named(AGGREGATE).expect("a kind").shapes();
    assert_eq!(shapes.len(), every_event().len());
    for shape in shapes {
        assert!(shape.data["properties"]["at"].is_object(), "{}", shape.data);
        assert!(!shape.data.to_string().contains("hash"), "{}", shape.data);
    }
}

#[test]
fn a_rotation_that_is_repeated_leaves_the_secret_before_its_time() {
    let (first, second) = (minted(1), minted(2));
    let key = given(&[created(&first).into(), rotated(&second, 200, 100)]);
    let again = Command::Rotate { hash: second.hash, old_until: at(210), at: at(110) };
    assert_eq!(key.decide(&again), Ok(Vec::new()));
    assert_eq!(key.admits(&first.hash, at(150)), Ok(()));
}

#[test]
fn a_key_is_made_once() {
    let create = Command::Create(Box::new(created(&minted(1))));
    let events = ApiKey::default().decide(&create).expect("it is new");
    assert_eq!(events, [created(&minted(1)).into()]);
    assert_eq!(given(&events).decide(&create), Err(Rejection::Exists));
}

#[test]
fn a_secret_counts_until_its_end_and_its_successor_from_its_beginning() {
    let (first, second) = (minted(1), minted(2));
    let key = given(&[created(&first).into(), rotated(&second, 200, 100)]);
    for (hash, second, expected) in [
        (&first.hash, 199, Ok(())),
        (&first.hash, 200, Err(KeyRefusal::WrongSecret)),
        (&second.hash, 100, Ok(())),
        (&second.hash, 999, Ok(())),
        (&second.hash, 1_000, Err(KeyRefusal::Expired)),
        (&minted(3).hash, 100, Err(KeyRefusal::WrongSecret)),
    ] {
        assert_eq!(key.admits(hash, at(second)), expected, "{second}");
    }
    let twice = key.clone().evolve(&rotated(&minted(3), 300, 150));
    for (hash, until) in [(&first.hash, 200), (&second.hash, 300)] {
        assert_eq!(twice.admits(hash, at(until - 1)), Ok(()), "as it was promised");
        assert_eq!(twice.admits(hash, at(until)), Err(KeyRefusal::WrongSecret));
    }
    let at_once = key.evolve(&rotated(&minted(3), 150, 150));
    for hash in [&first.hash, &second.hash] {
        assert_eq!(at_once.admits(hash, at(150)), Err(KeyRefusal::WrongSecret), "all of them");
    }
}

#[test]
fn a_key_that_was_ended_opens_nothing_and_stays_ended() {
    let (first, second) = (minted(1), minted(2));
    let key = given(&[created(&first).into(), rotated(&second, 500, 100), revoked(150)]);
    for hash in [&first.hash, &second.hash] {
        assert_eq!(key.admits(hash, at(160)), Err(KeyRefusal::Revoked));
    }
    let rotate = Command::Rotate { hash: first.hash, old_until: at(900), at: at(200) };
    assert_eq!(key.decide(&rotate), Err(Rejection::Revoked));
    assert_eq!(key.decide(&Command::Revoke { at: at(200) }), Err(Rejection::Revoked));
}

#[test]
fn nothing_can_be_asked_of_a_key_that_there_is_not_or_that_has_expired() {
    let rotate = Command::Rotate { hash: minted(2).hash, old_until: at(900), at: at(1_000) };
    let revoke = Command::Revoke { at: at(1_000) };
    for command in [&rotate, &revoke] {
        assert_eq!(ApiKey::default().decide(command), Err(Rejection::Unknown));
    }
    let key = given(&[created(&minted(1)).into()]);
    assert_eq!(key.decide(&rotate), Err(Rejection::Expired));
    assert_eq!(key.decide(&revoke), Ok(vec![revoked(1_000)]), "a clock may go back");
}

#[test]
fn a_text_says_its_type_its_id_and_whether_it_is_whole() {
    let minted = minted(7);
    let read_back = read(&minted.text).expect("a key");
    assert_eq!((read_back.key_type, &read_back.id), (KeyType::Live, &minted.id));
    assert_eq!((read_back.hash, minted.text.len()), (minted.hash.clone(), 59));
    let known = KNOWN;
    assert_eq!(read(known).expect("a key").id.as_str(), "0123456789AB");
    assert_eq!(String::from(read(known).expect("a key").hash), KNOWN_HASH);
    for wrong in [
        "",
        "hk_live",
        "hk_live_0123456789AB_",
        &known[..58],
        &known.replace("hk_", "sk_"),
        &known.replace("live", "LIVE"),
        &known.replace('z', "-"),
        &known.replace('z', "\u{e9}"),
        &format!("{known}_"),
        &format!(" {known}"),
    ] {
        assert_eq!(read(wrong), Err(BadApiKey::Form), "{wrong:?}");
    }
    for wrong in [known.replace('z', "y"), known.replace("live", "test")] {
        assert_eq!(read(&wrong), Err(BadApiKey::Checksum), "{wrong:?}");
    }
}

#[test]
fn another_text_of_a_key_has_its_id_and_another_secret() {
    let first = minted(1);
    let entropy = [9; 64];
    let second = ApiKeyText::mint_for(KeyType::Live, first.id.clone(), &entropy).expect("fair");
    assert_eq!(second.id, first.id);
    assert_ne!(second.hash, first.hash);
    assert!(ApiKeyText::mint(KeyType::Live, &[255; 64]).is_none(), "no byte of it is fair");
}

#[test]
fn a_type_covers_those_that_reach_nobody_else_and_has_no_scope_that_undoes_it() {
    use KeyType::{Live, Team, Test};
    for (one, covered) in [(Live, &[Live, Test, Team][..]), (Team, &[Test, Team]), (Test, &[Test])]
    {
        let all = KeyType::ALL.into_iter().filter(|other| one.covers(*other));
        assert_eq!(all.collect::<Vec<_>>(), covered, "{one:?}");
        for scope in Scope::ALL {
            let is_kept = matches!(scope, Scope::Admin | Scope::Platform);
            assert_eq!(one.may_have(*scope), one == Live || !is_kept, "{one:?} {scope}");
        }
    }
}

#[test]
fn the_stream_of_a_key_never_changes() {
    let id: KeyId = "0123456789AB".parse().expect("an id");
    assert_eq!(api_key_id(&id).to_string(), KNOWN_STREAM);
}

#[test]
fn what_is_kept_of_a_secret_is_not_printed() {
    let minted = minted(1);
    let hash = String::from(minted.hash.clone());
    let key = given(&[created(&minted).into()]);
    for printed in [format!("{minted:?}"), format!("{key:?}"), format!("{:?}", minted.hash)] {
        assert!(!printed.contains(&hash) && !printed.contains(&minted.text), "{printed}");
    }
}

#[test]
fn the_state_is_kept_and_read_again() {
    let key = given(&[created(&minted(1)).into(), rotated(&minted(2), 200, 100), revoked(120)]);
    let json = serde_json::to_string(&key).expect("JSON");
    assert_eq!(serde_json::from_str::<ApiKey>(&json).expect("a key"), key);
    let nothing = serde_json::to_string(&ApiKey::default()).expect("JSON");
    assert_eq!(serde_json::from_str::<ApiKey>(&nothing).expect("none"), ApiKey::default());
}

fn any_event() -> impl Strategy<Value = ApiKeyEvent> {
    (0..3_u8, any::<u8>(), 0..2_000_i64).prop_map(|(choice, seed, second)| match choice {
        0 => created(&minted(seed)).into(),
        1 => rotated(&minted(seed), second + 50, second),
        _ => revoked(second),
    })
}

proptest! {
    #[test]
    fn no_history_and_no_command_panics_and_what_was_ended_admits_nobody(
        history in prop::collection::vec(any_event(), 0..8), seed in any::<u8>(), second in 0..2_000_i64,
    ) {
        let key = given(&history);
        let (hash, time) = (minted(seed).hash, at(second));
        for command in [
            Command::Create(Box::new(created(&minted(seed)))),
            Command::Rotate { hash: hash.clone(), old_until: time + TimeDelta::hours(1), at: time },
            Command::Revoke { at: time },
        ] {
            let decided = key.decide(&command);
            decided_twice_adds_nothing::<ApiKey>(&history, &command);
            if key.revoked_at().is_some() && !matches!(command, Command::Create(_)) {
                prop_assert!(decided.is_err());
            }
        }
        prop_assert!(key.revoked_at().is_none() || key.admits(&hash, time).is_err());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,80}") {
        prop_assert!(read(&text).is_err());
    }
}
