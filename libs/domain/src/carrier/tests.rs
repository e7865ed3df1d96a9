//! What is told of an account, and how often.

use proptest::prelude::*;

use super::command::CarrierCommand as Command;
use super::event::{BreakerClosed, BreakerOpened, CarrierFigures};
use super::*;
use crate::tests::{decided_twice_adds_nothing, examples_are_the_golden_events, fold};

/// The stream of the default tenant's `AC0` at Twilio in January 2027, computed elsewhere.
const KNOWN_STREAM: &str = "497ec14d-321d-5cb5-9e4f-186ff32b944f";

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

/// Of two accounts that rest at 50 each, parts before and after in hundreds.
fn shifted(before: [u16; 2], after: [u16; 2], second: i64) -> WeightsShifted {
    let name = |n: usize| ["twilio-main", "vonage"][n].parse::<AccountName>().expect("a name");
    let weight = |n: usize| ShiftedWeight {
        account: name(n),
        rest: 50,
        before: before[n] * 100,
        after: after[n] * 100,
    };
    let figures = |n: usize| CarrierFigures {
        account: name(n),
        attempts: 200,
        failed: [40, 0][n],
        in_doubt: 1,
        messages: 100,
        slow: 3,
        undelivered: 0,
    };
    WeightsShifted {
        account: name(0),
        provider: "twilio".to_owned(),
        key: "AC0".to_owned(),
        channel: Channel::Sms,
        country: Some(44),
        weights: [0, 1].map(weight).into(),
        reason: "failing".to_owned(),
        figures: [0, 1].map(figures).into(),
        at: at(second),
    }
}

fn given(history: &[CarrierEvent]) -> Carrier {
    fold::<Carrier>(history)
}

#[test]
fn golden_events_are_read_and_written_alike() {
    examples_are_the_golden_events::<Carrier>(&[
        opened(0).into(),
        closed(9).into(),
        shifted([50, 50], [40, 60], 60).into(),
    ]);
}

#[test]
fn a_month_of_an_account_has_a_stream_that_never_changes() {
    let january = at(0);
    let of = |tenant, provider, key, at| carrier_id(tenant, provider, key, at).to_string();
    let id = |provider, key, at| of(TenantId::DEFAULT, provider, key, at);
    assert_eq!(id("twilio", "AC0", january), KNOWN_STREAM);
    let february = january + chrono::TimeDelta::days(20);
    for other in [
        id("twilio", "AC1", january),
        id("sendgrid", "AC0", january),
        id("twilio", "AC0", february),
        of(TenantId(Uuid::from_u128(2)), "twilio", "AC0", january),
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
    assert_eq!(well.decide(&Command::Open(opened(9))), nothing, "it was closed since");
    assert_eq!(well.decide(&Command::Open(opened(10))), Ok(vec![opened(10).into()]));
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
fn messages_are_shared_as_was_told_last() {
    let first = shifted([50, 50], [40, 60], 0);
    let second = shifted([40, 60], [30, 70], 300);
    let shift = |shifted: &WeightsShifted| Command::Shift(shifted.clone());
    assert_eq!(given(&[]).decide(&shift(&first)), Ok(vec![first.clone().into()]));
    let carrier = given(&[first.clone().into()]);
    assert_eq!(carrier.decide(&shift(&first)), Ok(Vec::new()), "another process was faster");
    assert_eq!(carrier.decide(&shift(&second)), Ok(vec![second.clone().into()]));
    let still = shifted([40, 60], [40, 60], 300);
    assert_eq!(carrier.decide(&shift(&still)), Ok(Vec::new()));
    let elsewhere = WeightsShifted { country: Some(1), ..first.clone() };
    let carrier = given(&[first.into(), elsewhere.clone().into(), second.clone().into()]);
    let vonage = "vonage".parse().expect("a name");
    let parts: Vec<_> = carrier.shifts().map(|one| (one.country, one.weight(&vonage))).collect();
    assert_eq!(parts, [(Some(1), Some(6_000)), (Some(44), Some(7_000))]);
}

#[test]
fn a_month_that_tells_of_one_thing_leaves_the_other_as_it_was() {
    let before = given(&[opened(0).into(), shifted([50, 50], [40, 60], 1).into()]);
    let shared = given(&[shifted([40, 60], [50, 50], 9).into()]).following(before.clone());
    assert!(shared.open().is_some(), "nobody told that it closed");
    assert_eq!(shared.shifts().map(|shift| shift.at).collect::<Vec<_>>(), [at(9)]);
    let closed = given(&[closed(9).into()]).following(before);
    assert_eq!((closed.open(), closed.shifts().count()), (None, 1));
}

#[test]
fn a_stream_takes_no_more_than_it_holds() {
    let (mut carrier, mut events) = (Carrier::default(), 0);
    for second in 0..20_000 {
        let (even, odd) = ([50, 50], [40, 60]);
        let (before, after) = if second % 2 == 0 { (even, odd) } else { (odd, even) };
        for command in [
            Command::Open(opened(2 * second)),
            close(2 * second, 2 * second + 1),
            Command::Shift(shifted(before, after, second)),
        ] {
            for event in carrier.decide(&command).expect("it is never refused") {
                (carrier, events) = (carrier.evolve(&event), events + 1);
            }
        }
    }
    assert!(events < 10_000, "{events} events");
    assert_eq!(carrier.open(), None, "what was opened is closed");
}

#[test]
fn the_state_is_kept_and_read_again() {
    let shifted = shifted([50, 50], [40, 60], 3).into();
    for carrier in
        [given(&[opened(0).into(), closed(1).into(), opened(2).into(), shifted]), given(&[])]
    {
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
