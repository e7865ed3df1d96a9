//! What a plan promises, for any routes and any state of accounts.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::{Channel, Priority};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn name(text: &str) -> AccountName {
    text.parse().expect(text)
}

fn address(text: &str) -> Address {
    Address::read(text).expect(text)
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
}

fn route(accounts: &[(&str, u16)], backup: &[&str]) -> Route {
    let weighted =
        |(account, weight): &(&str, u16)| Weighted { account: name(account), weight: *weight };
    Route {
        name: RouteName::new("main"),
        tenants: None,
        channel: Some(Channel::Sms),
        to: None,
        from: None,
        priority: None,
        accounts: accounts.iter().map(weighted).collect(),
        backup: backup.iter().map(|text| name(text)).collect(),
    }
}

/// A message, and the accounts that there are for it.
#[derive(Debug)]
struct Case {
    table: RouteTable,
    accounts: Vec<(AccountName, Availability, Option<u16>)>,
    tried: Vec<AccountName>,
    account: Option<AccountName>,
}

impl Case {
    fn new(routes: Vec<Route>, accounts: &[(&str, Availability)]) -> Self {
        let accounts = accounts.iter().map(|(text, state)| (name(text), state.clone(), None));
        let table = RouteTable::new(routes);
        Self { table, accounts: accounts.collect(), tried: Vec::new(), account: None }
    }

    fn tried(mut self, names: &[&str]) -> Self {
        self.tried = names.iter().map(|text| name(text)).collect();
        self
    }

    fn states(&self) -> Vec<AccountState<'_>> {
        let accounts = self.accounts.iter();
        let states = accounts.map(|(name, availability, weight)| AccountState {
            name,
            availability: availability.clone(),
            weight: *weight,
        });
        states.collect()
    }

    fn plan(&self, seed: u64) -> Plan {
        let (from, to) = (address("+12016661234"), address("+447700900123"));
        let asked = Asked {
            tenant: TenantId::DEFAULT,
            channel: Channel::Sms,
            from: &from,
            to: &to,
            priority: Priority::Normal,
            account: self.account.as_ref(),
            seed,
        };
        plan(&self.table, &asked, &self.tried, &self.states())
    }

    fn taken(&self, seed: u64) -> Option<AccountName> {
        match self.plan(seed).decision {
            Decision::Take(choice) => Some(choice.name),
            Decision::Wait { .. } | Decision::Nobody { .. } => None,
        }
    }

    /// How many of `messages` go by each account.
    fn shares(&self, messages: u64) -> BTreeMap<String, u64> {
        let mut shares = BTreeMap::new();
        for place in 0..messages {
            let message = MessageId(Uuid::from_u128(u128::from(place) << 64 | 7));
            let name = self.taken(seed(message, 1)).expect("an account");
            *shares.entry(name.to_string()).or_default() += 1;
        }
        shares
    }
}

fn open(second: i64) -> Availability {
    Availability::Open { why: "open since a while".to_owned(), until: Some(at(second)) }
}

fn busy(why: Busy, until: Option<i64>) -> Availability {
    Availability::Busy { why, until: until.map(at) }
}

const READY: Availability = Availability::Ready;

#[test]
fn weights_are_shares_of_the_messages() {
    const MESSAGES: u64 = 20_000;
    let case = Case::new(
        vec![route(&[("one", 80), ("two", 15), ("three", 5), ("none", 0)], &["backup"])],
        &[("one", READY), ("two", READY), ("three", READY), ("none", READY), ("backup", READY)],
    );
    let shares = case.shares(MESSAGES);
    assert_eq!(shares.len(), 3, "{shares:?}");
    for (account, percent) in [("one", 80.0), ("two", 15.0), ("three", 5.0)] {
        let share = shares[account] as f64 * 100.0 / MESSAGES as f64;
        assert!((share - percent).abs() < 1.0, "{account} has {share} %");
    }
    let percent: Vec<_> = case.plan(1).steps.iter().filter_map(|step| step.share_percent).collect();
    assert_eq!(percent.iter().map(|one| u32::from(*one)).sum::<u32>(), 100);
}

