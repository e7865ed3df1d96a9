//! What is told of an account, and how often.

use proptest::prelude::*;

use super::command::CarrierCommand as Command;
use super::event::{BreakerClosed, BreakerOpened};
use super::*;
use crate::tests::{decided_twice_adds_nothing, examples_are_the_golden_events, fold};

/// The stream of Twilio's `AC0` in January 2027, computed elsewhere.
const KNOWN_STREAM: &str = "75046778-8c3d-570f-838c-5eb81d153c27";

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
}

fn opened(second: i64) -> BreakerOpened {
    BreakerOpened {
        account: "twilio-main".parse().expect("a name"),
        provider: "twilio".to_owned(),
        key: "AC0".to_owned(),
        cause: "failures".to_owned(),
        detail: "the last 5 calls failed".to_owned(),
        failures: 5,
        calls: 7,
        window_s: 30,
        at: at(second),
    }
}

fn closed(second: i64) -> BreakerClosed {
    BreakerClosed {
        account: "twilio-main".parse().expect("a name"),
        provider: "twilio".to_owned(),
        key: "AC0".to_owned(),
        open_for_ms: 1_500,
        at: at(second),
    }
}

fn close(opened_at: i64, second: i64) -> Command {
    Command::Close { closed: closed(second), opened_at: at(opened_at) }
}

fn given(history: &[CarrierEvent]) -> Carrier {
    fold::<Carrier>(history)
}

#[test]
fn golden_events_are_read_and_written_alike() {
    examples_are_the_golden_events::<Carrier>(&[opened(0).into(), closed(9).into()]);
}

#[test]
fn a_month_of_an_account_has_a_stream_that_never_changes() {
    let january = at(0);
    let id = |provider, key, at| carrier_id(provider, key, at).to_string();
    assert_eq!(id("twilio", "AC0", january), KNOWN_STREAM);
    let february = january + chrono::TimeDelta::days(20);
    for other in [
        id("twilio", "AC1", january),
        id("sendgrid", "AC0", january),
        id("twilio", "AC0", february),
    ] {
        assert_ne!(other, KNOWN_STREAM);
    }
}

#[test]
fn a_transition_is_told_once_however_many_saw_it() {
    let nothing = Ok(Vec::new());
    let carrier = given(&[]);
    assert_eq!(carrier.decide(&Command::Open(opened(0))), Ok(vec![opened(0).into()]));
    let open = given(&[opened(0).into()]);
    assert_eq!(open.open().map(|open| (open.failures, open.at)), Some((5, at(0))));
    assert_eq!(open.decide(&Command::Open(opened(1))), nothing);
    assert_eq!(open.decide(&close(0, 9)), Ok(vec![closed(9).into()]));
    let well = given(&[opened(0).into(), closed(9).into()]);
    assert_eq!((well.open(), well.closed_at()), (None, Some(at(9))));
    assert_eq!(well.decide(&close(0, 10)), nothing);
    let again = given(&[opened(0).into(), closed(9).into(), opened(20).into()]);
    assert_eq!(again.decide(&close(0, 21)), nothing, "it is another opening");
    assert_eq!(again.openings().collect::<Vec<_>>(), [at(0), at(20)]);
}

#[test]
fn what_was_opened_in_one_month_is_closed_in_the_next() {
    let before = given(&[opened(0).into()]);
    let events = given(&[]).decide(&close(0, 9)).expect("it is open");
    assert_eq!(events, [closed(9).into()]);
    let now = given(&events).following(before.clone());
    assert_eq!((now.open(), now.key()), (None, ("twilio", "AC0")));
    assert_eq!(now.openings().collect::<Vec<_>>(), [at(0)]);
    assert_eq!(given(&[]).following(before.clone()), before);
}

#[test]
fn the_state_is_kept_and_read_again() {
    for carrier in [given(&[opened(0).into(), closed(1).into(), opened(2).into()]), given(&[])] {
        let json = serde_json::to_string(&carrier).expect("JSON");
        assert_eq!(serde_json::from_str::<Carrier>(&json).expect("a carrier"), carrier);
    }
}

fn any_event() -> impl Strategy<Value = CarrierEvent> {
    (any::<bool>(), 0..2_000_i64).prop_map(|(opens, second)| match opens {
        true => opened(second).into(),
        false => closed(second).into(),
    })
}

proptest! {
    #[test]
    fn no_history_and_no_command_panics(
        history in prop::collection::vec(any_event(), 0..40), second in 0..2_000_i64,
    ) {
        for command in [Command::Open(opened(second)), close(second, second + 1)] {
            decided_twice_adds_nothing::<Carrier>(&history, &command);
        }
        prop_assert!(given(&history).openings().count() <= OPENINGS_MAX);
    }
}
