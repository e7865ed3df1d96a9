//! One attempt: choose an account that has room, claim, acknowledge, call before the deadline, record the outcome.
//!
//! The provider is called only by the claimant whose token stands in the committed claim, and only
//! before a deadline counted from before the claim: PostgreSQL is asked. Everything else may be
//! repeated.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::Environment as _;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::Message;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::MessageRequested;
use hatch_eventstore::Loaded;
use hatch_providers::Outbound;
use hatch_telemetry::{span, trace};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::Dispatcher;
use crate::choose::{Chosen, Means, Sought};
use crate::claim::{By, Claiming};
use crate::due::expired_round;
use crate::progress::Taken;
use crate::slot::Slot;

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
    /// claim. `room` is an account's, if it was found already. `slot` is held for the claim, and left to others during the
    /// call.
    pub(crate) async fn attempt(
        &self,
        pending: PendingMessage,
        taken: Option<Taken>,
        room: Option<OwnedSemaphorePermit>,
        slot: &mut Slot,
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
        let means = match self.choose_account(Sought::of(&pending, &request), room, slot).await {
            Chosen::Means(means) => means,
            Chosen::Busy(account, busy) => {
                return self.park_for_rate(pending, taken, &account, busy).await;
            }
            Chosen::Waits(accounts) => {
                return self.wait_for_account(pending, taken, &accounts).await;
            }
        };
        let _under_way = self.dependencies.stats.under_way.hold();
        let (message_id, provider) = (pending.message_id, means.account.provider);
        let span = span!("dispatch", otel.kind = "consumer", %message_id, provider);
        let traceparent = pending.traceparent.clone();
        let attempted = Box::pin(self.claim_and_call(pending, taken, &request, *means, slot));
        trace::within(span, traceparent.as_deref(), attempted).await
    }

    async fn claim_and_call(
        &self,
        mut pending: PendingMessage,
        taken: Option<Taken>,
        request: &MessageRequested,
        Means { account, choice, room, pass, mut allowance }: Means,
        slot: &mut Slot,
    ) -> Next {
        let choice = choice.with_sender(request.options.pool.as_ref());
        let by = By { account: &account, choice: &choice };
        let (claiming, unmet) = self.claim_if_allowed(&mut pending, request, by).await;
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
        // However slow its provider is, it keeps nobody else from his turn.
        slot.release();
        let with = (&account, pass, &mut allowance);
        let outcome = self.call(&pending, request, with, &claim).await;
        drop(allowance);
        self.learn(&pending, request, &account, &outcome).await;
        let next = self.record(pending, &claim, outcome).await;
        drop(room);
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

    pub(crate) fn uptime(&self) -> Duration {
        self.dependencies.store.environment().uptime()
    }
}
