//! Histories for tests: a log in memory, written one event at a time.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use hatch_domain::address::Address;
use hatch_domain::conversation::conversation_id;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::AGGREGATE;
use hatch_domain::message::event::{
    MessageDelivered, MessageEvent, MessageFailed, MessageJoinedConversation, MessageReceived,
    MessageRequested, MessageReread, MessageSent, MessageUndelivered, SendAttempted, SendFailed,
};
use hatch_domain::{Channel, DomainEvent, ErrorClass, MailKind, SendError};
use hatch_eventstore::{Metadata, Position, RecordedEvent};
use serde_json::value::RawValue;
use uuid::Uuid;

pub(crate) const TENANT: TenantId = TenantId::DEFAULT;
pub(crate) const OTHER_TENANT: TenantId = TenantId(Uuid::from_u128(2));
/// An address of the tenant's own, in every conversation.
pub(crate) const OURS: &str = "+12016661234";
pub(crate) const ACCOUNT: &str = "AC1";

pub(crate) fn phone(text: &str) -> Address {
    Address::phone(text).expect("a possible number")
}

/// The `n`th customer's phone.
pub(crate) fn customer(n: u32) -> Address {
    phone(&format!("+1804555{n:04}"))
}

/// When the event at `position` happened: a second apart.
pub(crate) fn at(position: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::seconds(position)
}

pub(crate) fn requested(tenant: TenantId, from: &Address, to: &Address) -> MessageRequested {
    MessageRequested {
        conversation_id: conversation_id(tenant, [from, to], None),
        from: from.clone(),
        to: vec![to.clone()],
        metadata: [("order".to_owned(), "42".into())].into(),
        ..hatch_domain::testing::request(at(0))
    }
}

pub(crate) fn received(tenant: TenantId, from: &Address, to: &Address) -> MessageReceived {
    MessageReceived {
        conversation_id: conversation_id(tenant, [from, to], None),
        channel: Channel::Sms,
        provider: "twilio".to_owned(),
        account: ACCOUNT.to_owned(),
        provider_message_id: "SMinbound".to_owned(),
        from: from.clone(),
        to: vec![to.clone()],
        body: Some("Hi back".to_owned()),
        attachments: Vec::new(),
        email: None,
        topic: None,
        segments: Some(1),
        suggests: None,
        test: false,
        at: at(0),
    }
}

/// What brings a message into the conversation of `from` with `mailbox`.
pub(crate) fn joined(tenant: TenantId, from: &Address, mailbox: &Address) -> MessageEvent {
    MessageJoinedConversation {
        conversation_id: conversation_id(tenant, [from, mailbox], None),
        mailbox: mailbox.clone(),
        participants: vec![from.clone(), mailbox.clone()],
        topic: None,
        kind: MailKind::Person,
        at: at(0),
    }
    .into()
}

/// Another reading of what [`received`] has.
pub(crate) fn reread(tenant: TenantId, from: &Address, to: &Address, body: &str) -> MessageEvent {
    let message = MessageReceived { body: Some(body.to_owned()), ..received(tenant, from, to) };
    MessageReread { message: Box::new(message), at: at(0) }.into()
}

pub(crate) fn attempted(attempt: u32) -> MessageEvent {
    SendAttempted {
        attempt,
        provider: "twilio".to_owned(),
        account: ACCOUNT.to_owned(),
        choice: None,
        token: Some(Uuid::from_u128(7)),
        call_before: at(1_000),
        lease_until: at(2_000),
        at: at(0),
    }
    .into()
}

pub(crate) fn sent(attempt: u32) -> MessageEvent {
    let provider_message_id = format!("SM{attempt}");
    MessageSent { attempt, provider_message_id, segments: Some(2), at: at(0) }.into()
}

pub(crate) fn delivered(attempt: u32) -> MessageEvent {
    let provider_message_id = format!("SM{attempt}");
    let receipt_id = Uuid::from_u128(3);
    MessageDelivered { attempt, provider_message_id, receipt_id, recipient: None, at: at(0) }.into()
}

pub(crate) fn undelivered(attempt: u32) -> MessageEvent {
    MessageUndelivered {
        attempt,
        provider_message_id: format!("SM{attempt}"),
        receipt_id: Uuid::from_u128(4),
        error: error("30003", true),
        recipient: None,
        bounced: false,
        at: at(0),
    }
    .into()
}

pub(crate) fn send_failed(attempt: u32, retry_at: Option<DateTime<Utc>>) -> MessageEvent {
    SendFailed { attempt, error: error("20500", false), retry_at, at: at(0) }.into()
}

pub(crate) fn failed(attempt: u32) -> MessageEvent {
    let (error, receipt_id, recipient) = (error("30008", true), None, None);
    MessageFailed { attempt, error, receipt_id, recipient, at: at(0) }.into()
}

pub(crate) fn error(code: &str, permanent: bool) -> SendError {
    SendError {
        code: code.to_owned(),
        class: ErrorClass::default(),
        detail: format!("because of {code}"),
        permanent,
    }
}

/// A log in memory.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) events: Vec<Arc<RecordedEvent>>,
    versions: HashMap<Uuid, i64>,
}

impl History {
    /// Records `event` of message `message` of `tenant` at the next position; it happened [`at`] that
    /// position, whatever it says itself.
    pub(crate) fn record(
        &mut self,
        tenant: TenantId,
        message: u128,
        event: impl Into<MessageEvent>,
    ) {
        let position = self.next_position();
        let event = happened_at(event.into(), at(position.0));
        self.push(tenant, message, AGGREGATE, event.event_type(), &event.encode());
    }

    /// Records an event of any kind at the next position.
    pub(crate) fn push(
        &mut self,
        tenant: TenantId,
        stream: u128,
        aggregate: &str,
        event_type: &str,
        payload: &str,
    ) {
        let position = self.next_position();
        let stream_id = id(stream).0;
        let version = self.versions.entry(stream_id).or_default();
        *version += 1;
        self.events.push(Arc::new(RecordedEvent {
            position,
            stream_id,
            version: *version,
            tenant_id: tenant.0,
            event_id: Uuid::from_u128(u128::from(position.0.unsigned_abs())),
            event_type: event_type.to_owned(),
            schema_version: 1,
            epoch: 1,
            recorded_at: at(position.0),
            aggregate: aggregate.to_owned(),
            conversation_id: None,
            channel: None,
            priority: None,
            metadata: Metadata::default(),
            payload: RawValue::from_string(payload.to_owned()).expect("payloads are JSON"),
        }));
    }

    fn next_position(&self) -> Position {
        self.events.last().map_or(Position(1), |event| event.position.next())
    }
}

/// The id of the `n`th message.
pub(crate) fn id(n: u128) -> MessageId {
    MessageId(Uuid::from_u128(0x5000_0000 + n))
}

fn happened_at(event: MessageEvent, at: DateTime<Utc>) -> MessageEvent {
    let mut payload: serde_json::Value =
        serde_json::from_str(&event.encode()).expect("an event encodes as JSON");
    payload["at"] = serde_json::to_value(at).expect("a time is JSON");
    MessageEvent::decode(event.event_type(), event.schema_version(), &payload.to_string())
        .expect("an event decodes")
}
