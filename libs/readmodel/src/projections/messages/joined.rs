//! Messages that belong to further conversations than the one that they began in.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_domain::message::event::MessageJoinedConversation;
use hatch_domain::{Channel, MailKind};
use hatch_eventstore::Position;

use super::message::{compared, stored};

/// A message that joins a conversation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JoinedMessage {
    /// Its place in the conversation: the event that says so.
    pub(crate) position: Position,
    /// Its first event.
    pub(crate) created_position: Position,
    pub(crate) message_id: MessageId,
    pub(crate) tenant_id: TenantId,
    pub(crate) conversation_id: ConversationId,
    /// As it is compared.
    pub(crate) mailbox: String,
    /// Likewise, each once, sorted bytewise.
    pub(crate) participants: Vec<String>,
    pub(crate) topic: Option<String>,
    pub(crate) channel: String,
    pub(crate) wants_reader: bool,
    pub(crate) at: DateTime<Utc>,
}

impl JoinedMessage {
    /// What `event`, at `position`, says of the message that `began` there.
    pub(crate) fn by(
        event: &MessageJoinedConversation,
        position: Position,
        (created_position, message_id, tenant_id): (Position, MessageId, TenantId),
    ) -> Self {
        Self {
            position,
            created_position,
            message_id,
            tenant_id,
            conversation_id: event.conversation_id,
            mailbox: event.mailbox.identity().to_string(),
            participants: compared(&event.participants),
            topic: event.topic.as_deref().map(stored),
            // Only mails reach several mailboxes.
            channel: Channel::Email.as_str().to_owned(),
            wants_reader: !matches!(event.kind, MailKind::AutoReply | MailKind::Bounce),
            at: event.at,
        }
    }
}

/// What the tables tell of messages that a page goes on with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Elsewhere {
    /// How those read that join a conversation.
    pub(crate) previews: BTreeMap<MessageId, Option<String>>,
    /// The conversations that those have joined which are read again.
    pub(crate) joined: Vec<(MessageId, ConversationId)>,
}

impl Elsewhere {
    pub(crate) fn preview_of(&self, id: MessageId) -> Option<String> {
        self.previews.get(&id).cloned().flatten()
    }

    pub(crate) fn conversations_of(&self, id: MessageId) -> impl Iterator<Item = ConversationId> {
        let of_it = self.joined.iter().filter(move |(message_id, _)| *message_id == id);
        of_it.map(|(_, conversation_id)| *conversation_id)
    }

    pub(crate) fn conversations(&self) -> impl Iterator<Item = ConversationId> {
        self.joined.iter().map(|(_, conversation_id)| *conversation_id)
    }
}
