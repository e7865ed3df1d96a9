//! One message as the read model keeps it: what its first event fixes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hatch_domain::address::Address;
use hatch_domain::authentication::Authentication;
use hatch_domain::consent::Programme;
use hatch_domain::consent::words::Suggestion;
use hatch_domain::contact::contact_id;
use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_domain::mailbox::Person;
use hatch_domain::message::event::{MessageEvent, MessageReceived, MessageRequested};
use hatch_domain::{Attachment, Email, Envelope, MailKind};
use hatch_eventstore::Position;
use hatch_eventstore::values::storable;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::visible;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From us.
    Outbound,
    /// To us.
    Inbound,
}

impl Direction {
    /// The direction's name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// The columns that the first event of a message fixes for good.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MessageContent {
    pub(crate) created_position: Position,
    pub(crate) id: MessageId,
    pub(crate) tenant_id: TenantId,
    pub(crate) conversation_id: ConversationId,
    pub(crate) contact_id: Uuid,
    pub(crate) direction: Direction,
    pub(crate) channel: &'static str,
    pub(crate) from: Address,
    pub(crate) to: Vec<Address>,
    pub(crate) cc: Vec<Address>,
    pub(crate) bcc: Vec<Address>,
    /// The mailboxes of ours that belong to its conversation although it is to others.
    pub(crate) copied_to_us: Vec<Address>,
    /// Those whom the conversation that it began in is among, where that is not all of these.
    pub(crate) among: Vec<Address>,
    pub(crate) subject: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) html: Option<String>,
    /// What a mail calls itself, for the mails that answer it.
    pub(crate) mail_id: Option<String>,
    pub(crate) topic: Option<String>,
    pub(crate) attachments: Value,
    pub(crate) metadata: Value,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) scheduled_at: Option<DateTime<Utc>>,
    pub(crate) authentication: Option<Authentication>,
    pub(crate) cut: Option<BTreeMap<String, u64>>,
    /// Those who are shown by a name; none where nobody is.
    pub(crate) people: Option<Vec<Person>>,
    /// None for the default one of the channel.
    pub(crate) programme: Option<Programme>,
    pub(crate) suggests: Option<&'static str>,
    /// None for what a person wrote.
    pub(crate) kind: Option<&'static str>,
    /// None where there is nothing of it.
    pub(crate) mail: Option<MailDetails>,
    /// The part of the text that its sender wrote for it; none where that is all of it.
    pub(crate) visible_body: Option<String>,
    pub(crate) test: bool,
}

/// What only a mail has, as its row keeps it and the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct MailDetails {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reply_to: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) envelope: Option<Envelope>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) signs: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) repeated_id: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) linked_to: Option<ConversationId>,
    /// For the mails that answer it; not shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ours: Vec<Address>,
}

impl MailDetails {
    /// What `email` has of it; none where that is nothing.
    fn of(email: &Email) -> Option<Self> {
        let written = |text: &String| stored(text);
        let envelope = email.envelope.as_ref().map(|envelope| Envelope {
            from: envelope.from.as_ref().map(written),
            to: envelope.to.iter().map(written).collect(),
        });
        let details = Self {
            reply_to: email.reply_to.clone(),
            envelope,
            signs: email.signs.clone(),
            repeated_id: email.repeated_id,
            linked_to: email.linked_to,
            ours: email.ours.clone(),
        };
        Some(details).filter(|details| *details != Self::default())
    }
}

impl MessageContent {
    /// Whether it is for somebody to read: it came in, and no program wrote it by itself.
    pub(crate) fn wants_reader(&self) -> bool {
        let programs = [MailKind::AutoReply, MailKind::Bounce].map(MailKind::as_str);
        let is_by_program = self.kind.is_some_and(|kind| programs.contains(&kind));
        self.direction == Direction::Inbound && !is_by_program
    }

    /// The content of a message whose first event is `event`; none when no message begins with it.
    pub(crate) fn begun_by(
        event: &MessageEvent,
        position: Position,
        id: MessageId,
        tenant_id: TenantId,
    ) -> Option<Self> {
        let begun = match event {
            MessageEvent::MessageRequested(requested) => Begun::from(&**requested),
            MessageEvent::MessageReceived(received) => Begun::from(received),
            _ => return None,
        };
        let no_email = Email::default();
        let email = begun.email.unwrap_or(&no_email);
        let other_party = match begun.direction {
            Direction::Outbound => begun.to.first().unwrap_or(begun.from),
            Direction::Inbound => theirs(begun.from, begun.to, email),
        };
        let visible_body = begun.visible_body(email).as_deref().map(stored);
        Some(Self {
            created_position: position,
            id,
            tenant_id,
            conversation_id: begun.conversation_id,
            contact_id: contact_id(tenant_id, other_party).0,
            direction: begun.direction,
            channel: begun.channel,
            from: begun.from.clone(),
            to: begun.to.to_vec(),
            cc: email.cc.clone(),
            bcc: email.bcc.clone(),
            copied_to_us: email.copied_to_us(begun.to).to_vec(),
            among: email.among.clone(),
            subject: email.subject.as_deref().map(stored),
            body: begun.body.map(stored),
            html: email.html.as_deref().map(stored),
            mail_id: email.mail_id.as_deref().map(stored),
            topic: begun.topic.map(stored),
            attachments: attachments(id, begun.attachments),
            metadata: begun.metadata,
            created_at: begun.at,
            scheduled_at: begun.send_at,
            authentication: email.authentication.clone(),
            cut: Some(&email.cut).filter(|cut| !cut.is_empty()).cloned(),
            people: Some(&email.people).filter(|people| !people.is_empty()).map(|p| shown(p)),
            programme: begun.programme.cloned(),
            suggests: begun.suggests.map(Suggestion::as_str),
            kind: Some(email.kind).filter(|kind| !kind.is_person()).map(MailKind::as_str),
            mail: MailDetails::of(email),
            visible_body,
            test: begun.test,
        })
    }

