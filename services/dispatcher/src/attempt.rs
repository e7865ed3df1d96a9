//! One attempt: claim, acknowledge, call before the deadline, record the outcome.
//!
//! The provider is called only by the claimant whose token stands in the committed claim, and only
//! before a deadline counted from before the claim: PostgreSQL is asked. Everything else may be
//! repeated.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::Message;
use hatch_domain::message::command::{
    AttemptOutcome, MessageCommand, MessageRejection, RecordOutcome, StartAttempt,
};
use hatch_domain::message::event::{MessageEvent, MessageRequested};
use hatch_domain::{Environment as _, time};
use hatch_eventstore::{
    Append, AppendError, Execute, ExecuteError, Executed, Guard, LoadError, Loaded, Metadata,
};
use hatch_providers::{Outbound, Outcome};
use hatch_telemetry::{span, trace};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;
use tracing::field::Empty;
use uuid::Uuid;

use crate::Dispatcher;
use crate::account::SendingAccount;
use crate::due::{after, expired_round};
use crate::health::Pass;
use crate::precondition::{Checked, Refused};
use crate::progress::Taken;
use crate::stats::ABANDONED;

/// For how long a message is parked for which its account has no room: at least, at most.
const PARKED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// How often a claim is tried whose guards move.
const GUARD_MOVES_MAX: usize = 8;

/// Between two tries to reach the log.
const LOG_WAIT: Duration = Duration::from_millis(250);

/// A message that is to be sent, as far as this process knows it.
pub(crate) struct PendingMessage {
    pub(crate) tenant_id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) correlation_id: Uuid,
    /// The event that asks for the next attempt.
    pub(crate) causation_id: Uuid,
    pub(crate) traceparent: Option<String>,
    pub(crate) message: Message,
    pub(crate) version: i64,
}

/// A committed claim of this process.
struct Claim {
    attempt: u32,
    token: Uuid,
    /// The call begins before this or not at all, by this process' uptime and by PostgreSQL's clock: the
    /// first stands still while the machine is suspended or paused.
    deadline: Duration,
    call_before: DateTime<Utc>,
}

/// What an attempt is made with.
struct Means<'a> {
    account: &'a SendingAccount,
    /// The account's, if it was found already.
    room: Option<OwnedSemaphorePermit>,
    pass: Pass,
}

/// How a try to claim ended.
enum Claiming {
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

/// What is left to do after an attempt.
pub(crate) enum Next {
    /// Nothing for this process.
    Done,
    /// Another attempt, after this long.
    Retry { pending: Box<PendingMessage>, wait: Duration },
}

impl PendingMessage {
    /// The message as its stream leaves it; none when it does not exist.
    pub(crate) fn of(tenant_id: Uuid, message_id: Uuid, loaded: Loaded<Message>) -> Option<Self> {
        let Loaded { state: message, version, first, last_event_id, .. } = loaded;
        let first = first?;
        Some(Self {
            tenant_id,
            message_id,
            correlation_id: first.correlation_id,
            causation_id: last_event_id?,
            traceparent: first.traceparent,
            message,
            version,
        })
    }

