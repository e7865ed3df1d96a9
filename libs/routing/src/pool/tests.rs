//! Given a pool, a recipient and what is known, which sender.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;

const NEW_YORK: &str = "+12125551234";
const JERSEY: &str = "+12016661234";
const TORONTO: &str = "+14165551234";
const LONDON: &str = "+447700900000";

fn address(text: &str) -> Address {
    Address::recorded(text)
}

fn sender(text: &str, weight: u16) -> PoolSender {
    PoolSender { address: address(text), weight, area: None }
}

fn pool_of(senders: Vec<PoolSender>) -> Pool {
    Pool {
        name: "support".parse().expect("a name"),
        tenants: None,
        terms: PoolTerms { senders, ..PoolTerms::default() },
    }
}

fn pool(senders: &[&str]) -> Pool {
    pool_of(senders.iter().map(|text| sender(text, 100)).collect())
}

/// The sender and why, where these are not ready.
fn choose_with(
    pool: &Pool,
    to: &str,
    sticky: Option<&str>,
    bad: &[(&str, SenderHealth)],
) -> (String, String) {
    let health = |one: &Address| {
        let known = bad.iter().find(|(text, _)| *text == one.as_str());
        known.map_or(SenderHealth::Ready, |(_, health)| *health)
    };
    let sticky = sticky.map(address);
    let chosen = choose_sender(pool, &address(to), sticky.as_ref(), health, |_| 0, 7);
    let chosen = chosen.expect("the pool has senders");
    (chosen.address.to_string(), chosen.reason)
}

fn choose(pool: &Pool, to: &str, sticky: Option<&str>) -> (String, String) {
    choose_with(pool, to, sticky, &[])
}

fn expected(address: &str, reason: &str) -> (String, String) {
    (address.to_owned(), reason.to_owned())
}

#[test]
fn who_was_written_to_from_a_number_is_written_to_from_it_again() {
    let pool = pool(&[NEW_YORK, JERSEY, LONDON]);
    assert_eq!(choose(&pool, "+12125550000", Some(LONDON)), expected(LONDON, "sticky"));
    let busy = [(LONDON, SenderHealth::Busy)];
    let again = choose_with(&pool, "+12125550000", Some(LONDON), &busy);
    assert_eq!(again, expected(LONDON, "sticky"), "it waits a little rather than change");
    let draining = pool_of(vec![sender(NEW_YORK, 0), sender(JERSEY, 100)]);
    assert_eq!(choose(&draining, "+18045551234", Some(NEW_YORK)), expected(NEW_YORK, "sticky"));
    assert_eq!(choose(&draining, "+12125550000", None), expected(JERSEY, "only_one"));
}

#[test]
fn a_sender_that_has_left_the_pool_or_is_down_is_replaced_and_that_is_said() {
    let pool = pool(&[NEW_YORK, LONDON]);
    let rehomed = choose(&pool, "+447700900001", Some(TORONTO));
    assert_eq!(rehomed, expected(LONDON, "rehomed from +14165551234; country"));
    let down = [(NEW_YORK, SenderHealth::Down)];
    let moved = choose_with(&pool, "+18045551234", Some(NEW_YORK), &down);
    assert_eq!(moved, expected(LONDON, "moved from +12125551234, which is down; only_one"));
}

#[test]
fn the_country_comes_before_the_area_and_both_before_the_weight() {
    let pool = pool_of(vec![
        sender(LONDON, 100),
        sender(TORONTO, 100),
        sender(JERSEY, 1),
        sender(NEW_YORK, 2),
        sender("73822", 100),
    ]);
    assert_eq!(choose(&pool, "+442079460000", None), expected(LONDON, "country"));
    assert_eq!(choose(&pool, "+14165550000", None), expected(TORONTO, "country"));
    assert_eq!(choose(&pool, "+12015550000", None), expected(JERSEY, "area"));
    assert_eq!(choose(&pool, "+18045551234", None), expected(NEW_YORK, "weight"));
    let (_, why) = choose(&pool, "+4915112345678", None);
    assert_eq!(why, "weight", "none is of the country");
    let mut for_804 = pool.clone();
    for_804.terms.senders[2].area = Some("804".to_owned());
    assert_eq!(choose(&for_804, "+18045551234", None), expected(JERSEY, "area"));
}

