//! What is moved, and what never is.

use proptest::prelude::*;

use super::*;

const RULES: fn() -> BalanceRules = BalanceRules::default;

fn name(n: usize) -> AccountName {
    format!("account-{n}").parse().expect("a name")
}

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + 60 * minute, 0).expect("a time in range")
}

const WELL: Figures =
    Figures { attempts: 200, failed: 2, in_doubt: 0, messages: 200, slow: 4, undelivered: 1 };

fn failing(failed: u64) -> Figures {
    Figures { failed, ..WELL }
}

fn slow(slow: u64) -> Figures {
    Figures { slow, ..WELL }
}

/// Accounts that rest and stand so, in hundreds, with what was seen of them.
fn shares(all: &[(u16, u16, Figures)]) -> Vec<Share> {
    let share = |(n, (rest, now, figures)): (usize, &(u16, u16, Figures))| Share {
        account: name(n),
        rest: rest * 100,
        now: now * 100,
        figures: *figures,
    };
    all.iter().enumerate().map(share).collect()
}

/// The parts after a move, in hundreds, and why.
fn moved(all: &[(u16, u16, Figures)], minutes_since: Option<i64>) -> Option<(Vec<u16>, Reason)> {
    let moved_at = minutes_since.map(|minutes| at(-minutes));
    let Move { parts, reason } = balance(&shares(all), moved_at, at(0), &RULES())?;
    Some((parts.iter().map(|part| part / 100).collect(), reason))
}

#[test]
fn ten_points_leave_an_account_that_fails_or_is_slow_where_another_is_well() {
    use Reason::{Failing, Slow};
    for (figures, reason) in [
        (failing(30), Some(Failing)),
        (failing(29), None),
        (slow(30), Some(Slow)),
        (slow(29), None),
        (Figures { undelivered: 30, ..WELL }, Some(Failing)),
        // Both: what fails is worse.
        (Figures { failed: 40, slow: 200, ..WELL }, Some(Failing)),
    ] {
        let expected = reason.map(|reason| (vec![40, 60], reason));
        assert_eq!(moved(&[(50, 50, figures), (50, 50, WELL)], None), expected, "{figures:?}");
        let both = [(50, 50, figures), (50, 50, failing(100))];
        assert_eq!(moved(&both, None).is_none(), reason == Some(Failing), "{figures:?}");
    }
}

#[test]
fn nothing_is_moved_by_few_messages_or_by_outcomes_that_nobody_knows() {
    let few = Figures { attempts: 19, failed: 19, messages: 19, slow: 19, ..Figures::default() };
    let doubts = Figures { in_doubt: 1_000_000, ..WELL };
    let only_doubts = Figures { in_doubt: 1_000_000, ..Figures::default() };
    for figures in [few, doubts, only_doubts, Figures::default()] {
        assert_eq!(moved(&[(50, 50, figures), (50, 50, WELL)], None), None, "{figures:?}");
    }
}

#[test]
fn the_worst_loses_and_those_that_are_well_share_it_by_their_weights() {
    let all = [(40, 40, slow(60)), (20, 20, slow(160)), (30, 30, WELL), (10, 10, WELL)];
    let (parts, _) = moved(&all, None).expect("two are bad");
    assert_eq!(parts, [40, 10, 37, 12], "7.5 and 2.5");
    let at_its_floor = [(40, 40, slow(60)), (20, 5, slow(160)), (40, 55, WELL)];
    assert_eq!(moved(&at_its_floor, None).expect("the other").0, [30, 5, 65]);
}

#[test]
fn an_account_keeps_a_little_and_no_more_than_it_rests_at() {
    assert_eq!(moved(&[(50, 10, slow(90)), (50, 90, WELL)], None).expect("5").0, [5, 95]);
    assert_eq!(moved(&[(50, 5, slow(90)), (50, 95, WELL)], None), None);
    assert_eq!(moved(&[(2, 2, slow(90)), (98, 98, WELL)], None), None);
    assert_eq!(moved(&[(2, 9, slow(90)), (98, 91, WELL)], None).expect("7").0, [2, 98]);
}

