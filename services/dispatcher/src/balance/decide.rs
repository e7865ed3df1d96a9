//! What follows from the figures, for every group of accounts that share messages.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use hatch_domain::Channel;
use hatch_domain::carrier::event::{CarrierFigures, ShiftedWeight};
use hatch_routing::balance::{
    BalanceRules, Figures, Reason, Share, Shifts, balance, in_order, resting,
};
use hatch_routing::{RouteTable, Weighted};

use super::tally::Place;

/// Groups that are looked at, at most: the first routes are.
const GROUPS_MAX: usize = 1_000;

/// Accounts that share messages in one way, in the order of their names. Routes that have the same ones with the same
/// weights are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) accounts: Vec<Weighted>,
    /// How these messages travel; none where they may in any way.
    pub(super) channel: Option<Channel>,
}

/// What is to be moved in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) channel: Channel,
    pub(super) country: Option<u16>,
    pub(super) reason: Reason,
    pub(super) weights: Vec<ShiftedWeight>,
    pub(super) figures: Vec<CarrierFigures>,
}

/// The groups of the routes that there are.
pub(super) fn groups(table: &RouteTable) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for route in table.routes() {
        let accounts = in_order(&route.accounts);
        let group = Group { accounts, channel: route.channel };
        if group.accounts.len() >= 2 && !groups.contains(&group) && groups.len() < GROUPS_MAX {
            groups.push(group);
        }
    }
    groups
}

