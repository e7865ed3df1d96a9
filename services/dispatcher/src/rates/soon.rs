//! Messages that wait in memory for a lease that is asked for: few, for a moment, one after the other, and in nobody's place.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use hatch_routing::{Availability, Busy};
use tokio::time::{Instant, timeout_at};

use super::lines::line_of;
use super::{Allowance, Inner, Load, Rates};

/// How long a message may wait in memory for a lease.
const SOON: Duration = Duration::from_millis(200);

/// Messages that wait so, at most.
const SOON_MAX: usize = 256;

/// Those that wait in memory, by what would be their line.
#[derive(Debug, Default)]
pub(super) struct Soon {
    lines: HashMap<String, VecDeque<u64>>,
    number: usize,
    next: u64,
}

/// A place among those that wait in memory.
struct Place<'a> {
    rates: &'a Inner,
    line: String,
    ticket: u64,
}

impl<'a> Place<'a> {
    fn find(rates: &'a Inner, load: &Load<'_>) -> Option<Self> {
        let mut soon = rates.soon.lock().unwrap_or_else(PoisonError::into_inner);
        if soon.number >= SOON_MAX {
            return None;
        }
        let (line, ticket) = (line_of(load.account, load.from), soon.next);
        soon.lines.entry(line.clone()).or_default().push_back(ticket);
        (soon.next, soon.number) = (ticket + 1, soon.number + 1);
        Some(Self { rates, line, ticket })
    }

    fn is_first(&self) -> bool {
        let soon = self.rates.soon.lock().unwrap_or_else(PoisonError::into_inner);
        soon.lines.get(&self.line).and_then(VecDeque::front) == Some(&self.ticket)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut soon = self.rates.soon.lock().unwrap_or_else(PoisonError::into_inner);
        soon.number = soon.number.saturating_sub(1);
        if let Some(line) = soon.lines.get_mut(&self.line) {
            line.retain(|ticket| *ticket != self.ticket);
            if line.is_empty() {
                soon.lines.remove(&self.line);
            }
        }
        drop(soon);
        // The next one may find something.
        self.rates.brought.notify_waiters();
    }
}

impl Rates {
    /// Room for one call: at once, or, where a lease may bring it soon, after a moment, as long as not too many wait.
    pub(crate) async fn take_soon(&self, load: &Load<'_>) -> Result<Allowance, Availability> {
        let until = Instant::now() + SOON;
        let mut place: Option<Place<'_>> = None;
        loop {
            let mut brought = std::pin::pin!(self.0.brought.notified());
            brought.as_mut().enable();
            let is_its_turn = match &place {
                Some(place) => place.is_first(),
                None => !self.others_wait(load),
            };
            let tried = is_its_turn.then(|| self.take_now(load));
            if let Some(Ok(allowance)) = tried {
                return Ok(allowance);
            }
            // It is known to be full: nothing comes soon, or others stand before it.
            let known = self.availability(load);
            if known != Availability::Ready || self.has_line(load) {
                if place.is_some() {
                    self.stands_first(load, &known);
                }
                return tried.unwrap_or(Err(known));
            }
            if place.is_none() {
                if tried.is_none() {
                    // Those before it want theirs.
                    self.want(load);
                }
                place = Place::find(&self.0, load);
            }
            if place.is_none() || timeout_at(until, brought).await.is_err() {
                let taken = self.take_now(load);
                if let Err(busy) = &taken {
                    self.stands_first(load, busy);
                }
                drop(place);
                return taken;
            }
        }
    }

    /// Who waited in vain is put into the line, and nobody who comes later goes before it meanwhile.
    fn stands_first(&self, load: &Load<'_>, busy: &Availability) {
        let why = match busy {
            Availability::Busy { why, .. } => *why,
            Availability::Ready | Availability::Open { .. } => Busy::Rate,
        };
        self.stands(load, why);
    }

    /// Whether others wait in memory for the same.
    pub(super) fn others_wait(&self, load: &Load<'_>) -> bool {
        let soon = self.0.soon.lock().unwrap_or_else(PoisonError::into_inner);
        // Where nobody waits, nothing is made to be looked for.
        soon.number > 0 && soon.lines.contains_key(&line_of(load.account, load.from))
    }
}
