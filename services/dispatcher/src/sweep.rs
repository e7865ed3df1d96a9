//! The sweeper: looks at each message whose time has come, and does what the message itself says is
//! due. It reads PostgreSQL only, so it guarantees progress whatever the bus forgets.
//!
//! Any number of sweepers may run. Which of them looks at a message is a matter of cost; what keeps
//! an attempt from being made twice is the claim.

use std::sync::Arc;
use std::time::Duration;

use hatch_domain::DecodeError;
use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, SettleDoubt, Settlement};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::attempt::{Next, Pending};
use crate::due::{self, Action, DoubtPolicy, Settled, after, decide};
use crate::look_up::Answer;
use crate::timers::DueTimer;
use crate::{Account, CLOCK_OFFSET_MAX, Dispatcher, PendingError};

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

impl Dispatcher {
    /// Sweeps until the shutdown.
    pub(crate) async fn sweep(self: Arc<Self>) {
        let permits = Arc::new(Semaphore::new(self.config.concurrency_max));
        loop {
            let sweep = async {
                self.dependencies.head.fence().opened().await;
                self.dependencies.stats.shortage.passed().await;
                self.clock_is_near().await;
                self.clone().sweep_once(&permits).await
            };
            let taken = tokio::select! {
                taken = sweep => taken,
                () = self.shutdown.cancelled() => return,
            };
            if taken < BATCH_MAX {
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
        let astray = || clock.offset().filter(|offset| offset.abs() > CLOCK_OFFSET_MAX);
        let Some(offset) = astray() else { return };
        let seconds = offset.num_seconds();
        tracing::error!(
            seconds,
            "what is due is left to others: the clock here is far from PostgreSQL's"
        );
        while astray().is_some() {
            tokio::time::sleep(EVERY).await;
        }
        tracing::warn!("the clock here is near PostgreSQL's again: what is due is done here again");
    }

    /// Takes what is due, as much as may be under way, and says how much that was.
    async fn sweep_once(self: Arc<Self>, permits: &Arc<Semaphore>) -> usize {
        let Ok(first) = permits.clone().acquire_owned().await else { return 0 };
        let limit = (permits.available_permits() + 1).min(BATCH_MAX);
        let now = self.now();
        let hold = after(now, self.config.timers_lag + HOLD_MARGIN);
        let due = match self.timers.take(now, limit, hold).await {
            Ok(due) => due,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the timers cannot be read");
                return 0;
            }
        };
        let taken = due.len();
        let mut held = Some(first);
        for timer in due {
            let permit = match held.take() {
                Some(permit) => Ok(permit),
                None => permits.clone().acquire_owned().await,
            };
            let Ok(permit) = permit else { return 0 };
            self.attempts.spawn(self.clone().look_at(timer, permits.clone(), permit));
        }
        taken
    }

    /// Does what is due of one message. What fails here is looked at again after its hold.
    async fn look_at(
        self: Arc<Self>,
        timer: DueTimer,
        permits: Arc<Semaphore>,
        permit: OwnedSemaphorePermit,
    ) {
        let message_id = timer.message_id;
        if self.is_fenced() {
            return;
        }
        let pending = match self.load(timer.tenant_id, message_id).await {
            Ok(Some(pending)) => pending,
            Ok(None) => return,
            Err(PendingError::Decode(error)) => return self.note_unreadable(&timer, &error).await,
            Err(error) => {
                tracing::warn!(%message_id, error = %error, "a due message cannot be read");
                return;
            }
        };
        if timer.undecodable
            && let Err(error) = self.timers.readable(&timer).await
        {
            tracing::debug!(%message_id, error = %error, "a message stays marked as unreadable");
        }
        match self.act(&timer, pending).await {
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

    async fn act(&self, timer: &DueTimer, pending: Pending) -> Result<Next, crate::timers::Error> {
        let (now, message_id) = (self.now(), timer.message_id);
        let timer = &timer.of_attempt(pending.message.attempt());
        let account = self.account_in_doubt(&pending.message);
        let policy = account.map_or(DoubtPolicy::Wait, Account::doubt_policy);
        let action = decide(&pending.message, now, policy, &self.config.waits, timer.looks);
        tracing::debug!(%message_id, ?action, "due");
        match action {
            Action::Attempt if !self.can_carry(&pending.message) => {
                self.timers.look_again(timer, after(now, UNCARRIED_WAIT)).await?;
            }
            Action::Attempt | Action::Expire => return Ok(self.attempt(pending, None).await),
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
