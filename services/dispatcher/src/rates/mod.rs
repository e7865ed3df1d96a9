//! How much accounts, senders and tenants are given, by all processes together.
//!
//! Each process leases tokens ahead, for all buckets of which somebody wants some, in one statement at a time, and nobody
//! asks for a message of its own: what is in the hand is in memory. Accounts without limits cost nothing.

mod allowance;
mod bucket;
mod elsewhere;
mod entering;
mod hand;
mod leases;
mod lines;
mod park;
mod release;
mod served;
mod soon;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use hatch_domain::Priority;
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use hatch_eventstore::Connections;
use hatch_providers::Limits;
use hatch_routing::{Availability, Busy};
use hatch_telemetry::measure::{Counter, Family};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) use self::allowance::Allowance;
use self::bucket::Buckets;
pub(crate) use self::entering::Entering;
use self::hand::{Hand, Size, Tokens};
pub(crate) use self::lines::is_line_of;
use self::lines::{Lines, Who};
pub use self::park::in_lines;
use self::soon::Soon;
use crate::account::SendingAccount;
use crate::config::TenantCaps;

/// What the rates of a process have done.
#[derive(Debug, Default)]
pub struct RateStats {
    /// Messages that were put off, by hatch's name of their account and the reason.
    pub deferred: Family<(String, &'static str), Counter>,
    /// Leases that brought something, by what of.
    pub leases: Family<&'static str, Counter>,
}

/// What a bucket is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum What {
    Second,
    Sender,
    Day,
    TenantDay,
    Calls,
}

impl What {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Sender => "sender",
            Self::Day => "day",
            Self::TenantDay => "tenant",
            Self::Calls => "calls",
        }
    }

    const fn busy(self) -> Busy {
        match self {
            Self::Second => Busy::Rate,
            Self::Sender => Busy::SenderRate,
            Self::Day | Self::TenantDay => Busy::DailyCap,
            Self::Calls => Busy::Concurrency,
        }
    }
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    what: What,
    of: Arc<str>,
}

impl Key {
    fn name(&self) -> String {
        format!("{} {}", self.what.as_str(), self.of)
    }
}

/// A message that wants room.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) account: &'a SendingAccount,
    pub(crate) from: &'a Address,
    pub(crate) tenant: TenantId,
    pub(crate) priority: Priority,
    /// Which message: one that was let go has its allowance in hand.
    pub(crate) message: Uuid,
}

/// The rates of a process; cheap to clone.
#[derive(Clone)]
pub(crate) struct Rates(Arc<Inner>);

struct Inner {
    buckets: Buckets,
    /// Messages of a day, of tenants.
    tenant_caps: TenantCaps,
    state: Mutex<State>,
    /// Those that wait in memory.
    soon: Mutex<Soon>,
    /// Allowances of messages that were let go.
    in_hand: Mutex<HashMap<Uuid, (Arc<str>, Allowance)>>,
    /// Somebody wants tokens.
    wanted: Notify,
    /// A lease has brought some.
    brought: Notify,
    stats: Arc<RateStats>,
}

