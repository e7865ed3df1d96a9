//! Lets messages go that stand in lines, as many as there is room for, each with its allowance in hand: so it is not put
//! back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;
use hatch_domain::message::Message;
use hatch_domain::{Channel, Priority};
use hatch_due::{Line, Look, Released, Turn};
use hatch_eventstore::log_unless_away;
use hatch_routing::Availability;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::lines::{PREFIX, is_line_of};
use super::{Allowance, Rates};
use crate::Dispatcher;
use crate::account::SendingAccount;
use crate::attempt::PendingMessage;
use crate::breaker::BreakerState;
use crate::slot::Slot;
use crate::sweep::{PRIORITIES, TURNS};
use crate::waiting::waiting_lane;

/// Between two looks at who stands in the lines: while nobody does, and while somebody does.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(250));

/// Between two tries to let somebody go: the least, and where nothing brings room meanwhile.
const SERVE_EVERY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(100));

/// Lines that one look takes in, and the tenants of each priority in all of them. With more lines, the next look takes in
/// the next ones.
const STANDING_MAX: (i64, i64) = (500, 2_000);

/// Lines of which it is known whose turn was last: beyond these, all begin with the first tenant again.
const LAST_MAX: usize = 10_000;

/// Lines of an account that are served in one go: senders may have very many.
const LINES_AT_ONCE: usize = 200;

/// Messages of an account that were let go and have not begun yet, at most.
const LET_GO_AT_ONCE: usize = 64;

/// How long a message that was let go is left to whoever did, beyond the lag of the timers.
const HOLD_MARGIN: Duration = Duration::from_secs(5);

/// Whose turn it is.
#[derive(Default)]
struct Turns {
    /// The tenant of each line that had its turn last, and how often somebody was let go.
    last: HashMap<String, (Uuid, usize)>,
    /// How many lines were served: with many, each time others come first.
    served: usize,
    /// Tenants that have had their messages of the day, and since when that is known.
    without: HashMap<Uuid, Instant>,
    looked: Option<Instant>,
    /// The line where the last look ended; empty where that took in the last one.
    looked_at: String,
    /// Places for those that were let go and have not begun yet, by account.
    going: HashMap<Arc<str>, Arc<Semaphore>>,
    /// All were let go for whom there was room: there may be more of both.
    has_more: bool,
}

impl Turns {
    /// Places of the account for those that are let go.
    fn places(&mut self, account: &SendingAccount) -> Arc<Semaphore> {
        let places = self.going.entry(Arc::clone(&account.waited_for));
        Arc::clone(places.or_insert_with(|| Arc::new(Semaphore::new(LET_GO_AT_ONCE))))
    }
}

/// How long a tenant that has had its messages of the day is passed over.
const PASSED_OVER: Duration = Duration::from_secs(10);

/// A message that may go on.
struct GoesOn {
    released: Released,
    account: SendingAccount,
    /// None where it is not to go by the account.
    allowance: Option<Allowance>,
    /// It is among those that were let go and have not begun yet.
    place: Option<OwnedSemaphorePermit>,
}

impl Rates {
    /// Something has brought room.
    fn brought(&self) -> &Notify {
        &self.0.brought
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().lines.all()
    }
}

impl Dispatcher {
    /// Serves the lines of the accounts of this process, for ever.
    pub(crate) async fn serve_lines(self: Arc<Self>) {
        let mut turns = Turns::default();
        loop {
            self.dependencies.head.fence().opened().await;
            self.dependencies.stats.shortage.passed().await;
            let is_served = self.serve_once(&mut turns).await;
            if let Err(error) = &is_served {
                let error = error as &dyn std::error::Error;
                tracing::debug!(error, "messages stay in their lines");
            }
            let has_lines = is_served.unwrap_or_default();
            sleep(SERVE_EVERY.0).await;
            let _ = match has_lines {
                true if turns.has_more => continue,
                true => timeout(SERVE_EVERY.1, self.rates.brought().notified()).await,
                false => timeout(LOOK_EVERY.0, self.entered.notified()).await,
            };
        }
    }