#[test]
fn who_is_of_another_country_is_written_to_from_a_kind_that_may_be_known_there() {
    for (senders, to, chosen, why) in [
        (vec!["73822", NEW_YORK], LONDON, NEW_YORK, "kind"),
        (vec!["My Shop", LONDON], NEW_YORK, LONDON, "kind"),
        (vec!["My Shop", "73822"], LONDON, "My Shop", "kind"),
        (vec!["73822"], LONDON, "73822", "only_one"),
    ] {
        let pool = pool(&senders);
        assert_eq!(choose(&pool, to, None), expected(chosen, why), "{senders:?}");
    }
    let mut of_area = pool(&["73822", LONDON]);
    of_area.terms.senders[0].area = Some("212".to_owned());
    assert_eq!(choose(&of_area, NEW_YORK, None), expected("73822", "area"));
    let (from, why) = choose(&pool(&["My Shop", "73822"]), NEW_YORK, None);
    assert_eq!(why, "least_used", "neither is better: {from}");
}

#[test]
fn what_is_down_is_skipped_and_what_is_busy_where_another_is_not() {
    let pool = pool(&[NEW_YORK, LONDON]);
    let to = "+12125550000";
    for (bad, chosen, why) in [
        (vec![(NEW_YORK, SenderHealth::Down)], LONDON, "only_one"),
        (vec![(NEW_YORK, SenderHealth::Busy)], LONDON, "only_one"),
        (vec![(NEW_YORK, SenderHealth::Busy), (LONDON, SenderHealth::Down)], NEW_YORK, "only_one"),
        (vec![(NEW_YORK, SenderHealth::Busy), (LONDON, SenderHealth::Busy)], NEW_YORK, "country"),
        (vec![(NEW_YORK, SenderHealth::Down), (LONDON, SenderHealth::Down)], NEW_YORK, "country"),
    ] {
        assert_eq!(choose_with(&pool, to, None, &bad), expected(chosen, why), "{bad:?}");
    }
    let empty = pool_of(Vec::new());
    let nobody = choose_sender(&empty, &address(to), None, |_| SenderHealth::Ready, |_| 0, 0);
    assert_eq!(nobody, None);
}

#[test]
fn a_message_never_goes_from_a_sender_that_is_not_for_it() {
    let pool = pool(&[NEW_YORK, JERSEY, LONDON]);
    let to = "+442079460000";
    let barred = [(LONDON, SenderHealth::Barred), (NEW_YORK, SenderHealth::Barred)];
    for health in [SenderHealth::Ready, SenderHealth::Busy, SenderHealth::Down] {
        let bad: Vec<_> = barred.into_iter().chain([(JERSEY, health)]).collect();
        assert_eq!(choose_with(&pool, to, None, &bad), expected(JERSEY, "only_one"), "{health:?}");
        let moved = choose_with(&pool, to, Some(LONDON), &bad);
        assert_eq!(moved, expected(JERSEY, "only_one"), "{health:?}");
    }
    let none = choose_sender(&pool, &address(to), None, |_| SenderHealth::Barred, |_| 0, 7);
    assert_eq!(none, None);
}

