//! What came of an attempt, and every other change of a message, in the log.

use std::time::Duration;

use hatch_domain::message::Message;
use hatch_domain::message::command::{
    AttemptOutcome, MessageCommand, MessageRejection, RecordOutcome,
};
use hatch_domain::message::event::MessageEvent;
use hatch_eventstore::{AppendError, Execute, ExecuteError, Executed, Metadata};
use hatch_telemetry::trace;

use crate::Dispatcher;
use crate::attempt::{Next, PendingMessage};
use crate::claim::Claim;

/// Between two tries to reach the log.
pub(crate) const LOG_WAIT: Duration = Duration::from_millis(250);

impl Dispatcher {
    /// Appends the outcome, for as long as it takes, since it is known nowhere else. It is given up at the end
    /// of the process, with the log away, and where the log will never take it; then the lease's end leaves a doubt.
    pub(crate) async fn record(
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
pub(crate) fn passes(error: &ExecuteError<MessageRejection>) -> bool {
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
pub(crate) fn execution<'a>(
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

pub(crate) fn log_unclaimed(pending: &PendingMessage, error: &ExecuteError<MessageRejection>) {
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