    /// Serves each line once; whether there are any.
    async fn serve_once(self: &Arc<Self>, turns: &mut Turns) -> Result<bool, hatch_due::Error> {
        let carriers = self.carriers();
        let accounts: Vec<_> = carriers.accounts().to_vec();
        if accounts.is_empty() {
            return Ok(false);
        }
        turns.has_more = false;
        self.look_at_lines(turns).await?;
        let lines = self.rates.lines();
        if lines.is_empty() {
            turns.last.clear();
            turns.going.clear();
            return Ok(false);
        }
        let mut seen = Vec::new();
        for account in &accounts {
            if seen.contains(&account.key()) {
                continue;
            }
            seen.push(account.key());
            let all = lines.iter().map(String::as_str);
            let own: Vec<_> = all.filter(|line| is_line_of(line, account).is_some()).collect();
            match account.health.availability(self.now()) {
                Availability::Ready => self.serve_account(account, &own, turns).await?,
                // Its provider wants to be left alone, or somebody tries it just now.
                Availability::Busy { .. } => {}
                Availability::Open { .. } => {
                    let has_another = accounts.iter().any(|other| may_stand_in(other, account));
                    if has_another && account.health.breaker() == BreakerState::Open {
                        self.send_elsewhere(account, &own, turns).await?;
                    }
                }
            }
        }
        Ok(true)
    }

    async fn look_at_lines(&self, turns: &mut Turns) -> Result<(), hatch_due::Error> {
        let begun = Instant::now();
        let last = turns.looked.replace(begun);
        if last.is_some_and(|last| begun.duration_since(last) < LOOK_EVERY.1) {
            turns.looked = last;
            return Ok(());
        }
        let look = Look {
            parked: &Channel::ALL.map(waiting_lane),
            prefix: PREFIX,
            after: &turns.looked_at,
            priorities: PRIORITIES,
            lines: STANDING_MAX.0,
            tenants: STANDING_MAX.1,
        };
        let (standing, has_more) = self.timers.standing(look).await?;
        let last = standing.last().filter(|_| has_more).map(|one| one.waits_for.clone());
        let is_all = last.is_none() && turns.looked_at.is_empty();
        turns.looked_at = last.unwrap_or_default();
        self.rates.0.lock().lines.seen(standing, begun, is_all);
        if turns.last.len() > LAST_MAX {
            turns.last.clear();
        }
        turns.without.retain(|_, since| begun.duration_since(*since) < PASSED_OVER);
        Ok(())
    }

    /// Lets as many go as the account has room for.
    async fn serve_account(
        self: &Arc<Self>,
        account: &SendingAccount,
        lines: &[&str],
        turns: &mut Turns,
    ) -> Result<(), hatch_due::Error> {
        let places = turns.places(account);
        let mut room = places.available_permits().min(account.free(Priority::Bulk));
        // The most urgent first; with more than can be served at once, others of the rest each time.
        let (number, skipped) = (lines.len(), turns.served % lines.len().max(1));
        let skipped = if number > LINES_AT_ONCE { skipped } else { 0 };
        for line in lines.iter().cycle().skip(skipped).take(number.min(LINES_AT_ONCE)) {
            if room == 0 {
                break;
            }
            turns.served = turns.served.wrapping_add(1);
            let Some(sender) = is_line_of(line, account) else { continue };
            if sender.is_none() && account.limits.per_sender_per_s.is_some() {
                // Its senders have lines of their own by now.
                self.let_go_on(account, line, None, turns).await?;
                continue;
            }
            let allowances = self.rates.take_for_line(account, sender, room);
            if allowances.is_empty() {
                continue;
            }
            let number = allowances.len();
            let let_go = self.let_go_on(account, line, Some(allowances), turns).await?;
            room = room.saturating_sub(let_go);
            turns.has_more |= let_go == number;
        }
        Ok(())
    }

    /// Lets as many go of a line as there are allowances, and has them go on; as many as have a place, where none is to go
    /// by the account. How many those are.
    async fn let_go_on(
        self: &Arc<Self>,
        account: &SendingAccount,
        line: &str,
        allowances: Option<Vec<Allowance>>,
        turns: &mut Turns,
    ) -> Result<usize, hatch_due::Error> {
        let places = turns.places(account);
        let number = allowances.as_ref().map_or_else(|| places.available_permits(), Vec::len);
        if number == 0 {
            return Ok(0);
        }
        let released = self.let_go(account, line, number, turns).await?;
        let let_go = released.len();
        let mut allowances = allowances.into_iter().flatten();
        for released in released {
            let (account, allowance) = (account.clone(), allowances.next());
            let place = Arc::clone(&places).try_acquire_owned().ok();
            let goes_on = self.clone().go_on(GoesOn { released, account, allowance, place });
            self.attempts.spawn(Box::pin(goes_on));
        }
        Ok(let_go)
    }