#[test]
fn a_weight_that_shifts_moves_messages_to_or_from_that_account_only() {
    let case = |weight| {
        Case::new(
            vec![route(&[("one", weight), ("two", 30), ("three", 20)], &[])],
            &[("one", READY), ("two", READY), ("three", READY)],
        )
    };
    let (before, after) = (case(50), case(30));
    for seed in 0..2_000 {
        let (was, is) = (before.taken(seed), after.taken(seed));
        assert!(was == is || was == Some(name("one")), "{was:?} became {is:?}");
    }
}

#[test]
fn the_balance_stands_in_place_of_the_route_except_where_that_says_nothing() {
    let mut case = Case::new(
        vec![route(&[("one", 50), ("two", 50), ("none", 0)], &[])],
        &[("one", READY), ("two", READY), ("none", READY)],
    );
    case.accounts[0].2 = Some(5);
    case.accounts[1].2 = Some(95);
    case.accounts[2].2 = Some(50);
    let shares = case.shares(5_000);
    assert!((200..300).contains(&shares["one"]), "{shares:?}");
    assert!(!shares.contains_key("none"), "{shares:?}");
}

#[test]
fn the_first_route_that_fits_decides_alone() {
    let mut first = route(&[("one", 100)], &[]);
    first.to = Some("+44".parse().expect("a prefix"));
    let mut elsewhere = route(&[("two", 100)], &[]);
    elsewhere.to = Some("+1".parse().expect("a prefix"));
    let all = route(&[("three", 100)], &[]);
    let three = [("one", READY), ("two", READY), ("three", READY)];
    let case = Case::new(vec![elsewhere.clone(), first.clone(), all.clone()], &three);
    assert_eq!(case.taken(1), Some(name("one")));
    // Also where its account carries nothing of the kind.
    let without = Case::new(vec![elsewhere, first, all], &[("two", READY), ("three", READY)]);
    assert!(matches!(without.plan(1).decision, Decision::Nobody { .. }));
}

#[test]
fn routes_of_a_tenant_stand_where_they_stand_among_those_of_all() {
    let other = TenantId(Uuid::from_u128(9));
    let (from, to) = (address("+12016661234"), address("+447700900123"));
    let called = |name: &str, tenants: Option<Vec<TenantId>>| Route {
        name: RouteName::new(name),
        tenants,
        ..route(&[("one", 1)], &[])
    };
    let table = RouteTable::new(vec![
        called("others", Some(vec![other])),
        called("own", Some(vec![TenantId::DEFAULT, other])),
        called("all", None),
        called("late", Some(vec![TenantId(Uuid::from_u128(8))])),
    ]);
    for (tenant, name) in
        [(TenantId::DEFAULT, "own"), (other, "others"), (TenantId(Uuid::from_u128(8)), "all")]
    {
        let asked = Asked {
            tenant,
            channel: Channel::Sms,
            from: &from,
            to: &to,
            priority: Priority::Normal,
            account: None,
            seed: 0,
        };
        let first = table.first_that_fits(&asked).expect("a route");
        assert_eq!(first.name.as_str(), name, "{tenant}");
    }
}

#[test]
fn every_condition_of_a_route_counts() {
    let (from, to) = (address("+12016661234"), address("+447700900123"));
    let asked = Asked {
        tenant: TenantId::DEFAULT,
        channel: Channel::Sms,
        from: &from,
        to: &to,
        priority: Priority::Normal,
        account: None,
        seed: 0,
    };
    let plain = || Route { channel: None, ..route(&[("one", 1)], &[]) };
    let other = TenantId(Uuid::from_u128(9));
    assert!(plain().fits(&asked));
    for (fits, change) in [
        (true, Route { tenants: Some(vec![other, TenantId::DEFAULT]), ..plain() }),
        (false, Route { tenants: Some(vec![other]), ..plain() }),
        (true, Route { channel: Some(Channel::Sms), ..plain() }),
        (false, Route { channel: Some(Channel::Mms), ..plain() }),
        (true, Route { to: Some(Reach::Prefix("+44".to_owned())), ..plain() }),
        (false, Route { to: Some(Reach::Prefix("+1".to_owned())), ..plain() }),
        (true, Route { from: Some(from.clone()), ..plain() }),
        (false, Route { from: Some(to.clone()), ..plain() }),
        (true, Route { priority: Some(Priority::Normal), ..plain() }),
        (false, Route { priority: Some(Priority::High), ..plain() }),
    ] {
        assert_eq!(change.fits(&asked), fits, "{change:?}");
    }
}

