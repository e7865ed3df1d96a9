//! The call of a provider for a claimed attempt.

use std::time::Instant;

use hatch_domain::message::command::AttemptOutcome;
use hatch_domain::message::event::MessageRequested;
use hatch_providers::{Outcome, exchange};
use hatch_telemetry::{span, trace};
use tracing::Instrument;
use tracing::field::Empty;

use crate::Dispatcher;
use crate::account::SendingAccount;
use crate::attempt::PendingMessage;
use crate::choose::{Another, Sought};
use crate::claim::Claim;
use crate::due::after;
use crate::health::Pass;
use crate::outcome::LOG_WAIT;
use crate::precondition::Refused;
use crate::rates::Allowance;
use crate::retry::fails_over;
use crate::stats::ABANDONED;

impl Dispatcher {
    /// Calls the provider, unless the deadline has passed or the fence was closed: then nothing of the allowance is used.
    pub(crate) async fn call(
        &self,
        pending: &PendingMessage,
        request: &MessageRequested,
        (account, mut pass, allowance): (&SendingAccount, Pass, &mut Allowance),
        claim: &Claim,
    ) -> AttemptOutcome {
        let (stats, provider) = (&self.dependencies.stats, account.provider);
        let mut outbound = pending.outbound(request, claim.attempt);
        let in_round = pending.message.attempt_by_account();
        let environment = self.dependencies.store.environment();
        let chance = environment.chance();
        if self.is_late(claim).await || self.is_fenced() {
            let wait = self.config.retry.wait(in_round, chance);
            stats.attempts.of(&(provider, ABANDONED)).increment();
            let retry_at = after(environment.now(), wait);
            return AttemptOutcome::Abandoned { reason: None, retry_at };
        }
        allowance.spent();
        let (attempt, called) = (claim.attempt, Instant::now());
        let span = span!("provider call", otel.kind = "client", provider, attempt, outcome = Empty);
        outbound.traceparent = span.in_scope(trace::current);
        let called_at = environment.now();
        let sending = account.adapter.send(&outbound).instrument(span.clone());
        let (outcome, exchanged) = exchange::recording(sending).await;
        if exchanged.http_status.is_some() {
            pass.answered();
        }
        self.keep_attempt(pending, attempt, called_at, exchanged);
        pass.called(&outcome, environment.now(), self.rules());
        stats.call_seconds.of(&provider).observe_duration(called.elapsed());
        stats.attempts.of(&(provider, outcome.name())).increment();
        span.record("outcome", outcome.name());
        match outcome {
            Outcome::Shortage(lack) => stats.shortage.could_not_call(lack),
            _ => stats.shortage.called(),
        }
        let expires_at = self.expires_at(&pending.message);
        let another = self.another_for(pending, request, account, &outcome);
        let times = (environment.now(), expires_at);
        let judged = self.config.retry.judge(in_round, outcome, times, (chance, &another));
        self.count_failover(account, &another, &judged);
        judged
    }

    /// The account by which the message may go instead, where that is asked for.
    fn another_for(
        &self,
        pending: &PendingMessage,
        request: &MessageRequested,
        account: &SendingAccount,
        outcome: &Outcome,
    ) -> Another {
        match outcome {
            Outcome::Accepted { .. } | Outcome::Unknown { .. } | Outcome::Shortage(_) => {
                Another::Nobody
            }
            Outcome::Refused { .. }
            | Outcome::Account { .. }
            | Outcome::Throttled { .. }
            | Outcome::Unavailable { .. } => self.another(Sought::of(pending, request), account),
        }
    }

    /// Counts a message that goes by another account at once.
    fn count_failover(&self, from: &SendingAccount, another: &Another, judged: &AttemptOutcome) {
        let Another::Now(to) = another else { return };
        let class = match judged {
            AttemptOutcome::AccountRefused { error, expires_at: None, .. } => error.class,
            AttemptOutcome::NotSent { error, retry_at: Some(_) } if fails_over(error) => {
                error.class
            }
            _ => return,
        };
        let failover = (from.name.clone(), to.clone(), class.as_str());
        self.dependencies.stats.failovers.of(&failover).increment();
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

    /// Counts what became of an attempt, and tells the precondition why a provider did not send.
    pub(crate) async fn learn(
        &self,
        pending: &PendingMessage,
        request: &MessageRequested,
        account: &SendingAccount,
        outcome: &AttemptOutcome,
    ) {
        self.count(account, request, outcome);
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
}
