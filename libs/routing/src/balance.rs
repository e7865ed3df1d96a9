//! Which part of a route's messages each of its accounts carries, by how they do: away from one that is slow to deliver
//! or fails, and back when it is well.
//!
//! The parts are of 10,000, so that those of any weights have a sum that stays. An account is *bad* where too many of
//! its messages are delivered late, or too many of its attempts fail by the account or the way to it. Something is
//! moved only where one is bad and another is not: where all are, the recipients' side is. One that is slow is better than
//! one that fails. Outcomes that nobody knows
//! are no reason. An account keeps a little, so that its recovery is seen.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::Channel;
use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_domain::carrier::{Carrier, Shift};

use crate::{Asked, Route, RouteTable, Weighted};

/// All parts together.
pub const WHOLE: u16 = 10_000;

/// Of what is seen, how much is bad, and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceRules {
    /// Of an account's messages, or attempts, so many in a hundred make it bad.
    pub bad_percent: u64,
    /// Messages, or attempts, before anything follows from their ratio.
    pub least: u64,
    /// What is moved at a time, of 10,000.
    pub step: u16,
    /// What an account keeps, of 10,000; it may rest at less.
    pub floor: u16,
    /// Between two moves.
    pub pause: TimeDelta,
    /// After the last move, until what was moved comes back.
    pub rest_after: TimeDelta,
}

impl Default for BalanceRules {
    fn default() -> Self {
        Self {
            bad_percent: 15,
            least: 20,
            step: 1_000,
            floor: 500,
            pause: TimeDelta::minutes(5),
            rest_after: TimeDelta::minutes(15),
        }
    }
}

/// What was seen of an account in the last while.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Attempts whose outcome is known.
    pub attempts: u64,
    /// Those that failed by the account, or because its provider was not reached.
    pub failed: u64,
    /// Attempts whose outcome is not known.
    pub in_doubt: u64,
    /// Messages that it sent long enough ago to be delivered.
    pub messages: u64,
    /// Those that were not delivered in time.
    pub slow: u64,
    /// Those that it gave up, by the account or because nobody was reached.
    pub undelivered: u64,
}

impl Figures {
    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            attempts: self.attempts.saturating_add(other.attempts),
            failed: self.failed.saturating_add(other.failed),
            in_doubt: self.in_doubt.saturating_add(other.in_doubt),
            messages: self.messages.saturating_add(other.messages),
            slow: self.slow.saturating_add(other.slow),
            undelivered: self.undelivered.saturating_add(other.undelivered),
        }
    }

    /// What is bad about it, if anything is.
    fn fault(&self, rules: &BalanceRules) -> Option<Reason> {
        let is_bad = |part: u64, of: u64| {
            of >= rules.least.max(1)
                && part.saturating_mul(100) >= of.saturating_mul(rules.bad_percent)
        };
        if is_bad(self.failed, self.attempts) || is_bad(self.undelivered, self.messages) {
            Some(Reason::Failing)
        } else if is_bad(self.slow, self.messages) {
            Some(Reason::Slow)
        } else {
            None
        }
    }

    /// How bad it is, to be compared: the greatest of its parts in a million.
    fn badness(&self) -> u64 {
        let part = |part: u64, of: u64| part.saturating_mul(1_000_000).checked_div(of).unwrap_or(0);
        part(self.failed, self.attempts)
            .max(part(self.undelivered, self.messages))
            .max(part(self.slow, self.messages))
    }
}

/// An account of those that share messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// hatch's own name of it.
    pub account: AccountName,
    /// Its part where all are well.
    pub rest: u16,
    /// Its part now.
    pub now: u16,
    /// What was seen of it.
    pub figures: Figures,
}

/// Why something is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// An account is slow to deliver.
    Slow,
    /// An account fails.
    Failing,
    /// All are well.
    Rest,
}

impl Reason {
    /// The reason as the event has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Failing => "failing",
            Self::Rest => "rest",
        }
    }
}

/// Each account's part from now on, in the order of the shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The parts.
    pub parts: Vec<u16>,
    /// Why.
    pub reason: Reason,
}

/// The parts that accounts of these weights have at rest: their sum is [`WHOLE`]. None where fewer than two carry
/// anything.
#[must_use]
pub fn resting(weights: &[u16]) -> Option<Vec<u16>> {
    let carry = weights.iter().filter(|weight| **weight > 0).count();
    let weights: Vec<u64> = weights.iter().map(|weight| u64::from(*weight)).collect();
    (carry >= 2).then(|| split(WHOLE, &weights))
}

