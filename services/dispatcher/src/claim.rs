//! The claim of an attempt: nobody calls a provider without one in the log.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::AccountChoice;
use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, MessageRejection, StartAttempt};
use hatch_domain::message::event::MessageRequested;
use hatch_domain::time;
use hatch_eventstore::{Append, AppendError, ExecuteError, Executed, Guard, LoadError, Loaded};
use uuid::Uuid;

use crate::Dispatcher;
use crate::account::SendingAccount;
use crate::attempt::PendingMessage;
use crate::due::after;
use crate::outcome::{LOG_WAIT, execution, log_unclaimed, passes};
use crate::precondition::Checked;

/// How often a claim is tried whose guards move.
const GUARD_MOVES_MAX: usize = 8;

/// A committed claim of this process.
pub(crate) struct Claim {
    pub(crate) attempt: u32,
    pub(crate) token: Uuid,
    /// The call begins before this or not at all, by this process' uptime and by PostgreSQL's clock: the
    /// first stands still while the machine is suspended or paused.
    pub(crate) deadline: Duration,
    pub(crate) call_before: DateTime<Utc>,
}

/// By which account an attempt is made, and why by that.
#[derive(Clone, Copy)]
pub(crate) struct By<'a> {
    pub(crate) account: &'a SendingAccount,
    pub(crate) choice: &'a AccountChoice,
}

/// How a try to claim ended.
pub(crate) enum Claiming {
    Ours(Claim),
    /// Somebody else has it, or nothing is to be attempted.
    NotOurs,
    /// It is too early by this much: the wall clock says so, which decides, and not the wait.
    Early(Duration),
    /// Nobody has it: a stream that guards it has moved, and what that says decides.
    GuardMoved,
    /// The log did not answer before the deadline, or the fence is closed, and no claim of ours is known; the
    /// delivery comes again.
    Unknown,
}

impl Dispatcher {
    /// Claims the attempt as long as its precondition holds. Where it does not, says what becomes of the message
    /// instead.
    pub(crate) async fn claim_if_allowed(
        &self,
        pending: &mut PendingMessage,
        request: &MessageRequested,
        by: By<'_>,
    ) -> (Claiming, Option<MessageCommand>) {
        let precondition = self.dependencies.precondition.as_ref();
        let tenant_id = pending.tenant_id;
        let mut guards = match precondition {
            Some(precondition) => precondition.guards(tenant_id, request),
            None => Some(Vec::new()),
        };
        for _ in 0..GUARD_MOVES_MAX {
            let claiming = match &guards {
                Some(guards) => self.claim(pending, by, guards).await,
                None => Claiming::GuardMoved,
            };
            let (Claiming::GuardMoved, Some(precondition)) = (&claiming, precondition) else {
                return (claiming, None);
            };
            match precondition.check(tenant_id, request, self.now()).await {
                Ok(Checked::Holds(now)) => guards = Some(now),
                Ok(Checked::Fails(command)) => return (claiming, Some(*command)),
                Err(error) => {
                    let (message_id, error) =
                        (pending.message_id, &error as &dyn std::error::Error);
                    tracing::warn!(%message_id, error, "whether a message may be sent cannot be read");
                    return (Claiming::Unknown, None);
                }
            }
        }
        (Claiming::GuardMoved, None)
    }

