//! What the processes of an installation tell each other of an account at a provider: that its calls fail, so that
//! nobody is to send by it for a while, and that they succeed again.
//!
//! A stream is of one account of a tenant and one month of UTC, so that no account fills a stream, however it flaps.
//! What an account is now, its newest event says, whichever stream that is in ([`Carrier::following`]).

pub mod command;
mod decide;
pub mod event;
mod evolve;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use chrono::{DateTime, Datelike as _, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::command::{CarrierCommand, CarrierRejection};
use self::event::{CarrierEvent, ShiftedWeight, WeightsShifted};
use crate::Channel;
use crate::account_name::AccountName;
use crate::decider::{Decider, Routing};
use crate::ids::{CarrierId, TenantId};

/// The aggregate's name in the log and in subjects.
pub const AGGREGATE: &str = "carrier";

/// Namespace of [`carrier_id`]: a UUIDv4 drawn once for hatch.
const NAMESPACE: Uuid = Uuid::from_u128(0x5e1f_90c3_77ad_4d02_b6a4_29d8_e0f3_514b);

/// Openings that are remembered at most, the newest.
const OPENINGS_MAX: usize = 16;

/// Ways of sharing messages that are remembered at most, the newest.
const SHIFTS_MAX: usize = 256;

/// Openings, and shifts, that a stream takes at most: with a closing for each opening, fewer than the 10,000 events
/// that a stream may hold. What is beyond is not told until the next month.
const OPENINGS_TOLD_MAX: u32 = 3_000;
const SHIFTS_TOLD_MAX: u32 = 3_000;

/// The stream of what is told in the month of `at` of the tenant's account that a provider calls `key`: a UUIDv5 of all
/// four. An account that becomes another tenant's goes on in another stream.
#[must_use]
pub fn carrier_id(tenant: TenantId, provider: &str, key: &str, at: DateTime<Utc>) -> CarrierId {
    let (tenant, year, month) = (tenant.0, at.year(), at.month());
    let named = format!("{tenant}\n{provider}\n{year:04}-{month:02}\n{key}");
    CarrierId(Uuid::new_v5(&NAMESPACE, named.as_bytes()))
}

/// An account's breaker that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Why, in one word.
    pub cause: String,
    /// What was seen, for people.
    pub detail: String,
    /// Calls that failed.
    pub failures: u32,
    /// Of so many.
    pub calls: u32,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// How messages are shared that go by several accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// How they travel.
    pub channel: Channel,
    /// The calling code of the country that they go to.
    pub country: Option<u16>,
    /// The part of each account.
    pub weights: Vec<ShiftedWeight>,
    /// Why, in one word.
    pub reason: String,
    /// Since when.
    pub at: DateTime<Utc>,
}

impl Shift {
    fn of(shifted: &WeightsShifted) -> Self {
        let WeightsShifted { channel, country, ref weights, ref reason, at, .. } = *shifted;
        Self { channel, country, weights: weights.clone(), reason: reason.clone(), at }
    }

    /// Whether it is about these accounts, with these weights in the routes, each once.
    #[must_use]
    pub fn is_among<'a>(
        &'a self,
        channel: Channel,
        country: Option<u16>,
        resting: impl IntoIterator<Item = (&'a AccountName, u16)>,
    ) -> bool {
        let ours = self.weights.iter().map(|one| (&one.account, one.rest));
        (self.channel, self.country) == (channel, country) && ours.eq(resting)
    }

    /// The part of an account, of 10,000.
    #[must_use]
    pub fn weight(&self, account: &AccountName) -> Option<u16> {
        self.weights.iter().find(|one| one.account == *account).map(|one| one.after)
    }

    fn is_of(&self, shifted: &WeightsShifted) -> bool {
        let resting = shifted.weights.iter().map(|one| (&one.account, one.rest));
        self.is_among(shifted.channel, shifted.country, resting)
    }

    fn is_before(&self, shifted: &WeightsShifted) -> bool {
        let now = self.weights.iter().map(|one| one.after);
        now.eq(shifted.weights.iter().map(|one| one.before))
    }
}

/// An account at a provider, as the fleet sees it: folded from its stream of a month.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carrier {
    account: Option<AccountName>,
    provider: String,
    key: String,
    open: Option<Opening>,
    closed_at: Option<DateTime<Utc>>,
    openings: VecDeque<DateTime<Utc>>,
    #[serde(default)]
    shifts: VecDeque<Shift>,
    /// Openings of the stream, and shifts.
    #[serde(default)]
    openings_told: u32,
    #[serde(default)]
    shifts_told: u32,
}

impl Carrier {
    /// What hatch calls it; none where nothing was told yet.
    #[must_use]
    pub const fn account(&self) -> Option<&AccountName> {
        self.account.as_ref()
    }

    /// The provider, and what that calls the account.
    #[must_use]
    pub fn key(&self) -> (&str, &str) {
        (&self.provider, &self.key)
    }

    /// Its breaker, where that is open.
    #[must_use]
    pub const fn open(&self) -> Option<&Opening> {
        self.open.as_ref()
    }

    /// When its breaker was closed last.
    #[must_use]
    pub const fn closed_at(&self) -> Option<DateTime<Utc>> {
        self.closed_at
    }

    /// When its breaker was opened the last few times, the oldest first.
    pub fn openings(&self) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        self.openings.iter().copied()
    }

    /// How messages are shared that it carries with others, as far as it is the first of them by name.
    pub fn shifts(&self) -> impl Iterator<Item = &Shift> {
        self.shifts.iter()
    }

    /// The account after a month that began where `before` had ended.
    #[must_use]
    pub fn following(self, before: Self) -> Self {
        if self.account.is_none() {
            return before;
        }
        let mut openings = before.openings;
        openings.extend(&self.openings);
        openings.drain(..openings.len().saturating_sub(OPENINGS_MAX));
        let is_newer = |old: &Shift| {
            let resting = || old.weights.iter().map(|one| (&one.account, one.rest));
            self.shifts.iter().any(|shift| shift.is_among(old.channel, old.country, resting()))
        };
        let mut shifts = before.shifts;
        shifts.retain(|old| !is_newer(old));
        shifts.extend(self.shifts.iter().cloned());
        shifts.drain(..shifts.len().saturating_sub(SHIFTS_MAX));
        // What was not told in this month is as it was.
        let open = if self.has_breaker_news() { self.open } else { before.open };
        Self { openings, shifts, open, closed_at: self.closed_at.or(before.closed_at), ..self }
    }

    fn has_breaker_news(&self) -> bool {
        self.open.is_some() || self.closed_at.is_some()
    }
}

impl Decider for Carrier {
    const KIND: &'static str = AGGREGATE;

    type Command = CarrierCommand;
    type Event = CarrierEvent;
    type Rejection = CarrierRejection;

    fn decide(&self, command: &CarrierCommand) -> Result<Vec<CarrierEvent>, CarrierRejection> {
        self.decide_command(command)
    }

    fn evolve(self, event: &CarrierEvent) -> Self {
        self.after(event)
    }

    fn routing(&self) -> Routing {
        Routing { aggregate: Self::KIND, conversation_id: None, channel: None, priority: None }
    }
}