/// What is to be moved now, if anything is. `moved_at` is the time of the last move.
#[must_use]
pub fn balance(
    shares: &[Share],
    moved_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    rules: &BalanceRules,
) -> Option<Move> {
    let is_since = |wait: TimeDelta| moved_at.is_none_or(|moved| now - moved >= wait);
    if !is_since(rules.pause) {
        return None;
    }
    let faults: Vec<Option<Reason>> =
        shares.iter().map(|share| share.figures.fault(rules)).collect();
    let away = away(shares, &faults, rules);
    let back = || back(shares, &faults, rules).filter(|_| is_since(rules.rest_after));
    away.or_else(back)
}

/// Moves something from the worst account to those that are well.
fn away(shares: &[Share], faults: &[Option<Reason>], rules: &BalanceRules) -> Option<Move> {
    let to_those = |is_target: fn(Option<Reason>) -> bool| -> Vec<u64> {
        let weight = |(share, fault): (&Share, &Option<Reason>)| {
            if is_target(*fault) { u64::from(share.rest) } else { 0 }
        };
        shares.iter().zip(faults).map(weight).collect()
    };
    let is_nobody = |to: &[u64]| to.iter().all(|weight| *weight == 0);
    let mut to = to_those(|fault| fault.is_none());
    let is_failing = faults.contains(&Some(Reason::Failing));
    if is_nobody(&to) && is_failing {
        // One that is slow is better than one that fails.
        to = to_those(|fault| fault != Some(Reason::Failing));
    }
    if is_nobody(&to) {
        return None;
    }
    let spare = |share: &Share| share.now.saturating_sub(rules.floor.min(share.rest));
    let bad = shares.iter().enumerate().filter_map(|(place, share)| {
        let reason = faults[place].filter(|_| to[place] == 0)?;
        (spare(share) > 0).then_some((place, share, reason))
    });
    let (place, worst, reason) = bad.max_by_key(|(_, share, _)| share.figures.badness())?;
    let moved = spare(worst).min(rules.step);
    let mut parts: Vec<u16> =
        shares.iter().zip(split(moved, &to)).map(|(share, more)| share.now + more).collect();
    parts[place] -= moved;
    Some(Move { parts, reason })
}

/// Moves something back to those that carry less than at rest and are well.
fn back(shares: &[Share], faults: &[Option<Reason>], rules: &BalanceRules) -> Option<Move> {
    let lacks: Vec<u64> = shares
        .iter()
        .zip(faults)
        .map(|(share, fault)| match fault {
            None => u64::from(share.rest.saturating_sub(share.now)),
            Some(_) => 0,
        })
        .collect();
    let surplus: Vec<u64> =
        shares.iter().map(|share| u64::from(share.now.saturating_sub(share.rest))).collect();
    let lacking = lacks.iter().sum::<u64>().min(surplus.iter().sum());
    let moved = u16::try_from(lacking).unwrap_or(u16::MAX).min(rules.step);
    if moved == 0 {
        return None;
    }
    let more = split(moved, &lacks);
    let less = split(moved, &surplus);
    let parts = shares.iter().zip(more).zip(less);
    let parts = parts.map(|((share, more), less)| share.now + more - less).collect();
    Some(Move { parts, reason: Reason::Rest })
}

/// Splits `all` by `weights`, to the last one: what is left over by rounding goes to the greatest remainders. Where
/// `all` is not more than the sum of the weights, nobody gets more than its weight.
fn split(all: u16, weights: &[u64]) -> Vec<u16> {
    let sum: u64 = weights.iter().sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let shared = |weight: u64| u64::from(all) * weight;
    let mut parts: Vec<u16> = weights
        .iter()
        .map(|weight| u16::try_from(shared(*weight) / sum).unwrap_or(u16::MAX))
        .collect();
    let given: u16 = parts.iter().sum();
    let mut places: Vec<usize> = (0..weights.len()).filter(|at| weights[*at] > 0).collect();
    places.sort_by_key(|at| std::cmp::Reverse(shared(weights[*at]) % sum));
    for place in places.into_iter().cycle().take(usize::from(all - given)) {
        parts[place] += 1;
    }
    parts
}

