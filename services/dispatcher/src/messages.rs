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

#[cfg(test)]
mod tests {
    use hatch_eventstore::{Metadata, Position};
    use serde_json::value::RawValue;
    use uuid::Uuid;

    use super::*;

    fn recorded(event_type: &str, priority: &str, payload: &str) -> RecordedEvent {
        RecordedEvent {
            position: Position(1),
            stream_id: Uuid::from_u128(1),
            version: 2,
            tenant_id: Uuid::from_u128(1),
            event_id: Uuid::from_u128(2),
            event_type: event_type.to_owned(),
            schema_version: 1,
            epoch: 1,
            recorded_at: chrono::DateTime::UNIX_EPOCH,
            aggregate: "message".to_owned(),
            conversation_id: None,
            channel: Some("sms".to_owned()),
            priority: Some(priority.to_owned()),
            metadata: Metadata::default(),
            payload: RawValue::from_string(payload.to_owned()).expect("JSON"),
        }
    }

    #[test]
    fn what_earlier_builds_wrote_has_its_lane_and_its_priority_and_stands_in_no_line() {
        const CLAIM: &str =
            r#"{"attempt":1,"retry_at":"2027-01-15T08:00:05Z","at":"2027-01-15T08:00:04Z"}"#;
        const REFUSED: &str = r#"{"attempt":1,"reason":"credentials","retry_at":"2027-01-15T08:00:02Z",
            "error":{"code":"20003","class":"account","detail":"Authenticate","permanent":false},
            "expires_at":"2027-01-15T09:00:00Z","at":"2027-01-15T08:00:02Z"}"#;
        const PUT_OFF: &str = r#"{"reason":"quiet_hours","until":"2027-01-15T09:00:00Z","at":"2027-01-15T08:00:01Z"}"#;
        const WAITS: &str = r#"{"reason":"waiting_for_account","until":"2027-01-15T08:00:05Z",
            "expires_at":"2027-01-15T09:00:00Z","at":"2027-01-15T08:00:05Z"}"#;
        for (event_type, payload, lane) in [
            ("AttemptAbandoned", CLAIM, "sms"),
            ("AttemptAbandoned", REFUSED, "sms waiting"),
            ("MessageDeferred", PUT_OFF, "sms"),
            ("MessageDeferred", WAITS, "sms waiting"),
        ] {
            for (once, now) in
                [("low", "bulk"), ("normal", "normal"), ("of a later build", "normal")]
            {
                let recorded = recorded(event_type, once, payload);
                let WorkClass { lane: placed, priority } = Messages::place(&recorded);
                assert_eq!((placed, priority), (lane, now), "{payload} {once}");
                let event = recorded.decode::<MessageEvent>().expect("known");
                assert_eq!(Messages::waits_for(&event), None, "{payload}");
            }
        }
    }
}
