//! The sweeper: looks at each message whose time has come, and does what the message itself says is
//! due. It reads PostgreSQL only, so it guarantees progress whatever the bus forgets.
//!
//! Each account has a sweeper of its own, with permits of its own, so that one whose provider hangs holds up the
//! messages of no other. Any number of sweepers may run. Which of them looks at a message is a matter of cost; what keeps
//! an attempt from being made twice is the claim.

use std::sync::Arc;
use std::time::Duration;

use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, SettleDoubt, Settlement};
use hatch_domain::{Channel, DecodeError, Environment as _, Priority};
use hatch_eventstore::LoadError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::attempt::{Next, Pending};
use crate::due::{self, Action, DoubtPolicy, Settled, after, decide};
use crate::look_up::Answer;
use crate::timers::DueTimer;
use crate::{Account, Dispatcher};

/// Between two looks at what is due.
const EVERY: Duration = Duration::from_millis(250);

/// Messages taken at a time, at most.
const BATCH_MAX: usize = 64;

/// How long a message that was taken is left alone, beyond the lag of the timers: by then what was
/// done about it has set its next time.
const HOLD_MARGIN: Duration = Duration::from_secs(5);

/// How often a doubt that is left to a person is looked at, in case its policy was changed.
const LEFT_WAIT: Duration = Duration::from_secs(3_600);

/// How often a message is looked at whose channel no account carries.
const UNCARRIED_WAIT: Duration = Duration::from_secs(60);

/// How many times the provider has to know nothing of an attempt until that is believed.
const NOT_FOUND_ENOUGH: u32 = 2;

/// Messages taken at a time, at most, while their account has no room: what is due of them may need none.
const BATCH_WITHOUT_ROOM: usize = 4;

/// The orders in which priorities are taken, one after the other: none waits for ever for a higher one.
const TURNS: [[Priority; 3]; 4] = {
    use Priority::{High, Low, Normal};
    [[High, Normal, Low], [High, Normal, Low], [Normal, High, Low], [Low, High, Normal]]
};

/// What one sweeper looks after: the messages of an account, or of none.
pub(crate) struct Lane {
    channels: Vec<&'static str>,
    /// One for each message that may be looked at, or attempted, at a time.
    permits: Arc<Semaphore>,
    /// The account's.
    room: Option<Arc<Semaphore>>,
    turn: usize,
}

/// A permit to look at a message, and the room at its account that was found for an attempt of it, if any was.
struct Place {
    permit: OwnedSemaphorePermit,
    room: Option<OwnedSemaphorePermit>,
}

impl Lane {
    /// Places for as many messages as may be looked at: at least one, for which it waits.
    async fn places(&self) -> Vec<Place> {
        let Ok(first) = self.permits.clone().acquire_owned().await else { return Vec::new() };
        let more = std::iter::from_fn(|| self.permits.clone().try_acquire_owned().ok());
        let permits = std::iter::once(first).chain(more).take(BATCH_MAX);
        let Some(room) = &self.room else {
            return permits.map(|permit| Place { permit, room: None }).collect();
        };
        let mut places: Vec<Place> = permits
            .map(|permit| Place { permit, room: room.clone().try_acquire_owned().ok() })
            .collect();
        let roomy = places.iter().filter(|place| place.room.is_some()).count();
        places.truncate(roomy.max(BATCH_WITHOUT_ROOM));
        places
    }

    /// The order in which priorities are taken this time.
    fn priorities(&mut self) -> [&'static str; 3] {
        self.turn = self.turn.wrapping_add(1);
        TURNS[self.turn % TURNS.len()].map(Priority::as_str)
    }
}

impl Dispatcher {
    /// One for each account that is used, and one for the channels that no account carries, among them those that
    /// this build, or the one that set the timer, does not know.
    pub(crate) fn lanes(&self) -> Vec<Lane> {
        let lane = |account: Option<&Account>| {
            let carries = |channel: &Channel| {
                let name = |account: &'_ Account| (account.provider, account.account.clone());
                self.account_of(*channel).map(name) == account.map(name)
            };
            let known = Channel::ALL.into_iter().filter(carries).map(Channel::as_str);
            let unknown = account.is_none().then_some("");
            Lane {
                channels: known.chain(unknown).collect(),
                permits: Arc::new(Semaphore::new(self.config.concurrency_max)),
                room: account.map(|account| account.room.clone()),
                turn: 0,
            }
        };
        let accounts = self.dependencies.accounts.iter().map(Some).chain([None]);
        accounts.map(lane).filter(|lane| !lane.channels.is_empty()).collect()
    }