#[derive(Default)]
struct State {
    hands: HashMap<Key, Hand>,
    /// Of very many hands, who is to ask for leases first.
    ask_from: usize,
    lines: Lines,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Uuid, (Arc<str>, Allowance)>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rates {
    pub(crate) fn new(
        pool: Connections,
        process: Uuid,
        tenant_caps: TenantCaps,
        stats: Arc<RateStats>,
    ) -> Self {
        Self(Arc::new(Inner {
            buckets: Buckets::new(pool, process),
            tenant_caps,
            state: Mutex::default(),
            soon: Mutex::default(),
            in_hand: Mutex::default(),
            wanted: Notify::new(),
            brought: Notify::new(),
            stats,
        }))
    }

    /// Whether the message may go by its account now, as far as memory knows.
    pub(crate) fn availability(&self, load: &Load<'_>) -> Availability {
        if self.has_in_hand(load) {
            return Availability::Ready;
        }
        let keys = self.keys(load);
        let (state, now) = (self.0.lock(), Instant::now());
        let known = |(key, size): &(Key, Size)| {
            let hand = state.hands.get(key).filter(|hand| hand.size == *size);
            (key.what.busy(), hand.map_or(Tokens::Unknown, |hand| hand.tokens(now)))
        };
        let known: Vec<_> = keys.iter().map(known).collect();
        available(&known, state.lines.must_join(&who(load)), state.lines.stand(&who(load)))
    }

    /// Room for one call, if there is some now, and nobody waits for it.
    pub(crate) fn take(&self, load: &Load<'_>) -> Result<Allowance, Availability> {
        if self.others_wait(load) && !self.has_in_hand(load) {
            return Err(Availability::Busy { why: Busy::Rate, until: None });
        }
        self.take_now(load)
    }

    fn take_now(&self, load: &Load<'_>) -> Result<Allowance, Availability> {
        if let Some(allowance) = self.take_kept(load) {
            return Ok(allowance);
        }
        let keys = self.keys(load);
        let mut state = self.0.lock();
        if let Some(why) = state.lines.must_join(&who(load)) {
            return Err(Availability::Busy { why, until: None });
        }
        self.take_all(&mut state, keys)
    }

    /// A message wants what it takes, without trying to take it.
    fn want(&self, load: &Load<'_>) {
        let keys = self.keys(load);
        want_more(&mut self.0.lock(), &keys, 1);
        self.0.wanted.notify_one();
    }

    /// As many allowances for messages that stand in a line as there are, up to `most`.
    fn take_for_line(
        &self,
        account: &SendingAccount,
        sender: Option<&str>,
        most: usize,
    ) -> Vec<Allowance> {
        let keys = keys_of(account, sender);
        let mut state = self.0.lock();
        let mut all = Vec::new();
        while all.len() < most {
            match self.take_all(&mut state, keys.clone()) {
                Ok(allowance) => all.push(allowance),
                Err(_) => break,
            }
        }
        if all.len() < most {
            want_more(&mut state, &keys, most - all.len());
        }
        all
    }

    /// Has the allowance be of a tenant's message, too: none where the tenant has had its messages of the day.
    fn of_tenant(&self, mut allowance: Allowance, tenant: TenantId) -> Option<Allowance> {
        let Some((key, size)) = self.tenant_key(tenant) else { return Some(allowance) };
        let mut state = self.0.lock();
        let taken = take_one(&mut state, &key, size);
        drop(state);
        let Some(lease) = taken else {
            self.0.wanted.notify_one();
            return None;
        };
        allowance.parts.push((key, lease));
        Some(allowance)
    }

    /// Whether the tenant may have one more message today, as far as memory knows.
    fn has_day(&self, tenant: TenantId) -> bool {
        let Some((key, _)) = self.tenant_key(tenant) else { return true };
        busy(&self.0.lock(), &key, Instant::now()).is_none()
    }

    fn has_line(&self, load: &Load<'_>) -> bool {
        self.0.lock().lines.stand(&who(load)).is_some()
    }

    /// Takes a token of each, or none of any; and wants those that there were not.
    fn take_all(
        &self,
        state: &mut State,
        keys: Vec<(Key, Size)>,
    ) -> Result<Allowance, Availability> {
        let now = Instant::now();
        let mut parts = Vec::with_capacity(keys.len());
        let mut refused = None;
        for (key, size) in keys {
            match take_one(state, &key, size) {
                Some(lease) => parts.push((key, lease)),
                None => {
                    let why = key.what.busy();
                    let known = busy(state, &key, now);
                    let unknown = Availability::Busy { why, until: None };
                    refused = refused.or_else(|| Some(known.unwrap_or(unknown)));
                }
            }
        }
        let Some(refused) = refused else {
            return Ok(Allowance { rates: Arc::clone(&self.0), parts, is_spent: false });
        };
        for (key, lease) in parts {
            if let Some(hand) = state.hands.get_mut(&key) {
                hand.give_back(lease);
            }
        }
        self.0.wanted.notify_one();
        Err(refused)
    }

    /// The buckets from which the message takes.
    fn keys(&self, load: &Load<'_>) -> Vec<(Key, Size)> {
        let sender = load.account.limits.per_sender_per_s.is_some().then(|| load.from.identity());
        let sender = sender.as_deref().map(Address::as_str);
        let mut keys = keys_of(load.account, sender);
        keys.extend(self.tenant_key(load.tenant));
        keys
    }

    fn tenant_key(&self, tenant: TenantId) -> Option<(Key, Size)> {
        let capacity = self.0.tenant_caps.of(tenant)?;
        let of = tenant.0.to_string().into();
        Some((Key { what: What::TenantDay, of }, Size::per_day(capacity)))
    }

    /// The message stands in its line from now on, and others of its tenant behind it.
    pub(crate) fn stands(&self, load: &Load<'_>, why: Busy) {
        self.0.lock().lines.note(&who(load), why, Instant::now());
    }

    /// Until when the account, or the tenant, has had its messages of the day.
    pub(crate) fn day_ends(&self, load: &Load<'_>) -> Option<DateTime<Utc>> {
        let (keys, now) = (self.keys(load), Instant::now());
        let state = self.0.lock();
        keys.iter().find_map(|(key, _)| match state.hands.get(key)?.tokens(now) {
            Tokens::None(until) => until,
            Tokens::Some | Tokens::Unknown => None,
        })
    }
}

/// Whether a message may go, by what is known of the buckets that it takes from; `joins` is what it waits for where it must
/// join a line, and `others` what those wait for who stand there.
fn available(known: &[(Busy, Tokens)], joins: Option<Busy>, others: Option<Busy>) -> Availability {
    let empty = known.iter().find_map(|(why, tokens)| match tokens {
        Tokens::None(until) => Some(Availability::Busy { why: *why, until: *until }),
        Tokens::Some | Tokens::Unknown => None,
    });
    if let Some(empty) = empty {
        return empty;
    }
    // Of what nobody knows, whoever stands in the line has the first.
    let is_unknown = known.iter().any(|(_, tokens)| *tokens == Tokens::Unknown);
    match joins.or_else(|| others.filter(|_| is_unknown)) {
        Some(why) => Availability::Busy { why, until: None },
        None => Availability::Ready,
    }
}

/// What an account lacks, as a rule, where it is not known what that is.
pub(crate) const fn likely(limits: &Limits) -> Busy {
    match limits {
        Limits { per_s: Some(_), .. } => Busy::Rate,
        Limits { per_sender_per_s: Some(_), .. } => Busy::SenderRate,
        Limits { .. } => Busy::Concurrency,
    }
}

fn who<'a>(load: &Load<'a>) -> Who<'a> {
    Who { account: load.account, from: load.from, tenant: load.tenant.0, priority: load.priority }
}

