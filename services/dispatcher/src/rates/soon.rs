//! Messages that wait in memory for a lease that is asked for: few, for a moment, one after the other, and in nobody's place.
//! Those of one delivery come in any order. The urgent go first, and of those alike the oldest.

use std::collections::{BTreeSet, HashMap};
use std::sync::PoisonError;
use std::time::Duration;

use hatch_domain::Priority;
use hatch_routing::Availability;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::lines::line_of;
use super::{Allowance, Inner, Load, Rates, likely};

/// How long a message may wait in memory for a lease.
const SOON: Duration = Duration::from_millis(200);

/// Messages that wait so, at most.
const SOON_MAX: usize = 256;

/// How urgent it is, which message it is, whose id tells how old it is, and a number of its own.
type Ticket = (usize, Uuid, u64);

/// Those that wait in memory, by what would be their line.
#[derive(Debug, Default)]
pub(super) struct Soon {
    lines: HashMap<String, BTreeSet<Ticket>>,
    number: usize,
    next: u64,
}

impl Soon {
    /// A message waits; none where as many do as may.
    fn enter(&mut self, line: &str, priority: Priority, message: Uuid) -> Option<Ticket> {
        if self.number >= SOON_MAX {
            return None;
        }
        let ticket = (priority as usize, message, self.next);
        self.lines.entry(line.to_owned()).or_default().insert(ticket);
        (self.next, self.number) = (self.next + 1, self.number + 1);
        Some(ticket)
    }

    fn is_first(&self, line: &str, ticket: Ticket) -> bool {
        self.lines.get(line).and_then(BTreeSet::first) == Some(&ticket)
    }

    fn leave(&mut self, line: &str, ticket: Ticket) {
        self.number = self.number.saturating_sub(1);
        if let Some(waiting) = self.lines.get_mut(line) {
            waiting.remove(&ticket);
            if waiting.is_empty() {
                self.lines.remove(line);
            }
        }
    }
}

/// A place among those that wait in memory.
struct Place<'a> {
    rates: &'a Inner,
    line: String,
    ticket: Ticket,
}

impl<'a> Place<'a> {
    fn find(rates: &'a Inner, load: &Load<'_>) -> Option<Self> {
        let line = line_of(load.account, load.from);
        let mut soon = rates.soon.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = soon.enter(&line, load.priority, load.message)?;
        drop(soon);
        Some(Self { rates, line, ticket })
    }

    fn is_first(&self) -> bool {
        let soon = self.rates.soon.lock().unwrap_or_else(PoisonError::into_inner);
        soon.is_first(&self.line, self.ticket)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut soon = self.rates.soon.lock().unwrap_or_else(PoisonError::into_inner);
        soon.leave(&self.line, self.ticket);
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
            let tried = self.is_turn_of(load, place.as_ref()).then(|| self.take_now(load));
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
                let taken = match self.is_turn_of(load, place.as_ref()) {
                    true => self.take_now(load),
                    false => Err(known),
                };
                if let Err(busy) = &taken {
                    self.stands_first(load, busy);
                }
                drop(place);
                return taken;
            }
        }
    }

    /// Whether nobody who waits for the same comes before it.
    fn is_turn_of(&self, load: &Load<'_>, place: Option<&Place<'_>>) -> bool {
        place.map_or_else(|| !self.others_wait(load), Place::is_first)
    }

    /// Who waited in vain is put into the line, and nobody who comes later goes before it meanwhile.
    fn stands_first(&self, load: &Load<'_>, busy: &Availability) {
        let why = match busy {
            Availability::Busy { why, .. } => *why,
            Availability::Ready | Availability::Open { .. } => likely(&load.account.limits),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_goes_by_urgency_and_age_in_whatever_order_they_came() {
        let mut soon = Soon::default();
        let mut enter = |line, priority, id| {
            let ticket = soon.enter(line, priority, Uuid::from_u128(id));
            (line, ticket.expect("there is room"))
        };
        let waiting = [
            enter("one", Priority::Normal, 4),
            enter("one", Priority::Normal, 2),
            enter("other", Priority::Bulk, 1),
            enter("one", Priority::Normal, 3),
            enter("one", Priority::High, 9),
        ];
        for place in [4, 1, 3, 0] {
            let first: Vec<_> = (0..waiting.len())
                .filter(|of| soon.is_first(waiting[*of].0, waiting[*of].1))
                .collect();
            let mut expected = [place, 2];
            expected.sort_unstable();
            assert_eq!(first, expected, "of each line one");
            soon.leave(waiting[place].0, waiting[place].1);
        }
        soon.leave(waiting[2].0, waiting[2].1);
        assert!(soon.lines.is_empty() && soon.number == 0);
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut soon = Soon::default();
        let mut enter = || soon.enter("one", Priority::Normal, Uuid::nil());
        assert!((0..SOON_MAX).all(|_| enter().is_some()));
        assert_eq!(enter(), None);
    }
}