    /// Sweeps until the shutdown.
    pub(crate) async fn sweep(self: Arc<Self>, mut lane: Lane) {
        loop {
            let sweep = async {
                self.dependencies.head.fence().opened().await;
                self.dependencies.stats.shortage.passed().await;
                self.clock_is_near().await;
                self.clone().sweep_once(&mut lane).await
            };
            let has_more = tokio::select! {
                has_more = sweep => has_more,
                () = self.shutdown.cancelled() => return,
            };
            if !has_more {
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = self.shutdown.cancelled() => return,
                }
            }
        }
    }

    /// Waits until the machine's clock is not too far from PostgreSQL's.
    async fn clock_is_near(&self) {
        let clock = self.dependencies.head.clock();
        if clock.is_certain() {
            return;
        }
        let seconds = clock.offset().map(|offset| offset.num_seconds());
        tracing::error!(
            seconds,
            "what is due is left to others: the clock here and PostgreSQL's contradict each other"
        );
        while !clock.is_certain() {
            tokio::time::sleep(EVERY).await;
        }
        tracing::warn!(
            "the clock here and PostgreSQL's agree again: what is due is done here again"
        );
    }

    /// Takes what is due of a lane, as much as may be under way, and says whether there may be more for which
    /// there is room.
    async fn sweep_once(self: Arc<Self>, lane: &mut Lane) -> bool {
        let mut places = lane.places().await;
        let (limit, is_full) = (places.len(), places.iter().any(|place| place.room.is_none()));
        let hold = self.config.timers_lag + HOLD_MARGIN;
        let priorities = lane.priorities();
        let of = (lane.channels.as_slice(), &priorities[..]);
        let due = match self.timers.take(of, limit, hold, self.now()).await {
            Ok(due) => due,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the timers cannot be read");
                return false;
            }
        };
        let has_more = due.len() == limit && !(is_full && lane.room.is_some());
        // Those with room come first.
        for (timer, place) in due.into_iter().zip(places.drain(..)) {
            self.attempts.spawn(self.clone().look_at(timer, lane.permits.clone(), place));
        }
        has_more
    }

    /// Does what is due of one message. What fails here is looked at again after its hold.
    async fn look_at(
        self: Arc<Self>,
        timer: DueTimer,
        permits: Arc<Semaphore>,
        Place { permit, room }: Place,
    ) {
        let message_id = timer.message_id;
        if self.is_fenced() {
            return;
        }
        let loaded = self.dependencies.store.load(timer.tenant_id, message_id).await;
        let pending = match loaded.map(|stream| Pending::of(timer.tenant_id, message_id, stream)) {
            Ok(Some(pending)) => pending,
            Ok(None) => return,
            Err(LoadError::Decode(error)) => return self.note_unreadable(&timer, &error).await,
            Err(LoadError::Log(error)) => {
                tracing::warn!(%message_id, error = %error, "a due message cannot be read");
                return;
            }
        };
        if timer.undecodable
            && let Err(error) = self.timers.readable(&timer).await
        {
            tracing::debug!(%message_id, error = %error, "a message stays marked as unreadable");
        }
        match self.act(&timer, pending, room).await {
            Ok(Next::Done) => {}
            Ok(Next::Retry { pending, wait }) => {
                let next = Next::Retry { pending, wait };
                self.pursue(next, permits, permit).await;
            }
            Err(error) => {
                tracing::warn!(%message_id, error = %error, "a timer cannot be moved");
            }
        }
    }

    /// Leaves a message to those who can read it.
    async fn note_unreadable(&self, timer: &DueTimer, error: &DecodeError) {
        let message_id = timer.message_id;
        match self.timers.unreadable(timer).await {
            Ok(true) => tracing::error!(
                %message_id,
                error = %error,
                "this build cannot read a due message: it waits for one that can"
            ),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%message_id, error = %error, "a timer cannot be moved");
            }
        }
    }

    async fn act(
        &self,
        timer: &DueTimer,
        pending: Pending,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Next, crate::timers::Error> {
        let (now, message_id) = (timer.taken_at, timer.message_id);
        let timer = &timer.of_attempt(pending.message.attempt());
        let account = self.account_in_doubt(&pending.message);
        let policy = account.map_or(DoubtPolicy::Wait, Account::doubt_policy);
        let action = decide(&pending.message, now, policy, &self.config.waits, timer.looks);
        tracing::debug!(%message_id, ?action, "due");
        // Nothing else calls for an attempt.
        let room = room.filter(|_| action == Action::Attempt);
        match action {
            Action::Attempt if !self.can_carry(&pending.message) => {
                self.timers.look_again(timer, after(now, UNCARRIED_WAIT)).await?;
            }
            Action::Attempt | Action::Expire => return Ok(self.attempt(pending, None, room).await),
            Action::ExpireLease => {
                return Ok(self.change(pending, MessageCommand::ExpireLease { at: now }).await);
            }
            Action::Settle(settled) => {
                let settlement = self.settlement(&pending.message, settled);
                return Ok(self.settle(pending, settlement).await);
            }
            Action::LookUp => {
                if let Some(account) = account {
                    return self.look_up(timer, pending, account).await;
                }
            }
            Action::LookAgain(at) => self.timers.look_again(timer, at).await?,
            Action::LeaveInDoubt => {
                if timer.looks == 0 {
                    tracing::warn!(%message_id, "in doubt, and left to a receipt or a person");
                }
                let timer = DueTimer { looks: timer.looks.saturating_add(1), ..timer.clone() };
                self.timers.look_again(&timer, after(now, LEFT_WAIT)).await?;
            }
            Action::Nothing => self.timers.forget(timer).await?,
        }
        Ok(Next::Done)
    }

    async fn look_up(
        &self,
        timer: &DueTimer,
        pending: Pending,
        account: &Account,
    ) -> Result<Next, crate::timers::Error> {
        let (unasked, mut timer) = (timer, timer.clone());
        timer.looks = timer.looks.saturating_add(1);
        let (message_id, looks) = (timer.message_id, timer.looks);
        let answer = match self.ask(&pending, account).await {
            Answer::Sent { provider_message_id } => {
                return Ok(self.settle(pending, Settlement::Sent { provider_message_id }).await);
            }
            Answer::Superseded => return Ok(Next::Done),
            Answer::NotFound => {
                timer.not_found = timer.not_found.saturating_add(1);
                "not found".to_owned()
            }
            Answer::Inconclusive { detail } => detail,
            // It counts for no look-up.
            Answer::Unasked { detail, wait } => {
                tracing::debug!(%message_id, detail, "a message in doubt is looked up later");
                self.timers.look_again(unasked, after(self.now(), wait)).await?;
                return Ok(Next::Done);
            }
        };
        tracing::info!(%message_id, looks, answer, "looked up a message in doubt");
        let now = self.now();
        if timer.not_found >= NOT_FOUND_ENOUGH {
            let attempts_max = self.config.retry.attempts_max;
            let detail = "the provider knows nothing of the attempt";
            let settlement =
                due::not_sent(&pending.message, "not_found", detail, attempts_max, now);
            return Ok(self.settle(pending, settlement).await);
        }
        let next = due::next_look_up(now, looks, &self.config.waits);
        self.timers.look_again(&timer, next).await?;
        Ok(Next::Done)
    }

    fn can_carry(&self, message: &Message) -> bool {
        message.requested().is_some_and(|request| self.account_for(request).is_some())
    }

    fn settlement(&self, message: &Message, settled: Settled) -> Settlement {
        let (attempts_max, detail) = match settled {
            Settled::Resend => {
                (self.config.retry.attempts_max, "in doubt, and sent again by policy")
            }
            Settled::Fail => (0, "in doubt, and given up by policy"),
        };
        due::not_sent(message, "in_doubt", detail, attempts_max, self.now())
    }

    async fn settle(&self, pending: Pending, settlement: Settlement) -> Next {
        let Some(doubt) = pending.message.doubt() else { return Next::Done };
        let attempt = doubt.attempt;
        let settle = SettleDoubt { attempt, settlement, at: self.now() };
        self.change(pending, MessageCommand::SettleDoubt(settle)).await
    }
}