/// How messages are shared now, as the log has it.
#[derive(Debug, Clone, Default)]
pub struct Shifts(HashMap<(Channel, Option<u16>), Vec<Shift>>);

impl Shifts {
    /// As was told of these.
    pub fn of<'c>(carriers: impl IntoIterator<Item = &'c Carrier>) -> Self {
        let mut all: HashMap<_, Vec<Shift>> = HashMap::new();
        for shift in carriers.into_iter().flat_map(Carrier::shifts) {
            all.entry((shift.channel, shift.country)).or_default().push(shift.clone());
        }
        // An account may have got another key at its provider, and so another stream: the newest counts.
        for shifts in all.values_mut() {
            shifts.sort_by_key(|shift| std::cmp::Reverse(shift.at));
        }
        Self(all)
    }

    /// Whether all messages are shared as the routes say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The channels and countries for which weights were ever shifted.
    pub fn ways(&self) -> impl Iterator<Item = (Channel, Option<u16>)> + '_ {
        self.0.keys().copied()
    }

    /// How accounts that share messages in this way share them now; none where nothing was ever moved.
    #[must_use]
    pub fn among(
        &self,
        channel: Channel,
        country: Option<u16>,
        accounts: &[Weighted],
    ) -> Option<&Shift> {
        let sharing = in_order(accounts);
        let resting = || sharing.iter().map(|one| (&one.account, one.weight));
        let shifts = self.0.get(&(channel, country))?;
        shifts.iter().find(|shift| shift.is_among(channel, country, resting()))
    }

    /// How the accounts of `route` share messages such as `asked` now.
    #[must_use]
    pub fn for_message(&self, route: &Route, asked: &Asked<'_>) -> Option<&Shift> {
        if self.is_empty() {
            return None;
        }
        self.among(asked.channel, country_of(asked.channel, asked.to.as_str()), &route.accounts)
    }
}

/// The part, of [`WHOLE`], that an account has now of a channel's messages that it shares with others: by the first route
/// that says so, of which those that all tenants have come first. Where messages to several countries are shared in
/// another way than it says, the least counts. None of an account that shares none.
#[must_use]
pub fn part(
    table: &RouteTable,
    account: &AccountName,
    channel: Channel,
    shifts: &Shifts,
) -> Option<u16> {
    let names_it = |route: &&Route| {
        route.channel.is_none_or(|of| of == channel)
            && route.accounts.iter().any(|one| one.account == *account)
    };
    let of_all = table.routes().iter().filter(|route| route.tenants.is_none());
    let of_some = table.routes().iter().filter(|route| route.tenants.is_some());
    let (sharing, rest) = of_all.chain(of_some).filter(names_it).find_map(|route| {
        let sharing = in_order(&route.accounts);
        let weights: Vec<u16> = sharing.iter().map(|one| one.weight).collect();
        let rest = resting(&weights)?;
        Some((sharing, rest))
    })?;
    let countries = shifts.ways().filter(|(of, _)| *of == channel);
    let moved = countries
        .filter_map(|(_, country)| shifts.among(channel, country, &sharing))
        .filter(|shift| !shift.weights.iter().map(|one| one.after).eq(rest.iter().copied()))
        .filter_map(|shift| shift.weight(account));
    let place = sharing.iter().position(|one| one.account == *account);
    let at_rest = || place.and_then(|place| rest.get(place).copied()).unwrap_or_default();
    Some(moved.min().unwrap_or_else(at_rest))
}

/// Those of a route's accounts that share its messages, by name.
#[must_use]
pub fn in_order(accounts: &[Weighted]) -> Vec<Weighted> {
    let mut sharing: Vec<Weighted> =
        accounts.iter().filter(|one| one.weight > 0).cloned().collect();
    // Where a route names an account twice, its first weight counts.
    sharing.sort_by(|one, other| one.account.cmp(&other.account));
    sharing.dedup_by(|one, first| one.account == first.account);
    sharing
}

/// The country that a message goes to, as far as it is balanced apart: none where it goes to no phone. The first digits
/// of the recipient are enough.
#[must_use]
pub fn country_of(channel: Channel, to: &str) -> Option<u16> {
    if channel == Channel::Email { None } else { Address::calling_code(to) }
}

#[cfg(test)]
mod tests;