#[test]
fn moves_have_a_pause_and_what_was_moved_comes_back() {
    let bad = [(50, 40, slow(90)), (50, 60, WELL)];
    assert_eq!(moved(&bad, Some(4)), None);
    assert_eq!(moved(&bad, Some(5)), Some((vec![30, 70], Reason::Slow)));
    let well = [(50, 20, WELL), (50, 80, WELL)];
    assert_eq!(moved(&well, Some(14)), None);
    assert_eq!(moved(&well, Some(15)), Some((vec![30, 70], Reason::Rest)));
    assert_eq!(moved(&[(50, 45, WELL), (50, 55, WELL)], Some(15)).expect("5").0, [50, 50]);
    assert_eq!(moved(&[(50, 50, WELL), (50, 50, WELL)], Some(15)), None);
    let still_bad = [(50, 5, slow(90)), (50, 95, WELL)];
    assert_eq!(moved(&still_bad, Some(60)), None, "it would only be taken away again");
    let unseen = [(50, 5, Figures::default()), (50, 95, WELL)];
    assert_eq!(moved(&unseen, Some(15)).expect("nothing speaks against it").0, [15, 85]);
}

#[test]
fn weights_of_any_kind_make_a_whole() {
    assert_eq!(resting(&[1, 1]), Some(vec![5_000, 5_000]));
    assert_eq!(resting(&[1, 1, 1]), Some(vec![3_334, 3_333, 3_333]));
    assert_eq!(resting(&[0, 70, 30]), Some(vec![0, 7_000, 3_000]));
    for alone in [&[][..], &[1], &[0, 0], &[0, 5]] {
        assert_eq!(resting(alone), None, "{alone:?}");
    }
}

#[test]
fn routes_that_share_alike_are_balanced_alike_and_others_are_not_meant() {
    use hatch_domain::Decider as _;
    use hatch_domain::carrier::event::{ShiftedWeight, WeightsShifted};

    let weighted = |n: usize, weight| Weighted { account: name(n), weight };
    let shifted = |first: u16, minute| WeightsShifted {
        account: name(0),
        provider: "twilio".to_owned(),
        key: "AC0".to_owned(),
        channel: Channel::Sms,
        country: Some(44),
        weights: [(0, first), (1, 10_000 - first)]
            .map(|(n, after)| ShiftedWeight { account: name(n), rest: 50, before: 5_000, after })
            .into(),
        reason: "slow".to_owned(),
        figures: Vec::new(),
        at: at(minute),
    };
    let carrier = |first, minute| Carrier::default().evolve(&shifted(first, minute).into());
    let carriers = [carrier(4_000, 0), carrier(3_000, 9), carrier(2_000, 5)];
    let shifts = Shifts::of(&carriers);
    let weight = |channel, country, accounts: &[Weighted]| {
        shifts.among(channel, country, accounts).and_then(|shift| shift.weight(&name(0)))
    };
    let alike = [weighted(1, 50), weighted(2, 0), weighted(0, 50)];
    assert_eq!(weight(Channel::Sms, Some(44), &alike), Some(3_000), "the newest");
    assert_eq!(weight(Channel::Sms, Some(1), &alike), None);
    assert_eq!(weight(Channel::Mms, Some(44), &alike), None);
    assert_eq!(weight(Channel::Sms, Some(44), &[weighted(0, 50), weighted(1, 40)]), None);
    assert_eq!(weight(Channel::Sms, Some(44), &[weighted(0, 50)]), None);
    assert_eq!(country_of(Channel::Sms, "+447700900000"), Some(44));
    assert_eq!(country_of(Channel::Sms, "+180"), Some(1));
    assert_eq!(country_of(Channel::Email, "+44@example.com"), None);
}