#[test]
fn without_a_route_the_first_by_name_carries_all_and_the_others_stand_by() {
    let case = Case::new(vec![], &[("b", READY), ("a", READY), ("c", READY)]);
    assert!((0..100).all(|seed| case.taken(seed) == Some(name("a"))));
    let tiers: Vec<_> = case.plan(0).steps.iter().map(|step| step.tier).collect();
    assert_eq!(tiers, [Tier::Primary, Tier::Backup, Tier::Backup]);
    assert_eq!(Case::new(vec![], &[("b", READY), ("a", open(9))]).taken(0), Some(name("b")));
    assert!(matches!(Case::new(vec![], &[]).plan(0).decision, Decision::Nobody { .. }));
}

/// What is expected of a plan: an account, or what it waits for and until when.
type Expected = Result<&'static str, (&'static str, Option<i64>)>;

#[test]
fn a_backup_comes_only_as_the_route_says() {
    use Busy::{DailyCap, Rate};
    let routes = || vec![route(&[("one", 1), ("two", 1)], &["three", "four"])];
    type Row<'a> = (&'a str, [Availability; 4], &'a [&'a str], Expected);
    let table: [Row<'_>; 11] = [
        (
            "a busy primary spills to the other",
            [busy(Rate, Some(9)), READY, READY, READY],
            &[],
            Ok("two"),
        ),
        (
            "and never to a backup",
            [busy(Rate, Some(9)), busy(DailyCap, Some(5)), READY, READY],
            &[],
            Err(("daily_cap", Some(5))),
        ),
        (
            "also where the other is open",
            [busy(Rate, Some(9)), open(1), READY, READY],
            &[],
            Err(("rate", Some(9))),
        ),
        ("open primaries have backups", [open(9), open(9), READY, READY], &[], Ok("three")),
        ("tried ones, too", [READY, READY, READY, READY], &["one", "two"], Ok("three")),
        ("not before each was tried", [READY, READY, READY, READY], &["one"], Ok("two")),
        ("one after the other", [READY, READY, READY, READY], &["one", "two", "three"], Ok("four")),
        (
            "a busy backup is waited for",
            [open(9), open(9), busy(Rate, None), READY],
            &[],
            Err(("rate", None)),
        ),
        ("an open one is not", [open(9), open(9), open(3), READY], &[], Ok("four")),
        ("all open", [open(9), open(8), open(3), open(7)], &[], Err(("breaker", Some(3)))),
        (
            "the one that was tried least comes again",
            [READY, open(9), open(9), READY],
            &["one", "four", "one"],
            Ok("four"),
        ),
    ];
    for (said, states, tried, expected) in table {
        let names = ["one", "two", "three", "four"];
        let accounts: Vec<_> = names.into_iter().zip(states).collect();
        let case = Case::new(routes(), &accounts).tried(tried);
        for seed in 0..50 {
            let decision = case.plan(seed).decision;
            let got = match &decision {
                Decision::Take(choice) => Ok(choice.name.as_str()),
                Decision::Wait { reason, until, .. } => Err((reason.as_str(), *until)),
                Decision::Nobody { why } => panic!("{said}: {why}"),
            };
            let expected = expected.map_err(|(reason, until)| (reason, until.map(at)));
            assert_eq!(got, expected, "{said}: {decision:?}");
        }
    }
}

#[test]
fn the_account_that_the_request_names_is_the_only_one() {
    let mut case = Case::new(
        vec![route(&[("one", 1)], &["two"])],
        &[("one", READY), ("two", READY), ("three", open(4))],
    );
    case.account = Some(name("two"));
    assert_eq!(case.taken(1), Some(name("two")));
    assert_eq!(case.plan(1).route, None);
    case.account = Some(name("three"));
    assert!(matches!(case.plan(1).decision, Decision::Wait { until: Some(_), .. }));
    case.account = Some(name("nobodys"));
    assert!(matches!(case.plan(1).decision, Decision::Nobody { .. }));
}

