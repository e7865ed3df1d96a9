//! What a process has in its hand of a bucket: leased tokens, and how many more it could use. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::bucket::{Ask, Grant, Settled};

/// A token is taken so soon after its lease was asked for, or not at all.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);

/// A token that was taken is used so soon after its lease was asked for. Who says when it was the last one lets the
/// tokens come back as soon as they may; of who dies they come back after this.
const USED_WITHIN: Duration = Duration::from_secs(2);

/// How long a process that says nothing more keeps its share of calls.
const CALLS_KEPT: Duration = Duration::from_secs(10);

/// More than any share of calls.
const ALL_CALLS: u64 = u32::MAX as u64;

/// An empty bucket is asked again: of seconds and calls at the next tick, of days after this.
const DAY_ASKED_EVERY: Duration = Duration::from_secs(5);

/// Tokens of a day that nobody here has wanted for so long go back: another process may want them.
const DAY_HELD: Duration = Duration::from_secs(5);

/// How long it is believed that a bucket is empty.
const EMPTY_KNOWN: Duration = Duration::from_millis(250);

/// A lease is this part of a bucket at most, so that processes share; of a day it is a fiftieth, and 20 to 500.
const SLICE: f64 = 0.2;
const DAY_SLICE: (u64, u64, u64) = (50, 20, 500);

/// In what a bucket's tokens are counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Per {
    /// Each may be used once in this time.
    Span(Duration),
    /// Once a day, in UTC.
    Day,
    /// Once at a time.
    Call,
}

/// How large a bucket is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Size {
    pub(crate) capacity: u64,
    pub(crate) per: Per,
}

impl Size {
    /// Of so many a second: a second's worth, or one in a longer time.
    pub(crate) fn per_second(rate: f64) -> Self {
        let capacity = rate.ceil().max(1.0);
        let span = Duration::try_from_secs_f64(capacity / rate).unwrap_or(Duration::MAX);
        Self { capacity: capacity as u64, per: Per::Span(span.min(Duration::from_secs(86_400))) }
    }

    pub(crate) const fn per_day(capacity: u64) -> Self {
        Self { capacity, per: Per::Day }
    }

    pub(crate) const fn at_a_time(capacity: u32) -> Self {
        Self { capacity: capacity as u64, per: Per::Call }
    }

    /// How long after a lease its tokens are in the bucket again, unless they are said to be sooner.
    fn back(self) -> Option<Duration> {
        match self.per {
            Per::Span(span) => Some(span + USED_WITHIN),
            Per::Day => None,
            Per::Call => Some(CALLS_KEPT),
        }
    }

    /// Tokens of one lease, at most.
    fn slice(self) -> u64 {
        match self.per {
            Per::Span(span) => {
                let a_second = self.capacity as f64 / span.as_secs_f64().max(0.001);
                ((a_second * SLICE).ceil() as u64).clamp(1, self.capacity)
            }
            Per::Day => {
                (self.capacity / DAY_SLICE.0).clamp(DAY_SLICE.1, DAY_SLICE.2).min(self.capacity)
            }
            Per::Call => self.capacity,
        }
    }
}

/// Whether a token can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// One is in the hand.
    Some,
    /// A lease may bring one.
    Unknown,
    /// The bucket was empty just now; until when, where that is known.
    None(Option<DateTime<Utc>>),
}

/// What a process has of a bucket.
#[derive(Debug)]
pub(crate) struct Hand {
    pub(crate) size: Size,
    leases: VecDeque<Lease>,
    /// The number of the next lease.
    next: u64,
    /// Who wanted a token since the last lease and got none.
    wanted: u64,
    /// Tokens that were taken since the last lease.
    taken: u64,
    /// Tokens that were used later than their lease lets them be: they are in the bucket again too soon after that, so as
    /// many of the next lease are left unused.
    owed: u64,
    /// When the bucket was found empty, and until when it stays so.
    empty: Option<(Instant, Option<DateTime<Utc>>)>,
    used: Instant,
}

#[derive(Debug)]
struct Lease {
    number: u64,
    /// When its tokens are in the bucket again, as PostgreSQL has it.
    returns: DateTime<Utc>,
    begun: Instant,
    /// None is taken of it from then on.
    until: Instant,
    granted: u64,
    left: u64,
    /// Taken ones of which nobody knows yet whether they are used.
    out: u64,
    /// When the last one was used.
    last: Instant,
}