    /// Appends the claim, on the version that is known without reading. When the log does not
    /// answer, the claim may have been committed all the same: the stream tells, by the token.
    async fn claim(&self, pending: &mut PendingMessage, by: By<'_>, guards: &[Guard]) -> Claiming {
        let store = &self.dependencies.store;
        let token = store.environment().new_id();
        let start_within = self.config.start_within(by.account.http_timeout);
        let (deadline, call_before) =
            (self.uptime() + start_within, after(self.now(), start_within));
        let mut known = Some((pending.message.clone(), pending.version));
        let mut unanswered = false;
        while self.uptime() < deadline {
            let command = self.start_attempt(by, token, store.environment().now());
            let execute = execution(pending, &command, known).guards(guards.to_vec());
            match self.sending.execute(execute).await {
                Ok(Executed { state, version, .. }) => {
                    let attempt = state.attempt();
                    (pending.message, pending.version) = (state, version);
                    return Claiming::Ours(Claim { attempt, token, deadline, call_before });
                }
                Err(ExecuteError::Rejected(MessageRejection::NotDue(due))) => {
                    let wait = (due - store.environment().now()).to_std().unwrap_or_default();
                    return Claiming::Early(wait);
                }
                Err(ExecuteError::Append(AppendError::Fenced)) => break,
                // An earlier append of this claim has not been committed, or the message would have moved.
                Err(ExecuteError::Append(AppendError::Conflict { guarded: true, .. })) => {
                    return Claiming::GuardMoved;
                }
                Err(error) if passes(&error) => tokio::time::sleep(LOG_WAIT).await,
                // The stream moved on. What moved it may have been this very claim, by an append
                // whose answer did not come.
                Err(error) if !unanswered => {
                    log_unclaimed(pending, &error);
                    return Claiming::NotOurs;
                }
                Err(ExecuteError::Append(_) | ExecuteError::Log(_)) => break,
                Err(_) => {}
            }
            unanswered = true;
            match store.load::<Message>(pending.tenant_id, pending.message_id).await {
                Ok(Loaded { state, version, .. }) => {
                    if let Some(attempt) = state.attempt_claimed_with(token) {
                        (pending.message, pending.version) = (state, version);
                        return Claiming::Ours(Claim { attempt, token, deadline, call_before });
                    }
                    if !state.waits_for_attempt() {
                        return Claiming::NotOurs;
                    }
                    known = Some((state, version));
                }
                Err(_) => known = None,
            }
        }
        match unanswered {
            true => self.recognise(pending, token, (deadline, call_before)).await,
            false => Claiming::Unknown,
        }
    }

    /// Looks for a claim that no answer came for, until it is certain whether it is in the log: nobody else knows
    /// that nothing was sent by it. Appends nothing, and holds its permits, since nobody could claim with them
    /// while the log takes no appends.
    async fn recognise(
        &self,
        pending: &mut PendingMessage,
        token: Uuid,
        (deadline, call_before): (Duration, DateTime<Utc>),
    ) -> Claiming {
        let (store, message_id) = (&self.dependencies.store, pending.message_id);
        while !self.shutdown.is_cancelled() {
            // Appends happen one after the other. When an empty one is answered, the claim is committed or
            // never will be, even if its COMMIT was hanging in the server.
            let decided = store.appender().append(Append::default()).await.is_ok();
            let loaded = match decided {
                true => Some(store.load::<Message>(pending.tenant_id, message_id).await),
                false => None,
            };
            match loaded {
                Some(Ok(Loaded { state, version, .. })) => {
                    let Some(attempt) = state.attempt_claimed_with(token) else { break };
                    tracing::info!(%message_id, attempt, "a claim is found late");
                    (pending.message, pending.version) = (state, version);
                    return Claiming::Ours(Claim { attempt, token, deadline, call_before });
                }
                Some(Err(LoadError::Log(error))) if error.is_unavailable() => {}
                Some(Err(error)) => {
                    log_unclaimed(pending, &error.into());
                    break;
                }
                None => {}
            }
            tokio::select! {
                () = tokio::time::sleep(LOG_WAIT) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
        Claiming::Unknown
    }

    fn start_attempt(
        &self,
        By { account, choice }: By<'_>,
        token: Uuid,
        now: DateTime<Utc>,
    ) -> MessageCommand {
        let after = |wait| now + time::delta(wait);
        MessageCommand::StartAttempt(StartAttempt {
            provider: account.provider.to_owned(),
            account: account.account.clone(),
            choice: Some(choice.clone()),
            token,
            call_before: after(self.config.start_within(account.http_timeout)),
            lease_until: after(self.config.lease),
            at: now,
        })
    }
}