/// What is to be moved, of all groups. What two of them have in common, is said once.
pub(super) fn find(
    groups: &[Group],
    figures: &HashMap<Place, Figures>,
    shifts: &Shifts,
    now: DateTime<Utc>,
    rules: &BalanceRules,
) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for group in groups {
        for (channel, country) in ways(group, figures, shifts) {
            let Some(one) = moved(group, (channel, country), figures, shifts, now, rules) else {
                continue;
            };
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    found
}

/// How the group's messages travel, and to which countries: as far as any was seen, or ever moved.
fn ways(
    group: &Group,
    figures: &HashMap<Place, Figures>,
    shifts: &Shifts,
) -> Vec<(Channel, Option<u16>)> {
    let is_ours = |place: &&Place| group.accounts.iter().any(|one| one.account == place.account);
    let seen = figures.keys().filter(is_ours).map(|place| (place.channel, place.country));
    let carried = |channel: Channel| group.channel.is_none_or(|of| of == channel);
    let all = seen.chain(shifts.ways()).filter(|(channel, _)| carried(*channel));
    let mut ways: Vec<(Channel, Option<u16>)> = all.collect();
    ways.sort_by_key(|(channel, country)| (channel.as_str(), *country));
    ways.dedup();
    ways
}

fn moved(
    group: &Group,
    (channel, country): (Channel, Option<u16>),
    figures: &HashMap<Place, Figures>,
    shifts: &Shifts,
    now: DateTime<Utc>,
    rules: &BalanceRules,
) -> Option<Found> {
    let weights: Vec<u16> = group.accounts.iter().map(|one| one.weight).collect();
    let shift = shifts.among(channel, country, &group.accounts);
    let share = |(one, rest): (&Weighted, u16)| {
        let account = one.account.clone();
        let place = Place { account: account.clone(), channel, country };
        Share {
            now: shift.and_then(|shift| shift.weight(&account)).unwrap_or(rest),
            figures: figures.get(&place).copied().unwrap_or_default(),
            account,
            rest,
        }
    };
    let shares: Vec<Share> = group.accounts.iter().zip(resting(&weights)?).map(share).collect();
    let moved = balance(&shares, shift.map(|shift| shift.at), now, rules)?;
    let weight = |((one, share), after): ((&Weighted, &Share), &u16)| ShiftedWeight {
        account: one.account.clone(),
        rest: one.weight,
        before: share.now,
        after: *after,
    };
    Some(Found {
        channel,
        country,
        reason: moved.reason,
        weights: group.accounts.iter().zip(&shares).zip(&moved.parts).map(weight).collect(),
        figures: shares.iter().map(told).collect(),
    })
}

fn told(share: &Share) -> CarrierFigures {
    let Figures { attempts, failed, in_doubt, messages, slow, undelivered } = share.figures;
    let account = share.account.clone();
    CarrierFigures { account, attempts, failed, in_doubt, messages, slow, undelivered }
}

#[cfg(test)]
mod tests {
    use hatch_domain::Decider as _;
    use hatch_domain::account_name::AccountName;
    use hatch_domain::carrier::Carrier;
    use hatch_domain::carrier::event::WeightsShifted;
    use hatch_routing::{Route, RouteName};

    use super::*;

    fn name(text: &str) -> AccountName {
        text.parse().expect("a name")
    }

    fn route(channel: Option<Channel>, accounts: &[(&str, u16)]) -> Route {
        let weighted =
            |(account, weight): &(&str, u16)| Weighted { account: name(account), weight: *weight };
        Route {
            name: RouteName::new("texts"),
            tenants: None,
            channel,
            to: None,
            from: None,
            priority: None,
            accounts: accounts.iter().map(weighted).collect(),
            backup: vec![name("backup")],
        }
    }

    fn place(account: &str, channel: Channel, country: Option<u16>) -> Place {
        Place { account: name(account), channel, country }
    }

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + 60 * minute, 0).expect("a time in range")
    }

    const WELL: Figures =
        Figures { attempts: 100, failed: 0, in_doubt: 0, messages: 100, slow: 0, undelivered: 0 };

    #[test]
    fn a_country_in_which_an_account_fails_is_moved_and_no_other() {
        let table = RouteTable::new(vec![
            route(Some(Channel::Sms), &[("b", 1), ("a", 3), ("off", 0)]),
            route(Some(Channel::Sms), &[("a", 3), ("b", 1)]),
            route(None, &[("a", 100)]),
        ]);
        let groups = groups(&table);
        assert_eq!(groups.len(), 1, "alike but for the order, and one account alone");
        let failing = Figures { failed: 50, ..WELL };
        let figures = HashMap::from([
            (place("a", Channel::Sms, Some(44)), failing),
            (place("b", Channel::Sms, Some(44)), WELL),
            (place("a", Channel::Sms, Some(1)), WELL),
            (place("b", Channel::Sms, Some(1)), WELL),
            // The route is for texts.
            (place("a", Channel::Mms, Some(44)), failing),
            (place("b", Channel::Mms, Some(44)), WELL),
        ]);
        let rules = BalanceRules::default();
        let found = find(&groups, &figures, &Shifts::default(), at(0), &rules);
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (one.channel, one.country, one.reason),
            (Channel::Sms, Some(44), Reason::Failing)
        );
        let weight = |one: &'_ ShiftedWeight| (one.rest, one.before, one.after);
        let weights: Vec<_> = one.weights.iter().map(weight).collect();
        assert_eq!(weights, [(3, 7_500, 6_500), (1, 2_500, 3_500)]);
        assert_eq!(one.figures[0].failed, 50);
    }

    #[test]
    fn what_was_moved_comes_back_also_where_nothing_was_seen_since() {
        let table = RouteTable::new(vec![route(None, &[("a", 50), ("b", 50)])]);
        let weight = |account: &str, after| ShiftedWeight {
            account: name(account),
            rest: 50,
            before: 5_000,
            after,
        };
        let shifted = WeightsShifted {
            account: name("a"),
            provider: "p".to_owned(),
            key: "k".to_owned(),
            channel: Channel::Email,
            country: None,
            weights: vec![weight("a", 3_000), weight("b", 7_000)],
            reason: "slow".to_owned(),
            figures: Vec::new(),
            at: at(0),
        };
        let carrier = Carrier::default().evolve(&shifted.into());
        let shifts = Shifts::of([&carrier]);
        let rules = BalanceRules::default();
        let find = |minute| find(&groups(&table), &HashMap::new(), &shifts, at(minute), &rules);
        assert_eq!(find(14), []);
        let found = find(15);
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(one.reason, Reason::Rest);
        let parts: Vec<_> = one.weights.iter().map(|one| (one.before, one.after)).collect();
        assert_eq!(parts, [(3_000, 4_000), (7_000, 6_000)]);
    }
}