    /// Lets go who stands in the lines of an account to which nothing is given any more: another may have them, or they wait
    /// for it as all others do.
    async fn send_elsewhere(
        self: &Arc<Self>,
        account: &SendingAccount,
        lines: &[&str],
        turns: &mut Turns,
    ) -> Result<(), hatch_due::Error> {
        for line in lines.iter().take(LINES_AT_ONCE) {
            self.let_go_on(account, line, None, turns).await?;
        }
        Ok(())
    }

    async fn let_go(
        &self,
        account: &SendingAccount,
        line: &str,
        number: usize,
        turns: &mut Turns,
    ) -> Result<Vec<Released>, hatch_due::Error> {
        let channels = &account.channels;
        let parked: Vec<_> = channels.iter().map(|channel| waiting_lane(*channel)).collect();
        let home: Vec<_> = channels.iter().map(|channel| channel.as_str()).collect();
        let without: Vec<_> = turns.without.keys().copied().collect();
        let (last, times) = turns.last.get(line).copied().unwrap_or_default();
        // No priority but the highest has all of it: another waits, but not for ever.
        let priorities = TURNS.get(times % TURNS.len()).copied().unwrap_or(PRIORITIES);
        let turn = Turn { priorities, last, without: &without };
        let line_of = Line { lanes: (&parked, &home), waits_for: &[line] };
        let hold = self.config.timers_lag + HOLD_MARGIN;
        let mut released = self.timers.let_go(line_of, turn, (number, hold)).await?;
        if let Some(last) = Released::last(&released) {
            turns.last.insert(line.to_owned(), (last, times.wrapping_add(1)));
        }
        if released.len() < number {
            // Others may have what was seen there.
            turns.looked = None;
        }
        let mut back = Vec::new();
        released.retain(|one| {
            let tenant = one.timer.tenant_id;
            let may_go = self.rates.has_day(TenantId(tenant));
            if !may_go {
                turns.without.insert(tenant, Instant::now());
                back.push(one.clone());
            }
            may_go
        });
        for one in back {
            self.stand_again(one.timer.stream_id, one.due_at, (&one.waits_for, account)).await?;
        }
        Ok(released)
    }

    /// Makes the attempt of a message that was let go.
    async fn go_on(self: Arc<Self>, GoesOn { released, account, allowance, place }: GoesOn) {
        let Released { timer, .. } = &released;
        let (tenant_id, message_id) = (timer.tenant_id, timer.stream_id);
        // Between the look and now others of the tenant may have had its last one.
        let had = allowance.is_some();
        let allowance = allowance.and_then(|one| self.rates.of_tenant(one, TenantId(tenant_id)));
        if had && allowance.is_none() {
            let again = (released.waits_for.as_str(), &account);
            if let Err(error) = self.stand_again(message_id, released.due_at, again).await {
                log_unless_away!(warn, &error, %message_id, error = %error, "a timer cannot be moved");
            }
            return;
        }
        let loaded = self.dependencies.store.load::<Message>(tenant_id, message_id).await;
        // Who cannot read it leaves it to the sweepers, after its hold.
        let Ok(loaded) = loaded else { return };
        let Some(pending) = PendingMessage::of(tenant_id, message_id, loaded) else { return };
        let channel = pending.message.requested().map(|request| request.channel);
        let permits = self.swept.iter().find(|(of, _)| Some(*of) == channel);
        let Some(permits) = permits.map(|(_, permits)| Arc::clone(&permits.all)) else { return };
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        drop(place);
        let mut slot = Slot::new(permit, permits);
        if let Some(allowance) = allowance {
            self.rates.keep_for(message_id, &account, allowance);
        }
        let next = self.act(timer, pending, None, &mut slot).await;
        self.rates.forget_kept(message_id);
        match next {
            Ok(next) => self.pursue(next, slot).await,
            Err(error) => {
                log_unless_away!(warn, &error, %message_id, error = %error, "a timer cannot be moved");
            }
        }
    }

    /// Puts a message back into its line that was let go and has no room.
    pub(crate) async fn stand_again(
        &self,
        message_id: Uuid,
        due_at: DateTime<Utc>,
        (line, account): (&str, &SendingAccount),
    ) -> Result<(), hatch_due::Error> {
        let lanes: Vec<_> =
            account.channels.iter().map(|of| (of.as_str(), waiting_lane(*of))).collect();
        self.timers.enter_again(message_id, due_at, &lanes, line).await
    }
}

/// Whether some messages of an account might go by this other one now. Where there is none, they stay in their lines.
fn may_stand_in(other: &SendingAccount, account: &SendingAccount) -> bool {
    let carries_alike = other.channels.iter().any(|channel| account.channels.contains(channel));
    other.key() != account.key() && carries_alike && other.health.admits()
}
