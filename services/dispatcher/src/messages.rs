//! Messages as a kind of streams of which something is due: who looks at them when, and what providers call them.

use deadpool_postgres::Transaction;
use hatch_domain::ids::is_provider_id;
use hatch_domain::message::Message;
use hatch_domain::message::due::Due as Said;
use hatch_domain::message::event::MessageEvent;
use hatch_domain::{Channel, Priority};
use hatch_due::{DueKind, DueTime, KeptNote, WorkClass};
use hatch_eventstore::RecordedEvent;

use crate::provider_ids::{self, ProviderId};
use crate::waiting::waiting_lane;

/// Messages.
#[derive(Debug)]
pub struct Messages;

impl DueKind for Messages {
    type Stream = Message;
    type Note = ProviderId;

    const CHECKPOINT: (&'static str, i32) = ("timers", 1);

    /// A message's steps are its attempts.
    fn due(event: &MessageEvent) -> DueTime {
        match event.due() {
            Said::At { attempt: step, at } => DueTime::At { step, at },
            Said::Settled { attempt: step } => DueTime::Settled { step },
            Said::Over => DueTime::Over,
        }
    }

    /// By channel, apart those that wait for an account; those that this build does not know are in the lane
    /// without a name.
    fn place(recorded: &RecordedEvent) -> WorkClass {
        let (channel, priority) = (recorded.channel.as_deref(), recorded.priority.as_deref());
        let channel = Channel::ALL.into_iter().find(|known| Some(known.as_str()) == channel);
        let priority = priority.and_then(Priority::named);
        let lane = match waits(recorded) {
            true => channel.map_or("", waiting_lane),
            false => channel.map_or("", Channel::as_str),
        };
        WorkClass { lane, priority: priority.unwrap_or_default().as_str() }
    }

    /// The line of an account, where the message stands in one.
    fn waits_for(event: &MessageEvent) -> Option<String> {
        match event {
            MessageEvent::MessageDeferred(deferred) => deferred.waits_for.clone(),
            _ => None,
        }
    }

    fn note(event: &MessageEvent) -> Option<ProviderId> {
        use MessageEvent as E;
        let (id, attempt) = match event {
            E::MessageSent(e) => (&e.provider_message_id, e.attempt),
            E::MessageDelivered(e) => (&e.provider_message_id, e.attempt),
            E::MessageUndelivered(e) => (&e.provider_message_id, e.attempt),
            E::MessageRead(e) => (&e.provider_message_id, e.attempt),
            _ => return None,
        };
        // The log may hold one that no index takes. No receipt without our ids is of it then.
        is_provider_id(id).then(|| ProviderId { provider_message_id: id.clone(), attempt })
    }

    async fn keep(
        transaction: &Transaction<'_>,
        kept: &[KeptNote<ProviderId>],
    ) -> Result<(), tokio_postgres::Error> {
        provider_ids::keep(transaction, kept).await
    }
}

/// Whether an event has its message wait for an account.
fn waits(recorded: &RecordedEvent) -> bool {
    ["MessageDeferred", "AttemptAbandoned"].contains(&recorded.event_type.as_str())
        && recorded.decode::<MessageEvent>().is_ok_and(|event| event.waits_for_account())
}