fn keys_of(account: &SendingAccount, sender: Option<&str>) -> Vec<(Key, Size)> {
    let Limits { per_s, per_sender_per_s, per_day, concurrency } = account.limits;
    let of = |what| Key { what, of: Arc::clone(&account.waited_for) };
    let mut keys = Vec::new();
    keys.extend(per_day.map(|number| (of(What::Day), Size::per_day(number))));
    if let (Some(rate), Some(sender)) = (per_sender_per_s, sender) {
        let of = format!("{} {sender}", account.waited_for).into();
        keys.push((Key { what: What::Sender, of }, Size::per_second(rate)));
    }
    keys.extend(per_s.map(|rate| (of(What::Second), Size::per_second(rate))));
    keys.extend(concurrency.map(|number| (of(What::Calls), Size::at_a_time(number))));
    keys
}

fn take_one(state: &mut State, key: &Key, size: Size) -> Option<u64> {
    let now = Instant::now();
    if let Some(hand) = state.hands.get_mut(key) {
        hand.resize(size);
        return hand.take(now);
    }
    let mut hand = Hand::new(size, now);
    let taken = hand.take(now);
    state.hands.insert(key.clone(), hand);
    taken
}

/// More than one stands in a line: so many tokens are wanted of what there is none of.
fn want_more(state: &mut State, keys: &[(Key, Size)], number: usize) {
    let now = Instant::now();
    for (key, _) in keys {
        if let Some(hand) = state.hands.get_mut(key)
            && hand.tokens(now) != Tokens::Some
        {
            hand.want(number as u64);
        }
    }
}

fn busy(state: &State, key: &Key, now: Instant) -> Option<Availability> {
    match state.hands.get(key)?.tokens(now) {
        Tokens::Some | Tokens::Unknown => None,
        Tokens::None(until) => Some(Availability::Busy { why: key.what.busy(), until }),
    }
}
