//! Lets messages go that stand in lines, as many as there is room for, each with its allowance in hand: so it is not put
//! back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;
use hatch_domain::message::Message;
use hatch_domain::{Channel, Priority};
use hatch_due::{LastTurns, Line, Look, Released, Turn};
use hatch_eventstore::log_unless_away;
use hatch_routing::{Availability, RouteTable};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::elsewhere::Elsewhere;
use super::entering::{OnItsWay, Spot};
use super::lines::{PREFIX, is_line_of};
use super::served::Served;
use super::{Allowance, Rates};
use crate::Dispatcher;
use crate::account::{Carriers, SendingAccount};
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
pub(super) const LINES_AT_ONCE: usize = 200;

/// Messages of an account that were let go and have not begun yet, at most.
pub(super) const LET_GO_AT_ONCE: usize = 64;

/// How long a message that was let go is left to whoever did, beyond the lag of the timers.
const HOLD_MARGIN: Duration = Duration::from_secs(5);

/// Whose turn it is.
#[derive(Default)]
pub(super) struct Turns {
    /// The tenants of each line that had their turn last, and how often somebody was let go.
    last: HashMap<String, (LastTurns, usize)>,
    /// How many lines were served: with more than can be served at once, each time others come first.
    served: usize,
    /// The lines that were served last, by account.
    lines: HashMap<Arc<str>, Served>,
    /// Tenants that have had their messages of the day, and since when that is known.
    without: HashMap<Uuid, Instant>,
    looked: Option<Instant>,
    /// The line where the last look ended; empty where that took in the last one.
    looked_at: String,
    /// Places for those that were let go and have not begun yet, by account.
    going: HashMap<Arc<str>, Arc<Semaphore>>,
    /// The accounts and routes that decide.
    pub(super) by: Option<(Arc<Carriers>, RouteTable)>,
    /// When it is looked at whether some go by another account, by account.
    pub(super) elsewhere: HashMap<Arc<str>, Elsewhere>,
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
    /// Where it goes by another account or not at all: counts those that do.
    went: Option<Arc<AtomicUsize>>,
    /// And until that is known, it may be put back.
    on_its_way: Option<OnItsWay>,
}

/// By whom those go that are let go of a line.
pub(super) enum By {
    /// By its account, each with one of these. Of one priority alone, where one is named.
    Account(Vec<Allowance>, Option<Priority>),
    /// By whoever takes them: as many as have a place.
    Any,
    /// By another account, or they stay: so many at most. Those that go are counted.
    Another(usize, Arc<AtomicUsize>),
}

impl Rates {
    /// Something has brought room.
    fn brought(&self) -> &Notify {
        &self.0.brought
    }