#[test]
fn an_accounts_part_is_that_of_the_country_in_which_it_has_the_least() {
    use hatch_domain::Decider as _;
    use hatch_domain::carrier::event::{ShiftedWeight, WeightsShifted};
    use hatch_domain::ids::TenantId;

    use crate::RouteName;

    let route = |is_of_one: bool, channel, accounts: &[(usize, u16)]| Route {
        name: RouteName::new("texts"),
        tenants: is_of_one.then(|| vec![TenantId::DEFAULT]),
        channel,
        to: None,
        from: None,
        priority: None,
        accounts: accounts
            .iter()
            .map(|(n, weight)| Weighted { account: name(*n), weight: *weight })
            .collect(),
        backup: Vec::new(),
    };
    let table = RouteTable::new(vec![
        route(true, Some(Channel::Sms), &[(0, 1), (1, 9)]),
        route(false, Some(Channel::Mms), &[(0, 1)]),
        route(false, Some(Channel::Sms), &[(1, 25), (0, 75), (2, 0)]),
        route(false, Some(Channel::Mms), &[(0, 50), (1, 50)]),
    ]);
    let told = |country, first: u16| {
        let weights = [(0, 75, 7_500, first), (1, 25, 2_500, 10_000 - first)];
        let weights = weights.map(|(n, rest, before, after)| {
            let account = name(n);
            ShiftedWeight { account, rest, before, after }
        });
        let shifted = WeightsShifted {
            account: name(0),
            provider: "twilio".to_owned(),
            key: "AC0".to_owned(),
            channel: Channel::Sms,
            country: Some(country),
            weights: weights.into(),
            reason: "slow".to_owned(),
            figures: Vec::new(),
            at: at(0),
        };
        Carrier::default().evolve(&shifted.into())
    };
    let carriers = [told(44, 6_500), told(49, 7_500), told(1, 5_500)];
    let (at_rest, shifted) = (Shifts::default(), Shifts::of(&carriers));
    for (n, channel, expected) in [
        (0, Channel::Sms, Some([7_500, 5_500])),
        (1, Channel::Sms, Some([2_500, 3_500])),
        (2, Channel::Sms, Some([0, 0])),
        (3, Channel::Sms, None),
        (0, Channel::Email, None),
        (0, Channel::Mms, Some([5_000, 5_000])),
    ] {
        let parts = [&at_rest, &shifted].map(|shifts| part(&table, &name(n), channel, shifts));
        assert_eq!(parts, [0, 1].map(|at| expected.map(|both| both[at])), "{n} {channel:?}");
    }
}

fn any_figures() -> impl Strategy<Value = Figures> {
    let part = 0..300_u64;
    (part.clone(), part.clone(), part.clone(), part.clone(), part.clone(), part).prop_map(
        |(attempts, failed, in_doubt, messages, slow, undelivered)| Figures {
            attempts,
            failed,
            in_doubt,
            messages,
            slow,
            undelivered,
        },
    )
}

fn at_rest(weights: &[u16]) -> Vec<Share> {
    let parts = resting(weights).expect("two carry something");
    let share =
        |(n, rest)| Share { account: name(n), rest, now: rest, figures: Figures::default() };
    parts.into_iter().enumerate().map(share).collect()
}

proptest! {
    #[test]
    fn the_sum_stays_the_floor_holds_and_all_comes_back(
        weights in prop::collection::vec(1_u16..=100, 2..6),
        seen in prop::collection::vec(prop::collection::vec(any_figures(), 6), 1..30),
    ) {
        let (mut shares, rules) = (at_rest(&weights), RULES());
        let (mut moved_at, mut minute) = (None, 0);
        for figures in seen {
            minute += 1;
            for (share, figures) in shares.iter_mut().zip(figures) {
                share.figures = figures;
            }
            let Some(Move { parts, .. }) = balance(&shares, moved_at, at(minute), &rules) else {
                continue;
            };
            if let Some(moved_at) = moved_at {
                prop_assert!(at(minute) - moved_at >= rules.pause);
            }
            moved_at = Some(at(minute));
            let step: i32 = shares
                .iter()
                .zip(&parts)
                .map(|(share, part)| (i32::from(*part) - i32::from(share.now)).max(0))
                .sum();
            prop_assert!(step > 0 && step <= i32::from(rules.step), "{step}");
            for (share, part) in shares.iter_mut().zip(parts) {
                prop_assert!(part >= rules.floor.min(share.rest), "{part} of {share:?}");
                share.now = part;
            }
            prop_assert_eq!(shares.iter().map(|share| u32::from(share.now)).sum::<u32>(), 10_000);
        }
        // Then all of them are well.
        for _ in 0..20 {
            minute += 15;
            for share in &mut shares {
                share.figures = WELL;
            }
            if let Some(Move { parts, reason }) = balance(&shares, moved_at, at(minute), &rules) {
                prop_assert_eq!(reason, Reason::Rest);
                moved_at = Some(at(minute));
                shares.iter_mut().zip(parts).for_each(|(share, part)| share.now = part);
            }
        }
        prop_assert!(shares.iter().all(|share| share.now == share.rest), "{shares:?}");
    }

    #[test]
    fn doubts_alone_move_nothing(
        weights in prop::collection::vec(1_u16..=100, 2..6),
        doubts in prop::collection::vec(any::<u64>(), 6),
    ) {
        let mut shares = at_rest(&weights);
        for (share, in_doubt) in shares.iter_mut().zip(doubts) {
            share.figures = Figures { in_doubt, ..WELL };
        }
        prop_assert_eq!(balance(&shares, None, at(0), &RULES()), None);
    }
}