    /// The columns as a new reading has them, of a message that began at `position`; none for any other event.
    pub(crate) fn reread_by(
        event: &MessageEvent,
        position: Position,
        id: MessageId,
        tenant_id: TenantId,
    ) -> Option<Self> {
        let MessageEvent::MessageReread(reread) = event else { return None };
        let reading = MessageEvent::MessageReceived((*reread.message).clone());
        Self::begun_by(&reading, position, id, tenant_id)
    }

    /// Its header Message-ID.
    pub(crate) fn message_id_header(&self) -> Option<String> {
        self.mail_id.as_ref().map(|mail_id| format!("<{mail_id}>"))
    }

    /// Sender, recipients and whom of us it was copied to, by what they are compared by, each once, sorted bytewise.
    pub(crate) fn participants(&self) -> Vec<String> {
        compared(std::iter::once(&self.from).chain(&self.to).chain(&self.copied_to_us))
    }

    /// Those whom the conversation is among that begins with it, likewise.
    pub(crate) fn conversation_participants(&self) -> Vec<String> {
        if self.among.is_empty() { self.participants() } else { compared(&self.among) }
    }
}

/// What `addresses` are compared by, each once, sorted bytewise.
pub(crate) fn compared<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Vec<String> {
    let mut all: Vec<String> =
        addresses.into_iter().map(|one| one.identity().to_string()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Who is at the other end of a message that came in: its sender, or the first recipient who is none of us, where one of
/// us sent it.
fn theirs<'a>(from: &'a Address, to: &'a [Address], email: &'a Email) -> &'a Address {
    let mut others = to.iter().chain(&email.cc).filter(|one| !email.is_ours(one));
    if email.is_ours(from) { others.next().unwrap_or(from) } else { from }
}

/// What the two events that begin a message have in common.
struct Begun<'a> {
    direction: Direction,
    conversation_id: ConversationId,
    channel: &'static str,
    from: &'a Address,
    to: &'a [Address],
    body: Option<&'a str>,
    attachments: &'a [Attachment],
    email: Option<&'a Email>,
    topic: Option<&'a str>,
    metadata: Value,
    at: DateTime<Utc>,
    send_at: Option<DateTime<Utc>>,
    programme: Option<&'a Programme>,
    suggests: Option<Suggestion>,
    test: bool,
}

impl Begun<'_> {
    /// The part of the text that the sender of `email` wrote for it; none where that is all of it.
    fn visible_body(&self, email: &Email) -> Option<String> {
        let has_parts = visible::has_parts(self.direction.as_str(), self.channel);
        has_parts.then(|| visible::visible_body(email, self.body)).flatten()
    }
}

impl<'a> From<&'a MessageRequested> for Begun<'a> {
    fn from(event: &'a MessageRequested) -> Self {
        Self {
            direction: Direction::Outbound,
            conversation_id: event.conversation_id,
            channel: event.channel.as_str(),
            from: &event.from,
            to: &event.to,
            body: event.body.as_deref(),
            attachments: &event.attachments,
            email: event.email.as_deref(),
            topic: event.topic.as_deref(),
            metadata: json(&event.metadata),
            at: event.at,
            send_at: event.send_at,
            programme: event.programme.as_ref(),
            suggests: None,
            test: event.test,
        }
    }
}

impl<'a> From<&'a MessageReceived> for Begun<'a> {
    fn from(event: &'a MessageReceived) -> Self {
        Self {
            direction: Direction::Inbound,
            conversation_id: event.conversation_id,
            channel: event.channel.as_str(),
            from: &event.from,
            to: &event.to,
            body: event.body.as_deref(),
            attachments: &event.attachments,
            email: event.email.as_deref(),
            topic: event.topic.as_deref(),
            metadata: Value::Object(serde_json::Map::new()),
            at: event.at,
            send_at: None,
            programme: None,
            suggests: event.suggests,
            test: event.test,
        }
    }
}

/// The files that `event` brings to its message.
pub(crate) fn files_of(event: &MessageEvent) -> &[Attachment] {
    match event {
        MessageEvent::MessageRequested(requested) => &requested.attachments,
        MessageEvent::MessageReceived(received) => &received.attachments,
        MessageEvent::MessageReread(reread) => &reread.message.attachments,
        _ => &[],
    }
}

/// The people of a mail as PostgreSQL can keep them.
fn shown(people: &[Person]) -> Vec<Person> {
    people.iter().map(|one| Person { name: stored(&one.name), ..one.clone() }).collect()
}

/// What is known of the files of `message`, with the id of each. A file that is part of the event itself is shown by
/// its size only, so that a list stays a list: the event has it.
fn attachments(message: MessageId, attachments: &[Attachment]) -> Value {
    let shown = attachments.iter().enumerate().map(|(place, attachment)| {
        let known = Attachment { content: None, digest: None, ..attachment.clone() };
        let mut shown = json(&known);
        shown["id"] = attachment.id(message, place).to_string().into();
        if let Some(content) = &attachment.content {
            shown["size_bytes"] = decoded_length(content).into();
        }
        shown
    });
    shown.collect()
}

/// Bytes that a base64 text stands for (RFC 4648, section 4).
fn decoded_length(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("string-keyed structs always serialise")
}

/// A text of an event, as its column takes it.
pub(super) fn stored(text: &str) -> String {
    storable(text).into_owned()
}