    /// The lines in which somebody stands, as far as this process knows.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().lines.all()
    }

    fn most_urgent(&self, line: &str) -> Option<Priority> {
        self.0.lock().lines.most_urgent(line)
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
        turns.decided_by(&carriers, self.dependencies.routes.current());
        turns.has_more = false;
        self.look_at_lines(turns).await?;
        let lines = self.rates.lines();
        if lines.is_empty() {
            turns.last.clear();
            turns.going.clear();
            turns.lines.clear();
            turns.elsewhere.clear();
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
            let availability = account.health.availability(self.now());
            if availability == Availability::Ready {
                self.serve_account(account, &own, turns).await?;
            }
            if !accounts.iter().any(|other| may_stand_in(other, account)) {
                continue;
            }
            match availability {
                // Its provider may want to be left alone, too.
                Availability::Ready | Availability::Busy { .. } => {
                    self.try_elsewhere(account, &own, turns).await?;
                }
                Availability::Open { .. } if account.health.breaker() == BreakerState::Open => {
                    self.send_elsewhere(account, &own, turns).await?;
                }
                // Somebody tries it just now.
                Availability::Open { .. } => {}
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
        let going = LET_GO_AT_ONCE.saturating_sub(places.available_permits());
        // One alone is to try an account that does not work, and some go ahead where nobody knows whether it does.
        let mut most = account.health.releasable().saturating_sub(going);
        let mut served = Vec::new();
        for (priority, line) in self.lines_in_turn(account, lines, turns) {
            if most == 0 {
                break;
            }
            turns.served = turns.served.wrapping_add(1);
            let Some(sender) = is_line_of(line, account) else { continue };
            if sender.is_none() && account.limits.per_sender_per_s.is_some() {
                // Its senders have lines of their own by now.
                self.let_go_on(account, line, By::Any, turns).await?;
                continue;
            }
            let (room, only) = self.room_in(account, line, &places);
            let allowances = match room.min(most) {
                0 => continue,
                room => self.rates.take_for_line(account, sender, room),
            };
            if allowances.is_empty() {
                continue;
            }
            let number = allowances.len();
            let by = By::Account(allowances, only);
            let let_go = self.let_go_on(account, line, by, turns).await?;
            most = most.saturating_sub(let_go);
            turns.has_more |= let_go == number;
            if let_go > 0 {
                served.push((priority, line));
            }
        }
        turns.lines.entry(Arc::clone(&account.waited_for)).or_default().note(&served);
        Ok(())
    }

    /// The lines of an account in the order in which they are served now, as many as can be at once.
    fn lines_in_turn<'a>(
        &self,
        account: &SendingAccount,
        lines: &[&'a str],
        turns: &Turns,
    ) -> Vec<(Priority, &'a str)> {
        let number = lines.len();
        let urgent =
            |line: &&'a str| (self.rates.most_urgent(line).unwrap_or(Priority::Bulk), *line);
        if number > LINES_AT_ONCE {
            let others = lines.iter().cycle().skip(turns.served % number);
            return others.take(LINES_AT_ONCE).map(urgent).collect();
        }
        let all: Vec<_> = lines.iter().map(urgent).collect();
        match turns.lines.get(&account.waited_for) {
            Some(served) => served.in_turn(&all),
            None => Served::default().in_turn(&all),
        }
    }

    /// For how many of a line the account has room, beside those that are on their way. Where there is but what is kept for
    /// the urgent, that is for the most urgent of the line alone.
    fn room_in(
        &self,
        account: &SendingAccount,
        line: &str,
        places: &Semaphore,
    ) -> (usize, Option<Priority>) {
        let places = places.available_permits();
        let going = LET_GO_AT_ONCE.saturating_sub(places);
        let free = |priority| account.free(priority).saturating_sub(going).min(places);
        let urgent = self.rates.most_urgent(line).filter(|_| free(Priority::Bulk) == 0);
        (free(urgent.unwrap_or(Priority::Bulk)), urgent)
    }

    /// Lets some of a line go, and has them go on. How many those are.
    pub(super) async fn let_go_on(
        self: &Arc<Self>,
        account: &SendingAccount,
        line: &str,
        by: By,
        turns: &mut Turns,
    ) -> Result<usize, hatch_due::Error> {
        let places = turns.places(account);
        let free = places.available_permits();
        let (number, only) = match &by {
            By::Account(allowances, only) => (allowances.len(), *only),
            By::Any => (free, None),
            By::Another(most, _) => (free.min(*most), None),
        };
        if number == 0 {
            return Ok(0);
        }
        let released = self.let_go(line, (number, only), turns).await?;
        let let_go = released.len();
        let (mut allowances, went) = match by {
            By::Account(allowances, _) => (allowances, None),
            By::Any => (Vec::new(), None),
            By::Another(_, went) => (Vec::new(), Some(went)),
        };
        for released in released {
            let (account, allowance) = (account.clone(), allowances.pop());
            let (place, went) = (Arc::clone(&places).try_acquire_owned().ok(), went.clone());
            let on_its_way = went.as_ref().map(|_| self.entering.begin(Spot::of(&released)));
            let goes_on = GoesOn { released, account, allowance, place, went, on_its_way };
            self.attempts.spawn(Box::pin(self.clone().go_on(goes_on)));
        }
        Ok(let_go)
    }

    async fn let_go(
        &self,
        line: &str,
        (number, only): (usize, Option<Priority>),
        turns: &mut Turns,
    ) -> Result<Vec<Released>, hatch_due::Error> {
        // Whatever the account carries by now: another one may be the same at its provider, or have carried more once.
        let (parked, home) = (Channel::ALL.map(waiting_lane), Channel::ALL.map(Channel::as_str));
        let without: Vec<_> = turns.without.keys().copied().collect();
        let (last, times) = turns.last.get(line).cloned().unwrap_or_default();
        // No priority but the highest has all of it: another waits, but not for ever.
        let usual = TURNS.get(times % TURNS.len()).copied().unwrap_or(PRIORITIES);
        let only = only.map(|priority| [priority.as_str()]);
        let priorities = only.as_ref().map_or(usual, |only| only.as_slice());
        let turn = Turn { priorities, last: &last, without: &without };
        let line_of = Line { lanes: (&parked, &home), waits_for: &[line] };
        let hold = self.config.timers_lag + HOLD_MARGIN;
        let mut released = self.timers.let_go(line_of, turn, (number, hold)).await?;
        if !released.is_empty() {
            let (last, times) = turns.last.entry(line.to_owned()).or_default();
            last.note(&released);
            *times = times.wrapping_add(1);
        }
        if released.len() < number {
            // Others may have what was seen there.
            turns.looked = None;
        }
        let mut back = Vec::new();
        released.retain(|one| {
            let tenant = one.timer.tenant_id;
            let has_day = self.rates.has_day(TenantId(tenant));
            if !has_day {
                turns.without.insert(tenant, Instant::now());
            }
            let may_go = has_day && !self.entering.has_before(&Spot::of(one));
            if !may_go {
                back.push(one.clone());
            }
            may_go
        });
        // The others go on, whatever becomes of these.
        for one in back {
            self.stays(&one).await;
        }
        Ok(released)
    }

    /// Makes the attempt of a message that was let go.
    async fn go_on(self: Arc<Self>, goes_on: GoesOn) {
        let GoesOn { released, account, allowance, place, went, on_its_way } = goes_on;
        let Released { timer, .. } = &released;
        let (tenant_id, message_id) = (timer.tenant_id, timer.stream_id);
        // Between the look and now others of the tenant may have had its last one.
        let had = allowance.is_some();
        let allowance = allowance.and_then(|one| self.rates.of_tenant(one, TenantId(tenant_id)));
        if had && allowance.is_none() {
            return self.stays(&released).await;
        }
        let loaded = self.dependencies.store.load::<Message>(tenant_id, message_id).await;
        // Who cannot read it leaves it to the sweepers, after its hold.
        let Ok(loaded) = loaded else { return };
        let Some(pending) = PendingMessage::of(tenant_id, message_id, loaded) else { return };
        if let Some(went) = went {
            if self.stays_in_line(&pending, &released.waits_for, &account) {
                return self.stays(&released).await;
            }
            went.fetch_add(1, Ordering::Relaxed);
        }
        drop(on_its_way);
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
        line: &str,
    ) -> Result<(), hatch_due::Error> {
        let lanes = Channel::ALL.map(|of| (of.as_str(), waiting_lane(of)));
        self.timers.enter_again(message_id, due_at, &lanes, line).await
    }

    /// Puts one back; where that fails, the sweepers have it after its hold.
    async fn stays(&self, released: &Released) {
        let (message_id, line) = (released.timer.stream_id, &released.waits_for);
        if let Err(error) = self.stand_again(message_id, released.due_at, line).await {
            log_unless_away!(warn, &error, %message_id, error = %error, "a timer cannot be moved");
        }
    }
}

/// Whether some messages of an account might go by this other one now. Where there is none, they stay in their lines.
fn may_stand_in(other: &SendingAccount, account: &SendingAccount) -> bool {
    let carries_alike = other.channels.iter().any(|channel| account.channels.contains(channel));
    other.key() != account.key() && carries_alike && other.health.admits()
}