#[test]
fn a_message_that_is_not_there_yet_goes_most_probably_by_the_greatest_share() {
    let case =
        Case::new(vec![route(&[("one", 20), ("two", 80)], &[])], &[("one", READY), ("two", READY)]);
    let (from, to) = (address("+12016661234"), address("+447700900123"));
    for seed in 0..50 {
        let asked = Asked {
            tenant: TenantId::DEFAULT,
            channel: Channel::Sms,
            from: &from,
            to: &to,
            priority: Priority::Normal,
            account: None,
            seed,
        };
        let plan = likeliest(&case.table, &asked, &[], &case.states());
        let Decision::Take(choice) = plan.decision else { panic!("{plan:?}") };
        assert_eq!(choice.name, name("two"));
        assert_eq!(choice.reason, "its share of the route is 80 %");
    }
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn any_availability() -> impl Strategy<Value = Availability> {
    let until = proptest::option::of(0_i64..100);
    let why = prop_oneof![
        Just(Busy::Concurrency),
        Just(Busy::Rate),
        Just(Busy::SenderRate),
        Just(Busy::DailyCap),
        Just(Busy::Fairness),
    ];
    prop_oneof![
        3 => Just(READY),
        2 => (why, until.clone()).prop_map(|(why, until)| busy(why, until)),
        2 => until.prop_map(|until| Availability::Open {
            why: "open".to_owned(),
            until: until.map(at),
        }),
    ]
}

fn any_case() -> impl Strategy<Value = Case> {
    let place = 0..NAMES.len();
    let primaries = proptest::collection::vec((place.clone(), 0_u16..=100), 0..5);
    let backups = proptest::collection::vec(place.clone(), 0..4);
    let routes = proptest::option::of((primaries, backups).prop_map(|(primaries, backups)| {
        let primaries: Vec<_> =
            primaries.into_iter().map(|(at, weight)| (NAMES[at], weight)).collect();
        let backups: Vec<_> = backups.into_iter().map(|at| NAMES[at]).collect();
        route(&primaries, &backups)
    }));
    let known = proptest::collection::btree_map(
        place.clone(),
        (any_availability(), proptest::option::of(0_u16..=100)),
        0..6,
    );
    let tried = proptest::collection::vec(place.clone(), 0..6);
    let account = proptest::option::weighted(0.2, place);
    (routes, known, tried, account).prop_map(|(routes, known, tried, account)| Case {
        table: RouteTable::new(routes.into_iter().collect()),
        accounts: known
            .into_iter()
            .map(|(at, (availability, weight))| (name(NAMES[at]), availability, weight))
            .collect(),
        tried: tried.into_iter().map(|at| name(NAMES[at])).collect(),
        account: account.map(|at| name(NAMES[at])),
    })
}

proptest! {
    #[test]
    fn a_plan_keeps_what_it_promises(case in any_case(), seed in any::<u64>()) {
        let plan = case.plan(seed);
        prop_assert_eq!(&plan, &case.plan(seed), "it is the same each time");
        let state = |name: &AccountName| {
            case.accounts.iter().find(|one| one.0 == *name).map(|one| &one.1)
        };
        let times = |name: &AccountName| case.tried.iter().filter(|one| *one == name).count();
        for pair in plan.steps.windows(2) {
            prop_assert!(times(&pair[0].account) <= times(&pair[1].account), "{:?}", plan);
        }
        let chosen = plan.steps.iter().filter(|step| step.verdict == Verdict::Chosen).count();
        prop_assert_eq!(chosen, usize::from(matches!(plan.decision, Decision::Take(_))));
        let takes_part = |step: &&Step| {
            let has_share = step.tier == Tier::Backup || step.share_percent.is_some();
            state(&step.account).is_some() && has_share
        };
        let mut carry = plan.steps.iter().filter(takes_part);
        match &plan.decision {
            Decision::Take(choice) => {
                prop_assert!(state(&choice.name) == Some(&READY), "nothing goes to another: {:?}", plan);
                let is_backup = |step: &Step| step.account == choice.name && step.tier == Tier::Backup;
                if plan.steps.iter().any(is_backup) {
                    let ahead = plan.steps.iter().filter(takes_part).filter(|step| {
                        step.tier == Tier::Primary && times(&step.account) <= times(&choice.name)
                    });
                    for step in ahead {
                        let is_open = matches!(state(&step.account), Some(Availability::Open { .. }));
                        prop_assert!(is_open, "{:?} had room, or will", step);
                    }
                }
            }
            Decision::Wait { account, .. } => {
                let account = account.as_ref().expect("an account");
                prop_assert!(state(account).is_some_and(|state| *state != READY));
            }
            Decision::Nobody { .. } => prop_assert!(carry.next().is_none(), "{:?}", plan),
        }
    }
}