    /// The message as the attempt hands it to the provider.
    pub(crate) fn outbound(&self, request: &MessageRequested, attempt: u32) -> Outbound {
        Outbound {
            tenant_id: TenantId(self.tenant_id),
            message_id: MessageId(self.message_id),
            attempt,
            channel: request.channel,
            from: request.from.clone(),
            to: request.to.clone(),
            body: request.body.clone(),
            attachments: request.attachments.clone(),
            email: request.email.clone(),
            traceparent: self.traceparent.clone(),
        }
    }
}

impl Dispatcher {
    /// Claims and makes one attempt, or lets the message fail when it is too late for one. `taken`
    /// is acknowledged once the claim is committed, or once it is certain that there is nothing to
    /// claim. `room` is the account's, if it was found already.
    pub(crate) async fn attempt(
        &self,
        pending: PendingMessage,
        taken: Option<Taken>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Next {
        let Some(request) = pending.message.requested().cloned() else { return Next::Done };
        // The sweeper comes back to it when the fence is lifted.
        if self.is_fenced() {
            return Next::Done;
        }
        if let Some(wait) = self.dependencies.stats.shortage.forbids() {
            // A delivery comes again, here or to a process that has what a call takes.
            return match taken {
                Some(_) => Next::Done,
                None => Next::Retry { pending: Box::new(pending), wait },
            };
        }
        let now = self.now();
        let expired = expired_round(&pending.message, now, &self.config.waits);
        // It cannot be taken back, so it waits until it is certain what the time is.
        if let Some(round_from) = expired.filter(|_| self.dependencies.head.clock().is_certain()) {
            let next = self.change(pending, MessageCommand::Expire { round_from, at: now }).await;
            if let Some(taken) = taken {
                taken.ack().await;
            }
            return next;
        }
        let account = self.account_for(pending.tenant_id, &request);
        let pass = account.as_ref().and_then(|account| account.health.admit());
        let (Some(account), Some(pass)) = (&account, pass) else {
            return self.wait_for_account(pending, taken, account.as_ref()).await;
        };
        let _under_way = self.dependencies.stats.under_way.hold();
        let (message_id, provider) = (pending.message_id, account.provider);
        let span = span!("dispatch", otel.kind = "consumer", %message_id, provider);
        let traceparent = pending.traceparent.clone();
        let means = Means { account, room, pass };
        let attempted = Box::pin(self.claim_and_call(pending, taken, &request, means));
        trace::within(span, traceparent.as_deref(), attempted).await
    }

    async fn claim_and_call(
        &self,
        mut pending: PendingMessage,
        taken: Option<Taken>,
        request: &MessageRequested,
        Means { account, room, pass }: Means<'_>,
    ) -> Next {
        let room = match room {
            Some(room) => Some(room),
            None => account.permit().await,
        };
        let Some(_room) = room else {
            return self.park(pending, taken).await;
        };
        let (claiming, unmet) = self.claim_if_allowed(&mut pending, request, account).await;
        if let Some(taken) = taken.filter(|_| !matches!(claiming, Claiming::Unknown)) {
            taken.ack().await;
        }
        if let Some(command) = unmet {
            return self.change(pending, command).await;
        }
        let claim = match claiming {
            Claiming::Ours(claim) => claim,
            Claiming::Early(wait) => return Next::Retry { pending: Box::new(pending), wait },
            // The sweeper comes back to what is still to be attempted.
            Claiming::NotOurs | Claiming::GuardMoved | Claiming::Unknown => return Next::Done,
        };
        let outcome = self.call(&pending, request, (account, pass), &claim).await;
        self.learn(&pending, request, account, &outcome).await;
        self.record(pending, &claim, outcome).await
    }

    /// Tells the precondition why a provider did not send.
    async fn learn(
        &self,
        pending: &PendingMessage,
        request: &MessageRequested,
        account: &SendingAccount,
        outcome: &AttemptOutcome,
    ) {
        let Some(precondition) = &self.dependencies.precondition else { return };
        let AttemptOutcome::NotSent { error, .. } = outcome else { return };
        let refused = Refused {
            tenant_id: pending.tenant_id,
            message_id: pending.message_id,
            request,
            provider: account.provider,
            account: &account.account,
            error,
            at: self.now(),
        };
        precondition.refused(refused).await;
    }

    /// Claims the attempt as long as its precondition holds. Where it does not, says what becomes of the message
    /// instead.
    async fn claim_if_allowed(
        &self,
        pending: &mut PendingMessage,
        request: &MessageRequested,
        account: &SendingAccount,
    ) -> (Claiming, Option<MessageCommand>) {
        let precondition = self.dependencies.precondition.as_ref();
        let tenant_id = pending.tenant_id;
        let mut guards = match precondition {
            Some(precondition) => precondition.guards(tenant_id, request),
            None => Some(Vec::new()),
        };
        for _ in 0..GUARD_MOVES_MAX {
            let claiming = match &guards {
                Some(guards) => self.claim(pending, account, guards).await,
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
    async fn claim(
        &self,
        pending: &mut PendingMessage,
        account: &SendingAccount,
        guards: &[Guard],
    ) -> Claiming {
        let store = &self.dependencies.store;
        let token = store.environment().new_id();
        let start_within = self.config.start_within(account.http_timeout);
        let (deadline, call_before) =
            (self.uptime() + start_within, after(self.now(), start_within));
        let mut known = Some((pending.message.clone(), pending.version));
        let mut unanswered = false;
        while self.uptime() < deadline {
            let command = self.start_attempt(account, token, store.environment().now());
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
        account: &SendingAccount,
        token: Uuid,
        now: DateTime<Utc>,
    ) -> MessageCommand {
        let after = |wait| now + time::delta(wait);
        MessageCommand::StartAttempt(StartAttempt {
            provider: account.provider.to_owned(),
            account: account.account.clone(),
            token,
            call_before: after(self.config.start_within(account.http_timeout)),
            lease_until: after(self.config.lease),
            at: now,
        })
    }

    /// Calls the provider, unless the deadline has passed or the fence was closed.
    async fn call(
        &self,
        pending: &PendingMessage,
        request: &MessageRequested,
        (account, pass): (&SendingAccount, Pass),
        claim: &Claim,
    ) -> AttemptOutcome {
        let (stats, provider) = (&self.dependencies.stats, account.provider);
        let mut outbound = pending.outbound(request, claim.attempt);
        let in_round = pending.message.attempt_in_round();
        let environment = self.dependencies.store.environment();
        let chance = environment.chance();
        if self.is_late(claim).await || self.is_fenced() {
            let wait = self.config.retry.wait(in_round, chance);
            let wait = time::delta(wait);
            stats.attempts.of(&(provider, ABANDONED)).increment();
            return AttemptOutcome::Abandoned { reason: None, retry_at: environment.now() + wait };
        }
        let (attempt, called) = (claim.attempt, Instant::now());
        let span = span!("provider call", otel.kind = "client", provider, attempt, outcome = Empty);
        outbound.traceparent = span.in_scope(trace::current);
        let outcome = account.adapter.send(&outbound).instrument(span.clone()).await;
        pass.called(&outcome, environment.now(), self.config.account_backoff);
        stats.call_seconds.of(&provider).observe_duration(called.elapsed());
        stats.attempts.of(&(provider, outcome.name())).increment();
        span.record("outcome", outcome.name());
        match outcome {
            Outcome::Shortage(lack) => stats.shortage.could_not_call(lack),
            _ => stats.shortage.called(),
        }
        let expires_at = self.expires_at(&pending.message);
        self.config.retry.judge(in_round, outcome, (environment.now(), expires_at), chance)
    }

    /// Whether it is too late for the call, by what PostgreSQL says the time is now. While it does not
    /// answer, nobody is called.
    async fn is_late(&self, claim: &Claim) -> bool {
        while self.uptime() < claim.deadline {
            match self.present.now().await {
                Some(now) => return now >= claim.call_before,
                None if self.shutdown.is_cancelled() => return true,
                None => tokio::time::sleep(LOG_WAIT).await,
            }
        }
        true
    }

    /// Appends the outcome, for as long as it takes, since it is known nowhere else. It is given up at the end
    /// of the process, with the log away, and where the log will never take it; then the lease's end leaves a doubt.
    async fn record(
        &self,
        mut pending: PendingMessage,
        claim: &Claim,
        outcome: AttemptOutcome,
    ) -> Next {
        let environment = self.dependencies.store.environment();
        let at = environment.now();
        let Claim { attempt, token, .. } = *claim;
        let command = MessageCommand::RecordOutcome(RecordOutcome { attempt, token, outcome, at });
        let mut known = Some((pending.message.clone(), pending.version));
        let executed = loop {
            match self.execute(&pending, &command, known).await {
                Ok(executed) => break executed,
                Err(error) if passes(&error) && !self.shutdown.is_cancelled() => {
                    tokio::time::sleep(LOG_WAIT).await;
                    known = None;
                }
                Err(error) => {
                    let message_id = pending.message_id;
                    tracing::error!(%message_id, attempt, error = %error, "an outcome is lost");
                    return Next::Done;
                }
            }
        };
        log_outcome(&pending, attempt, &executed);
        (pending.message, pending.version) = (executed.state, executed.version);
        self.next(pending)
    }

    /// Executes a command that is not about a call of ours. What fails is left to the next sweep.
    pub(crate) async fn change(
        &self,
        mut pending: PendingMessage,
        command: MessageCommand,
    ) -> Next {
        let known = Some((pending.message.clone(), pending.version));
        match self.execute(&pending, &command, known).await {
            Ok(executed) => {
                let attempt = executed.state.attempt();
                log_outcome(&pending, attempt, &executed);
                (pending.message, pending.version) = (executed.state, executed.version);
                self.next(pending)
            }
            Err(error) => {
                log_unclaimed(&pending, &error);
                Next::Done
            }
        }
    }

    /// What the message, as it is now, leaves to do for this process.
    pub(crate) fn next(&self, pending: PendingMessage) -> Next {
        if pending.message.attempt_due().is_none() {
            return Next::Done;
        }
        // Without a time it is due at once, also where the clock of the process that accepted it is ahead.
        let until = pending.message.not_before();
        let wait = until.and_then(|due| (due - self.now()).to_std().ok()).unwrap_or_default();
        Next::Retry { pending: Box::new(pending), wait }
    }

    /// Lets a message wait in the log for which its account has no room now.
    async fn park(&self, pending: PendingMessage, taken: Option<Taken>) -> Next {
        let environment = self.dependencies.store.environment();
        let (at, chance) = (environment.now(), environment.chance());
        let wait = PARKED.0 + (PARKED.1 - PARKED.0).mul_f64(chance);
        let (reason, until) = ("rate".to_owned(), after(at, wait));
        let next = self.change(pending, MessageCommand::Defer { reason, until, at }).await;
        // It waits on: the queue has not come further.
        if let Some(taken) = taken {
            taken.delivery.ack().await;
        }
        next
    }

    /// Whether nothing may be sent, as far as this process knows. The claim itself is the log's to
    /// refuse.
    pub(crate) fn is_fenced(&self) -> bool {
        self.dependencies.head.fence().closed().is_some()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.dependencies.store.environment().now()
    }

    fn uptime(&self) -> Duration {
        self.dependencies.store.environment().uptime()
    }

    async fn execute(
        &self,
        pending: &PendingMessage,
        command: &MessageCommand,
        known: Option<(Message, i64)>,
    ) -> Result<Executed<Message>, ExecuteError<MessageRejection>> {
        self.dependencies.store.execute(execution(pending, command, known)).await
    }
}

/// Whether the same may succeed later.
fn passes(error: &ExecuteError<MessageRejection>) -> bool {
    match error {
        ExecuteError::Append(error) => matches!(
            error,
            AppendError::Conflict { guarded: false, .. }
                | AppendError::Overloaded
                | AppendError::Unavailable
        ),
        ExecuteError::Log(error) => error.is_unavailable(),
        ExecuteError::Rejected(_) | ExecuteError::Decode(_) => false,
    }
}

/// A command to the message, on what is known of it; on what its stream holds, if nothing is.
fn execution<'a>(
    pending: &PendingMessage,
    command: &'a MessageCommand,
    known: Option<(Message, i64)>,
) -> Execute<'a, Message> {
    let metadata = Metadata {
        correlation_id: pending.correlation_id,
        causation_id: Some(pending.causation_id),
        actor: "dispatcher".to_owned(),
        // The sweeper acts outside of any span: what it appends belongs to the message's trace.
        traceparent: trace::current().or_else(|| pending.traceparent.clone()),
        request_id: None,
    };
    let execute = Execute::new(pending.tenant_id, pending.message_id, command, metadata);
    match known {
        Some((message, version)) => execute.at(message, version),
        None => execute,
    }
}

fn log_unclaimed(pending: &PendingMessage, error: &ExecuteError<MessageRejection>) {
    let message_id = pending.message_id;
    match error {
        ExecuteError::Rejected(rejection) => {
            tracing::debug!(%message_id, reason = %rejection, "nothing to attempt");
        }
        error if passes(error) => {
            tracing::debug!(%message_id, error = %error, "a message waits for the log");
        }
        error => tracing::error!(%message_id, error = %error, "a message cannot be claimed"),
    }
}

fn log_outcome(pending: &PendingMessage, attempt: u32, executed: &Executed<Message>) {
    let message_id = pending.message_id;
    let status = executed.state.status().as_str();
    for event in &executed.events {
        match event {
            MessageEvent::SendFailed(failed) => {
                let (code, permanent) = (&failed.error.code, failed.error.permanent);
                tracing::warn!(%message_id, attempt, code, permanent, "attempt failed");
            }
            MessageEvent::SendInDoubt(doubt) => {
                tracing::warn!(%message_id, attempt, detail = doubt.detail, "attempt in doubt");
            }
            _ => tracing::debug!(%message_id, attempt, status, "attempt recorded"),
        }
    }
}
