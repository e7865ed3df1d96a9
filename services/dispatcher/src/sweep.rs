//! Handles due messages: does what a message's state asks for. Each channel has a lane of its own, with permits for each of
//! the accounts that carry it, so that one whose provider hangs holds up the messages of no other.

use std::sync::Arc;
use std::time::Duration;

use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, SettleDoubt, Settlement};
use hatch_domain::{Channel, OnDoubt, Priority};
use hatch_due::{DueTimer, Handler, Lane, Permit};
use hatch_eventstore::{Loaded, log_unless_away};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Dispatcher;
use crate::account::SendingAccount;
use crate::attempt::{Next, PendingMessage};
use crate::due::{self, Action, Settled, after, decide};
use crate::look_up::LookUpAnswer;
use crate::messages::Messages;
use crate::permits::Permits;
use crate::slot::Slot;
use crate::waiting::waiting_lane;

/// How often a doubt that is left to a person is looked at, in case its policy was changed.
const LEFT_WAIT: Duration = Duration::from_secs(3_600);

/// How many times the provider has to know nothing of an attempt until that is believed.
const NOT_FOUND_ENOUGH: u32 = 2;

/// Every priority, the first first.
pub(crate) const PRIORITIES: &[&str] = TURNS[0];

/// The orders in which priorities are taken, one after the other. Nothing is before a login code; bulk has a turn
/// before normal messages, so that it does not wait for ever for those. Rows of older builds have its old name.
const TURNS: &[&[&str]] = {
    const HIGH: &str = Priority::High.as_str();
    const NORMAL: &str = Priority::Normal.as_str();
    const BULK: &str = Priority::Bulk.as_str();
    const ONCE: &str = Priority::BULK_ONCE;
    const USUAL: &[&str] = &[HIGH, NORMAL, BULK, ONCE];
    &[USUAL, USUAL, USUAL, &[HIGH, BULK, ONCE, NORMAL]]
};

impl Handler for Dispatcher {
    type Kind = Messages;

    async fn ready(&self, lanes: &[&'static str]) {
        self.dependencies.stats.shortage.passed().await;
        if let Some(pause) = self.pause(lanes) {
            tokio::time::sleep(pause).await;
        }
    }

    async fn handle(
        self: Arc<Self>,
        timer: DueTimer,
        stream: Loaded<Message>,
        Permit { permit, permits, room }: Permit,
    ) {
        let message_id = timer.stream_id;
        let Some(pending) = PendingMessage::of(timer.tenant_id, message_id, stream) else { return };
        let mut slot = Slot::new(permit, permits);
        match self.act(&timer, pending, room, &mut slot).await {
            Ok(next) => self.pursue(next, slot).await,
            Err(error) => {
                log_unless_away!(warn, &error, %message_id, error = %error, "a timer cannot be moved");
            }
        }
    }
}

impl Dispatcher {
    /// One for each channel, and one for messages of those that this build, or the one that set the timer, does not know.
    /// Where one account alone carries a channel, its room limits what is taken.
    pub(crate) fn lanes(self: &Arc<Self>) -> Vec<Lane> {
        let lane = |(channel, permits): &(Channel, Permits)| {
            let (channel, dispatcher) = (*channel, Arc::clone(self));
            let names = vec![channel.as_str(), waiting_lane(channel)];
            let find_room = Box::new(move || dispatcher.carriers().only_room(channel));
            Lane::new(names, TURNS, Arc::clone(&permits.all), find_room)
        };
        let permits = Arc::new(Semaphore::new(self.config.concurrency_max));
        let unknown = Lane::new(vec![""], TURNS, permits, Box::new(|| None));
        self.swept.iter().map(lane).chain([unknown]).collect()
    }

    /// Does what the message asks for now.
    pub(crate) async fn act(
        &self,
        timer: &DueTimer,
        pending: PendingMessage,
        room: Option<OwnedSemaphorePermit>,
        slot: &mut Slot,
    ) -> Result<Next, hatch_due::Error> {
        let (now, message_id) = (timer.taken_at, timer.stream_id);
        let timer = &timer.of_step(pending.message.attempt());
        let account = self.account_in_doubt(pending.tenant_id, &pending.message);
        let account = account.as_ref();
        let asked = pending.message.requested().and_then(|request| request.options.on_doubt);
        let policy = match account {
            Some(account) => account.doubt_policy(asked),
            None => OnDoubt::of(asked, None, false).into(),
        };
        let waits = self.config.waits_of(account);
        let action = decide(&pending.message, now, policy, &waits, timer.looks);
        tracing::debug!(%message_id, ?action, "due");
        // Nothing else calls for an attempt.
        let room = room.filter(|_| action == Action::Attempt);
        match action {
            Action::Attempt => {
                return match self.must_wait(&pending) {
                    Some(accounts) => self.leave_waiting(timer, pending, &accounts).await,
                    None => Ok(self.attempt(pending, None, room, slot).await),
                };
            }
            Action::Expire => return Ok(self.attempt(pending, None, room, slot).await),
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
        pending: PendingMessage,
        account: &SendingAccount,
    ) -> Result<Next, hatch_due::Error> {
        let (unasked, mut timer) = (timer, timer.clone());
        timer.looks = timer.looks.saturating_add(1);
        let (message_id, looks) = (timer.stream_id, timer.looks);
        let answer = match self.ask(&pending, account).await {
            LookUpAnswer::Sent { provider_message_id } => {
                return Ok(self.settle(pending, Settlement::Sent { provider_message_id }).await);
            }
            LookUpAnswer::Superseded => return Ok(Next::Done),
            LookUpAnswer::NotFound => {
                timer.not_found = timer.not_found.saturating_add(1);
                "not found".to_owned()
            }
            LookUpAnswer::Inconclusive { detail } => detail,
            // It counts for no look-up.
            LookUpAnswer::Unasked { detail, wait } => {
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

    fn settlement(&self, message: &Message, settled: Settled) -> Settlement {
        let (attempts_max, detail) = match settled {
            Settled::Resend => {
                (self.config.retry.attempts_max, "in doubt, and sent again by policy")
            }
            Settled::Fail => (0, "in doubt, and given up by policy"),
        };
        due::not_sent(message, "in_doubt", detail, attempts_max, self.now())
    }

    async fn settle(&self, pending: PendingMessage, settlement: Settlement) -> Next {
        let Some(doubt) = pending.message.doubt() else { return Next::Done };
        let attempt = doubt.attempt;
        let settle = SettleDoubt { attempt, settlement, at: self.now() };
        self.change(pending, MessageCommand::SettleDoubt(settle)).await
    }
}
