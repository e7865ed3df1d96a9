//! Messages that stand in the line of an account, and may go by another by now: one that was down works again, or another
//! route decides. Some are looked at now and then; as long as some of those go, the next are looked at soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hatch_routing::{Availability, Decision, RouteTable};
use tokio::time::Instant;

use super::lines::line_of;
use super::release::{By, LET_GO_AT_ONCE, LINES_AT_ONCE, Turns};
use crate::Dispatcher;
use crate::account::{Carriers, SendingAccount};
use crate::attempt::PendingMessage;
use crate::choose::Sought;

/// Between two looks: while some go, and the first and the longest wait while none does.
const LOOK_EVERY: (Duration, Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(30));

/// Messages that are looked at, and the lines that they stand in, while none goes.
const LOOKED_AT: usize = 4;
const LINES_LOOKED_AT: usize = 16;

/// When messages of an account's lines are looked at.
pub(super) struct Elsewhere {
    until: Instant,
    wait: Duration,
    /// How many went since the last look. Each of whom nobody knows that yet has a hold of it.
    went: Arc<AtomicUsize>,
    /// Each look begins with another line.
    turn: usize,
}

impl Elsewhere {
    pub(super) fn new(now: Instant) -> Self {
        Self { until: now, wait: Duration::ZERO, went: Arc::default(), turn: 0 }
    }

    /// How many are looked at now; none where it is too early, or where the last ones are still being looked at.
    fn look(&mut self, now: Instant) -> Option<usize> {
        if self.until > now || Arc::strong_count(&self.went) > 1 {
            return None;
        }
        self.turn = self.turn.wrapping_add(1);
        let (soon, first, longest) = LOOK_EVERY;
        if self.went.swap(0, Ordering::Relaxed) > 0 {
            (self.wait, self.until) = (Duration::ZERO, now + soon);
            return Some(LET_GO_AT_ONCE);
        }
        self.wait = (self.wait * 2).clamp(first, longest);
        self.until = now + self.wait;
        Some(LOOKED_AT)
    }
}

impl Turns {
    /// Where other accounts or routes decide, whatever was found of those before says nothing.
    pub(super) fn decided_by(&mut self, carriers: &Arc<Carriers>, routes: RouteTable) {
        let is_it = |(accounts, table): &(Arc<Carriers>, RouteTable)| {
            let rerouted = routes.rerouted(table);
            Arc::ptr_eq(accounts, carriers) && rerouted.is_some_and(|tenants| tenants.is_empty())
        };
        if !self.by.as_ref().is_some_and(is_it) {
            self.elsewhere.clear();
        }
        self.by = Some((Arc::clone(carriers), routes));
    }
}

impl Dispatcher {
    /// Lets go who stands in the lines of an account to which nothing is given any more: another may have them, or they wait
    /// for it as all others do.
    pub(super) async fn send_elsewhere(
        self: &Arc<Self>,
        account: &SendingAccount,
        lines: &[&str],
        turns: &mut Turns,
    ) -> Result<(), hatch_due::Error> {
        for line in lines.iter().take(LINES_AT_ONCE) {
            self.let_go_on(account, line, By::Any, turns).await?;
        }
        Ok(())
    }

    /// Looks whether some of those in the lines of an account that works may go by another. The others stay where they are.
    pub(super) async fn try_elsewhere(
        self: &Arc<Self>,
        account: &SendingAccount,
        lines: &[&str],
        turns: &mut Turns,
    ) -> Result<(), hatch_due::Error> {
        let now = Instant::now();
        let state = turns.elsewhere.entry(Arc::clone(&account.waited_for));
        let state = state.or_insert_with(|| Elsewhere::new(now));
        let Some(mut number) = state.look(now) else { return Ok(()) };
        let (went, skipped) = (Arc::clone(&state.went), state.turn % lines.len().max(1));
        let some = lines.iter().cycle().skip(skipped).take(lines.len().min(LINES_LOOKED_AT));
        for line in some {
            let by = By::Another(number, Arc::clone(&went));
            number = number.saturating_sub(self.let_go_on(account, line, by, turns).await?);
            if number == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Whether a message is to stay in the line of the account: that may have it, and no other has room for it now.
    pub(super) fn stays_in_line(
        &self,
        pending: &PendingMessage,
        line: &str,
        account: &SendingAccount,
    ) -> bool {
        let Some(request) = pending.message.requested() else { return false };
        if pending.message.waits_in_line() != Some(line) {
            return false;
        }
        let sought = Sought::of(pending, request);
        let is_its = |one: &SendingAccount| one.key() == account.key();
        self.able(sought).iter().any(is_its) && !self.goes_by_another(sought, account)
    }

    /// The account in whose line a message stands, as long as it may go by that: nobody changes lines for each moment in
    /// which another had room.
    pub(super) fn account_of_line(&self, pending: &PendingMessage) -> Option<SendingAccount> {
        let (request, line) = (pending.message.requested()?, pending.message.waits_in_line()?);
        let now = self.now();
        let is_it = |one: &SendingAccount| {
            let is_open = matches!(one.health.availability(now), Availability::Open { .. });
            !is_open && line_of(one, &request.from) == line
        };
        self.able(Sought::of(pending, request)).into_iter().find(is_it)
    }

    /// Whether the message goes by another account than by that one, as all is now.
    fn goes_by_another(&self, sought: Sought<'_>, than: &SendingAccount) -> bool {
        let carriers = self.carriers();
        match self.plan_now(&carriers, sought).decision {
            Decision::Take(choice) => {
                carriers.named(&choice.name).is_some_and(|account| account.key() != than.key())
            }
            Decision::Wait { .. } | Decision::Nobody { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_of_which_none_goes_elsewhere_is_looked_at_seldom_and_one_of_which_some_do_often()
     {
        let mut lines = Elsewhere::new(Instant::now());
        let mut waits = Vec::new();
        for _ in 0..7 {
            let now = Instant::now();
            assert_eq!(lines.look(now), Some(LOOKED_AT));
            assert_eq!(lines.look(now), None);
            waits.push((lines.until - now).as_secs());
            tokio::time::advance(lines.until - now).await;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        let slow = Arc::clone(&lines.went);
        assert_eq!(lines.look(Instant::now()), None, "who knows whether it goes?");
        slow.fetch_add(1, Ordering::Relaxed);
        drop(slow);
        assert_eq!(lines.look(Instant::now()), Some(LET_GO_AT_ONCE));
        tokio::time::advance(LOOK_EVERY.0).await;
        assert_eq!(lines.look(Instant::now()), Some(LOOKED_AT), "no more went");
        tokio::time::advance(LOOK_EVERY.0).await;
        assert_eq!(lines.look(Instant::now()), None);
    }
}