impl Hand {
    pub(crate) const fn new(size: Size, now: Instant) -> Self {
        let leases = VecDeque::new();
        Self { size, leases, next: 0, wanted: 0, taken: 0, owed: 0, empty: None, used: now }
    }

    /// The bucket is so large from now on: of another size, nobody knows that it is empty.
    pub(crate) fn resize(&mut self, size: Size) {
        if self.size != size {
            (self.size, self.empty) = (size, None);
        }
    }

    /// Whether a token can be had.
    pub(crate) fn tokens(&self, now: Instant) -> Tokens {
        if self.left(now) > 0 {
            return Tokens::Some;
        }
        let known = if self.size.per == Per::Day { DAY_ASKED_EVERY * 2 } else { EMPTY_KNOWN };
        match self.empty {
            Some((at, until)) if now.duration_since(at) < known => Tokens::None(until),
            _ => Tokens::Unknown,
        }
    }

    /// Takes a token, and says of which lease it is; or wants one.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u64> {
        self.used = now;
        let usable = |lease: &&mut Lease| lease.left > 0 && now < lease.until;
        let Some(lease) = self.leases.iter_mut().find(usable) else {
            self.wanted = self.wanted.saturating_add(1);
            return None;
        };
        (lease.left, lease.out) = (lease.left - 1, lease.out + 1);
        self.taken = self.taken.saturating_add(1);
        Some(lease.number)
    }

    /// So many tokens are wanted.
    pub(crate) const fn want(&mut self, number: u64) {
        self.wanted = self.wanted.saturating_add(number);
    }

    /// A token of this lease was used, or for a call: its call begins.
    pub(crate) fn spend(&mut self, number: u64, now: Instant) {
        if self.size.per == Per::Call {
            return;
        }
        if let Some(lease) = self.leases.iter_mut().find(|lease| lease.number == number) {
            lease.out = lease.out.saturating_sub(1);
            lease.last = lease.last.max(now);
            let is_late = now.duration_since(lease.begun) > USED_WITHIN;
            self.owed += u64::from(is_late && self.size.per != Per::Day);
        }
    }

    /// A token of this lease is here again: it was not used, or its call is over.
    pub(crate) fn give_back(&mut self, number: u64) {
        let is_call = self.size.per == Per::Call;
        let is_it = |lease: &&mut Lease| is_call || lease.number == number;
        if let Some(lease) = self.leases.iter_mut().find(is_it) {
            let was_out = lease.out > 0;
            lease.out = lease.out.saturating_sub(1);
            // Where the fleet's share has become smaller, it was one too many.
            if was_out && (!is_call || lease.left + lease.out < lease.granted) {
                lease.left += 1;
            }
            if was_out && !is_call {
                self.taken = self.taken.saturating_sub(1);
            }
        }
    }

    /// What is to be asked now, and what has become of former leases.
    pub(crate) fn ask(&mut self, key: &str, now: Instant) -> Option<(Ask, Vec<Settled>)> {
        match self.size.per {
            Per::Call => self.ask_for_calls(key, now),
            Per::Span(_) | Per::Day => self.ask_for_tokens(key, now),
        }
    }

    fn ask_for_tokens(&mut self, key: &str, now: Instant) -> Option<(Ask, Vec<Settled>)> {
        let left = self.left(now);
        let is_low = self.taken > 0 && left.saturating_mul(2) <= self.taken;
        let is_day = self.size.per == Per::Day;
        if is_day && left > 0 && now.duration_since(self.used) >= DAY_HELD {
            let settled = self.settle(key, |lease| lease.out == 0);
            (self.wanted, self.taken) = (0, 0);
            return (!settled.is_empty()).then(|| (self.asked(key, 0), settled));
        }
        if left >= self.wanted && !is_low || self.is_asked_later(now) {
            return None;
        }
        let wanted = self.wanted.max(self.taken).clamp(1, self.size.slice());
        let is_over = |lease: &Lease| lease.out == 0 && (lease.left == 0 || now >= lease.until);
        let settled = self.settle(key, is_over);
        (self.wanted, self.taken) = (0, 0);
        Some((self.asked(key, wanted), settled))
    }

    /// Gives leases back that are over.
    fn settle(&mut self, key: &str, is_over: impl Fn(&Lease) -> bool) -> Vec<Settled> {
        let is_day = self.size.per == Per::Day;
        let mut settled = Vec::new();
        self.leases.retain(|lease| {
            let ends = is_over(lease);
            if ends {
                let late = lease.last.duration_since(lease.begun);
                let sooner = if is_day { Duration::ZERO } else { USED_WITHIN.saturating_sub(late) };
                let (key, returns, unused) = (key.to_owned(), lease.returns, lease.left);
                settled.push(Settled { key, returns, sooner, unused });
            }
            !ends
        });
        settled
    }

    /// Gives everything back that is not in use: the process ends.
    pub(crate) fn end(&mut self, key: &str) -> Option<(Ask, Vec<Settled>)> {
        let mut settled = self.settle(key, |lease| lease.out == 0 && lease.granted > 0);
        if self.size.per == Per::Call {
            // All of its share, whatever it has become.
            let all = |one: &mut Settled| (one.sooner, one.unused) = (Duration::ZERO, ALL_CALLS);
            settled.iter_mut().for_each(all);
        }
        (!settled.is_empty()).then(|| (self.asked(key, 0), settled))
    }

    fn ask_for_calls(&mut self, key: &str, now: Instant) -> Option<(Ask, Vec<Settled>)> {
        let out = self.leases.front().map_or(0, |lease| lease.out);
        let known = self.leases.front();
        let ends_soon = known.is_some_and(|lease| lease.until < now + CALLS_KEPT / 2);
        let is_held = known.is_some_and(|lease| lease.granted > 0);
        let is_idle = is_held && out == 0 && now.duration_since(self.used) > TAKEN_WITHIN;
        let wants_more = self.wanted > self.left(now);
        if !(wants_more || is_idle || is_held && ends_soon && out > 0) {
            return None;
        }
        let settled = known.filter(|_| is_held).map(|lease| {
            let (key, returns, unused) = (key.to_owned(), lease.returns, ALL_CALLS);
            Settled { key, returns, sooner: Duration::ZERO, unused }
        });
        let wanted = if is_idle && !wants_more { 0 } else { out.saturating_add(self.wanted) };
        let wanted = wanted.min(self.size.capacity);
        // What is not asked for again may be another's before the answer is here.
        if let Some(lease) = self.leases.front_mut() {
            lease.left = lease.left.min(wanted.saturating_sub(out));
        }
        (self.wanted, self.taken) = (0, 0);
        Some((self.asked(key, wanted), settled.into_iter().collect()))
    }

    fn asked(&self, key: &str, wanted: u64) -> Ask {
        let Size { capacity, .. } = self.size;
        Ask { key: key.to_owned(), wanted, capacity, back: self.size.back() }
    }

    /// A day's bucket that was empty is not asked all the time.
    fn is_asked_later(&self, now: Instant) -> bool {
        let is_day = self.size.per == Per::Day;
        is_day && self.empty.is_some_and(|(at, _)| now.duration_since(at) < DAY_ASKED_EVERY)
    }

    /// What came of what was asked for at `begun`.
    pub(crate) fn granted(&mut self, asked: u64, grant: &Grant, begun: Instant, now: Instant) {
        let until = (self.size.per == Per::Day).then_some(grant.returns);
        self.empty = (grant.tokens < asked).then_some((now, until));
        let lasts = match self.size.per {
            Per::Span(_) => TAKEN_WITHIN,
            Per::Day | Per::Call => grant.returns_in,
        };
        let mut lease = Lease {
            number: self.next,
            returns: grant.returns,
            begun,
            until: begun + lasts.min(Duration::from_secs(86_400)),
            granted: grant.tokens,
            left: grant.tokens,
            out: 0,
            last: begun,
        };
        self.next += 1;
        if self.owed > 0 && lease.left > 0 {
            let paid = self.owed.min(lease.left);
            (self.owed, lease.left, lease.last) = (self.owed - paid, lease.left - paid, now);
        }
        if self.size.per == Per::Call {
            // It is all that this process has, with the calls that are under way.
            lease.out = self.leases.front().map_or(0, |before| before.out);
            lease.left = grant.tokens.saturating_sub(lease.out);
            self.leases.clear();
        } else if grant.tokens == 0 {
            return;
        }
        self.leases.push_back(lease);
    }

    /// Whether nothing would be lost with it.
    pub(crate) fn is_idle(&self, now: Instant, after: Duration) -> bool {
        let is_free = |lease: &Lease| {
            lease.out == 0 && (now >= lease.until || lease.left == 0 || lease.granted == 0)
        };
        now.duration_since(self.used) > after && self.leases.iter().all(is_free)
    }

    fn left(&self, now: Instant) -> u64 {
        self.leases.iter().filter(|lease| now < lease.until).map(|lease| lease.left).sum()
    }
}

#[cfg(test)]
mod tests;
