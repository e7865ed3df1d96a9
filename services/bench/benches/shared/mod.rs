//! What the benchmarks work on: messages that go well, as the domain decides them.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};

use hatch_domain::ids::TenantId;
use hatch_domain::message::Message;
use hatch_domain::message::command::{
    AttemptOutcome, MessageCommand, ReceiptOutcome, RecordOutcome, RecordReceipt, StartAttempt,
};
use hatch_domain::message::event::MessageRequested;
use hatch_domain::{Decider, DomainEvent, Environment};
use hatch_eventstore::testing::Template;
use hatch_eventstore::{Metadata, NewEvent, Position, RecordedEvent, SystemEnvironment};
use serde_json::value::RawValue;
use uuid::Uuid;

/// A database with every table of hatch.
pub(crate) const TEMPLATE: Template = Template { name: "bench", schemas: hatch::schemas, sql: "" };

pub(crate) const TENANT: TenantId = TenantId::DEFAULT;

/// Conversations that the messages belong to, one for each recipient.
const CONVERSATIONS: u32 = 1_000;

/// Events of a message that goes well.
pub(crate) const LIFE_EVENTS: usize = 4;

/// One message from request to delivery.
pub(crate) struct Life {
    pub(crate) stream_id: Uuid,
    pub(crate) events: Vec<NewEvent>,
}

/// The request of the `n`th message: 20 to 320 characters, as `hatch bench` sends them.
pub(crate) fn request(n: u32) -> MessageRequested {
    let to = format!("+1804555{:04}", n % CONVERSATIONS);
    let length = 20 + n.wrapping_mul(2_654_435_761) as usize % 301;
    MessageRequested {
        body: Some("x".repeat(length)),
        ..hatch_domain::testing::request_to(&to, at(n))
    }
}

fn at(n: u32) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::milliseconds(n.into())
}

/// What happens to the `n`th message, in order.
pub(crate) fn commands(n: u32) -> [MessageCommand; LIFE_EVENTS] {
    let (at, token) = (at(n), SystemEnvironment.new_id());
    let provider_message_id = format!("SM{:032x}", token.as_u128());
    [
        MessageCommand::Request(request(n).into()),
        MessageCommand::StartAttempt(StartAttempt {
            provider: "twilio".to_owned(),
            account: "AC00000000000000000000000000000000".to_owned(),
            choice: None,
            token,
            call_before: at + Duration::seconds(20),
            lease_until: at + Duration::seconds(30),
            at,
        }),
        MessageCommand::RecordOutcome(RecordOutcome {
            attempt: 1,
            token,
            outcome: AttemptOutcome::Accepted {
                provider_message_id: provider_message_id.clone(),
                segments: Some(1),
            },
            at,
        }),
        MessageCommand::RecordReceipt(RecordReceipt {
            attempt: Some(1),
            provider_message_id,
            receipt_id: SystemEnvironment.new_id(),
            recipient: None,
            outcome: ReceiptOutcome::Delivered,
            at,
        }),
    ]
}

/// The life of the `n`th message.
pub(crate) fn life(n: u32) -> Life {
    let (stream_id, mut message) = (SystemEnvironment.new_id(), Message::default());
    let mut events = Vec::with_capacity(LIFE_EVENTS);
    for command in commands(n) {
        for event in message.decide(&command).expect("a message that goes well") {
            message = message.evolve(&event);
            events.push(NewEvent {
                event_id: SystemEnvironment.new_id(),
                event_type: event.event_type(),
                schema_version: event.schema_version(),
                routing: message.routing(),
                metadata: Metadata {
                    correlation_id: stream_id,
                    causation_id: None,
                    actor: "benchmark".to_owned(),
                    traceparent: Some(format!("00-{:032x}-{n:016x}-01", stream_id.as_u128())),
                    request_id: None,
                },
                payload: event.encode(),
            });
        }
    }
    assert_eq!(events.len(), LIFE_EVENTS, "a message that goes well");
    Life { stream_id, events }
}

/// The lives of `messages` messages from the `first` on, side by side, as the log would have them from
/// the position after `after` on.
pub(crate) fn page(after: Position, first: u32, messages: u32) -> Vec<Arc<RecordedEvent>> {
    let lives: Vec<Life> = (first..first + messages).map(life).collect();
    let mut position = after;
    let mut page = Vec::with_capacity(lives.len() * LIFE_EVENTS);
    for step in 0..LIFE_EVENTS {
        for Life { stream_id, events } in &lives {
            position = position.next();
            page.push(Arc::new(recorded(position, *stream_id, step, &events[step])));
        }
    }
    page
}

fn recorded(position: Position, stream_id: Uuid, step: usize, event: &NewEvent) -> RecordedEvent {
    RecordedEvent {
        position,
        stream_id,
        version: i64::try_from(step + 1).expect("a few"),
        tenant_id: TENANT.0,
        event_id: event.event_id,
        event_type: event.event_type.to_owned(),
        schema_version: event.schema_version,
        epoch: 1,
        recorded_at: SystemEnvironment.now(),
        aggregate: event.routing.aggregate.to_owned(),
        conversation_id: event.routing.conversation_id.map(|id| id.0),
        channel: event.routing.channel.map(str::to_owned),
        priority: event.routing.priority.map(str::to_owned),
        metadata: event.metadata.clone(),
        payload: RawValue::from_string(event.payload.clone()).expect("JSON"),
    }
}
