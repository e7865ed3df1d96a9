//! Takes what a queue brings: as much as there are places to claim it, and room at some account to send it.
//!
//! A place is held while the log is written to, and never during a call; room belongs to an account. What finds none at its
//! own account while others have some is parked in the log at once: so no account stands in the way of another. Only where
//! no account of the channel has any, nothing is taken, since nobody could send it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hatch_bus::{Delivery, Work};
use hatch_domain::message::{AGGREGATE, Message};
use hatch_domain::{Decider, DecodeError, DomainEvent};
use hatch_eventstore::{LogError, Position, log_unless_away};

use crate::Dispatcher;
use crate::attempt::{Next, PendingMessage};
use crate::progress::{Queue, Taken};
use crate::slot::Slot;

/// Deliveries taken from a queue at a time, at most.
const BATCH_MAX: usize = 64;

/// Between two looks at whether an account has room again.
const ROOM_LOOK: Duration = Duration::from_millis(5);

impl Dispatcher {
    /// Takes deliveries of one queue, as many as may be claimed at a time and sent. `priority` is what they call their own.
    pub(crate) async fn drain(self: Arc<Self>, queue: Arc<Queue>, priority: &'static str) {
        let work = Work {
            aggregate: AGGREGATE.to_owned(),
            event_type: "MessageRequested".to_owned(),
            channel: Some(queue.channel.as_str().to_owned()),
            priority: Some(priority.to_owned()),
            ..Work::default()
        };
        let mut work = self.dependencies.bus.work_queue(work, self.beginning());
        let permits = queue.permits.all.clone();
        let fence = self.dependencies.head.fence();
        let mut carriers = self.carriers.subscribe();
        loop {
            let next = async {
                // While nobody here carries the channel, others may.
                drop(carriers.wait_for(|now| now.width(queue.channel) > 0).await.ok()?);
                fence.trusting().await;
                self.dependencies.stats.shortage.passed().await;
                let room = self.has_room(&queue).await;
                // While nothing comes, those who try again have all the places.
                drop(permits.acquire().await.ok()?);
                let free = permits.available_permits().min(room).clamp(1, BATCH_MAX);
                let nobody_carries = async {
                    drop(carriers.wait_for(|now| now.width(queue.channel) == 0).await);
                };
                let deliveries = tokio::select! {
                    deliveries = work.fetch(free) => deliveries,
                    () = nobody_carries => Vec::new(),
                };
                fence.known().await;
                Some(deliveries)
            };
            let taken = tokio::select! {
                taken = next => taken,
                () = self.shutdown.cancelled() => return,
            };
            let Some(deliveries) = taken else { return };
            // Requests of another log are not sent; its stream ends with its epoch.
            let ours = deliveries.into_iter().filter(|one| fence.trusts(one.generation));
            for delivery in ours {
                let Ok(permit) = permits.clone().acquire_owned().await else { return };
                let taken = Taken { delivery, queue: queue.clone() };
                let slot = Slot::new(permit, permits.clone());
                // In a box: tokio copies a task's future several times, and this one is large.
                let work = Box::pin(self.clone().deliver(taken, slot));
                self.attempts.spawn(work);
            }
        }
    }

    /// Waits until some account of the channel has room for a message of the queue; for how many there is.
    async fn has_room(&self, queue: &Queue) -> usize {
        loop {
            let carriers = self.carriers();
            let free = carriers.on(queue.channel).map(|account| account.free(queue.priority));
            let free: usize = free.sum();
            // Without an account its channel is not carried, and somebody else sees to that.
            let room = if carriers.width(queue.channel) == 0 { 1 } else { free };
            queue.held_up.store(room == 0, Ordering::Relaxed);
            if room > 0 {
                return room;
            }
            tokio::time::sleep(ROOM_LOOK).await;
        }
    }

    /// Makes attempts for one delivery until nothing is left to do, or it is better left to others.
    async fn deliver(self: Arc<Self>, taken: Taken, mut slot: Slot) {
        let pending = match self.pending(&taken.delivery).await {
            Ok(pending) => pending,
            Err(error) => {
                let position = taken.delivery.envelope.position;
                log_unless_away!(error, &error, position, error = %error, "a request cannot be read");
                // It would come again for ever, and many would fill the queue. The log has it, and
                // so have the timers of a build that knows it.
                if let PendingError::Decode(_) = error {
                    self.dependencies.stats.undecodable.increment();
                    taken.ack().await;
                }
                return;
            }
        };
        let next = match self.next(pending) {
            Next::Retry { pending, wait } if wait.is_zero() => {
                self.attempt(*pending, Some(taken), None, &mut slot).await
            }
            // Scheduled: nothing waits inside NATS.
            next => {
                taken.ack().await;
                next
            }
        };
        self.pursue(next, slot).await;
    }

    /// Makes further attempts until nothing is left to do, or the next is so far off that the timers
    /// will have it.
    pub(crate) async fn pursue(&self, mut next: Next, mut slot: Slot) {
        while let Next::Retry { pending, wait } = next {
            if wait > self.config.timers_lag {
                return;
            }
            if !wait.is_zero() {
                slot.release();
                let Ok(_waiting) = self.retries_waiting.clone().try_acquire_owned() else {
                    return;
                };
                tokio::select! {
                    () = self.dependencies.store.environment().sleep(wait) => {}
                    () = self.shutdown.cancelled() => return,
                }
            }
            slot.hold().await;
            next = self.attempt(*pending, None, None, &mut slot).await;
        }
    }

    /// The message as the delivered event leaves it: nothing is read, except an event too large to
    /// travel.
    async fn pending(&self, delivery: &Delivery) -> Result<PendingMessage, PendingError> {
        let envelope = &delivery.envelope;
        let (event_type, version) = (envelope.event_type.as_str(), envelope.schema_version);
        let event = match &envelope.data {
            Some(data) => <Message as Decider>::Event::decode(event_type, version, data.get())?,
            None => {
                let position = Position(envelope.position);
                let recorded = self.dependencies.store.log().read_at(position).await?;
                recorded.ok_or(PendingError::Missing(position))?.decode()?
            }
        };
        Ok(PendingMessage {
            tenant_id: envelope.tenant_id,
            message_id: envelope.stream_id,
            correlation_id: envelope.correlation_id,
            causation_id: envelope.event_id,
            traceparent: envelope.traceparent.clone(),
            message: Message::default().evolve(&event),
            version: envelope.stream_version,
        })
    }
}

/// Why a delivery cannot be worked on. Where the log may tell later, it comes again.
#[derive(Debug, thiserror::Error)]
enum PendingError {
    #[error("this build does not know the event")]
    Decode(#[from] DecodeError),
    #[error("the log cannot be read")]
    Log(#[from] LogError),
    #[error("position {0} is not in the log")]
    Missing(Position),
}