#[test]
fn shares_are_as_the_weights_and_alike_where_these_are() {
    let shares = |weights: [u16; 3]| {
        let numbers = [NEW_YORK, JERSEY, "+18045559999"];
        let senders = numbers.iter().zip(weights).map(|(text, weight)| sender(text, weight));
        let pool = pool_of(senders.collect());
        let used: RefCell<BTreeMap<String, u64>> = RefCell::default();
        let usage = |one: &Address| used.borrow().get(one.as_str()).copied().unwrap_or(0);
        for seed in 0..1_000 {
            let to = address("+13035551234");
            let chosen = choose_sender(&pool, &to, None, |_| SenderHealth::Ready, usage, seed);
            let chosen = chosen.expect("the pool has senders").address.to_string();
            *used.borrow_mut().entry(chosen).or_default() += 1;
        }
        numbers.map(|text| used.borrow().get(text).copied().unwrap_or(0))
    };
    for (weights, expected) in [
        ([70, 20, 10], [700, 200, 100]),
        ([1, 1, 1], [333, 333, 333]),
        ([100, 0, 100], [500, 0, 500]),
    ] {
        let shares = shares(weights);
        let is_near = |(have, want): (u64, u64)| have.abs_diff(want) <= 1;
        assert!(shares.into_iter().zip(expected).all(is_near), "{weights:?}: {shares:?}");
    }
}

#[test]
fn several_processes_do_not_all_begin_with_the_same_one() {
    let pool = pool(&[NEW_YORK, JERSEY]);
    let first = |seed| {
        let to = address("+13035551234");
        let chosen = choose_sender(&pool, &to, None, |_| SenderHealth::Ready, |_| 0, seed);
        chosen.expect("the pool has senders").address.to_string()
    };
    let of_new_york = (0..1_000).filter(|seed| first(*seed) == NEW_YORK).count();
    assert!((400..600).contains(&of_new_york), "{of_new_york}");
}

#[test]
fn a_pool_is_meant_by_its_name_or_for_being_the_only_one_or_the_default() {
    let tenant = |n: u128| TenantId(uuid::Uuid::from_u128(n));
    let named = |name: &str, of: u128, channel, is_default| {
        let mut pool = pool(&[NEW_YORK]);
        (pool.name, pool.tenants) = (name.parse().expect("a name"), Some(vec![tenant(of)]));
        (pool.terms.channel, pool.terms.is_default) = (channel, is_default);
        pool
    };
    let for_all = Pool { tenants: None, ..named("all", 0, Some(Channel::Mms), false) };
    let table = PoolTable::new(vec![
        named("one", 1, Some(Channel::Sms), false),
        named("a", 2, None, false),
        named("b", 2, None, true),
        named("c", 3, Some(Channel::Sms), false),
        named("d", 3, Some(Channel::Sms), false),
        for_all,
    ]);
    let usual = |n, channel| table.usual(tenant(n), channel).map(|pool| pool.name.to_string());
    assert_eq!(usual(1, Channel::Sms).as_deref(), Some("one"));
    assert_eq!(usual(1, Channel::Mms).as_deref(), Some("all"));
    assert_eq!(usual(2, Channel::Mms).as_deref(), Some("b"), "the default one of three");
    assert_eq!(usual(3, Channel::Sms), None, "of two neither is meant");
    assert_eq!(usual(1, Channel::Email), None);
    assert!(table.named(tenant(2), "a").is_some() && table.named(tenant(1), "a").is_none());
}

#[test]
fn a_pool_of_the_files_whose_name_a_tenant_has_taken_is_not_meant_there() {
    let tenant = |n: u128| TenantId(uuid::Uuid::from_u128(n));
    let own = Pool { tenants: Some(vec![tenant(1)]), ..pool(&[LONDON]) };
    let mut of_files = pool(&[NEW_YORK]);
    of_files.terms.is_default = true;
    let table = PoolTable::new(vec![own, of_files]);
    let sender = |n| {
        let usual = table.usual(tenant(n), Channel::Sms).expect("the only one");
        usual.terms.senders[0].address.to_string()
    };
    assert_eq!((sender(1), sender(2)), (LONDON.to_owned(), NEW_YORK.to_owned()));
}
