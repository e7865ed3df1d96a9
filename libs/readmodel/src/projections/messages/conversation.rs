//! One conversation as the read model keeps it, folded from the first events of its messages.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use hatch_domain::ids::{ConversationId, MessageId, TenantId};
use hatch_eventstore::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::joined::JoinedMessage;
use super::message::{Direction, MessageContent};

/// Characters of a message's text that a list of conversations shows.
pub const PREVIEW_CHARACTERS_MAX: usize = 140;

/// The message that a list of conversations shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastMessage {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: MessageId,
    /// Which way it goes.
    #[schema(value_type = Direction)]
    pub direction: String,
    /// How it travels.
    #[schema(value_type = hatch_domain::Channel)]
    pub channel: String,
    /// The beginning of the visible part of its text, or else of its subject, on one line, at most 140 characters;
    /// none when it has neither.
    pub preview: Option<String>,
    /// When it was requested or received.
    pub at: DateTime<Utc>,
}

/// A conversation after its latest message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConversationRow {
    pub(crate) id: ConversationId,
    pub(crate) tenant_id: TenantId,
    /// Those of its first message, which its id is computed from. A mail that joins because it
    /// answers one may come from somebody else.
    pub(crate) participants: Vec<String>,
    pub(crate) topic: Option<String>,
    pub(crate) channels: BTreeSet<String>,
    pub(crate) message_count: i64,
    pub(crate) unread_count: i64,
    pub(crate) last_message: LastMessage,
    pub(crate) last_message_position: Position,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl ConversationRow {
    /// The conversation with `message` in it, which is later in the log than all that it had.
    pub(crate) fn with(before: Option<Self>, message: &MessageContent) -> Self {
        let last_message = LastMessage {
            id: message.id,
            direction: message.direction.as_str().to_owned(),
            channel: message.channel.to_owned(),
            preview: preview_of(message),
            at: message.created_at,
        };
        let mut row = before.unwrap_or_else(|| Self {
            id: message.conversation_id,
            tenant_id: message.tenant_id,
            participants: message.conversation_participants(),
            topic: message.topic.clone(),
            channels: BTreeSet::new(),
            message_count: 0,
            unread_count: 0,
            last_message: last_message.clone(),
            last_message_position: message.created_position,
            created_at: message.created_at,
            updated_at: message.created_at,
        });
        row.message_count += 1;
        row.unread_count += i64::from(message.wants_reader());
        row.channels.insert(message.channel.to_owned());
        row.last_message = last_message;
        row.last_message_position = message.created_position;
        row.updated_at = message.created_at;
        row
    }

    /// The conversation with a message in it that began in another one, and that reads like `preview`; later in the log
    /// than all that it had.
    pub(crate) fn joined_by(
        before: Option<Self>,
        joined: &JoinedMessage,
        preview: Option<String>,
    ) -> Self {
        let last_message = LastMessage {
            id: joined.message_id,
            direction: Direction::Inbound.as_str().to_owned(),
            channel: joined.channel.clone(),
            preview,
            at: joined.at,
        };
        let mut row = before.unwrap_or_else(|| Self {
            id: joined.conversation_id,
            tenant_id: joined.tenant_id,
            participants: joined.participants.clone(),
            topic: joined.topic.clone(),
            channels: BTreeSet::new(),
            message_count: 0,
            unread_count: 0,
            last_message: last_message.clone(),
            last_message_position: joined.position,
            created_at: joined.at,
            updated_at: joined.at,
        });
        row.message_count += 1;
        row.unread_count += i64::from(joined.wants_reader);
        row.channels.insert(joined.channel.clone());
        row.last_message = last_message;
        row.last_message_position = joined.position;
        row.updated_at = joined.at;
        row
    }

    /// The conversation, where `message` reads otherwise than it did.
    pub(crate) fn reread(&mut self, message: &MessageContent) {
        if self.last_message.id == message.id {
            self.last_message.preview = preview_of(message);
        }
    }
}

pub(crate) fn preview_of(message: &MessageContent) -> Option<String> {
    let MessageContent { visible_body, body, subject, .. } = message;
    preview_of_texts([visible_body.as_deref(), body.as_deref(), subject.as_deref()])
}

/// The preview of a message with these texts, the best first.
pub(crate) fn preview_of_texts(texts: [Option<&str>; 3]) -> Option<String> {
    texts.into_iter().flatten().find_map(preview)
}

/// The beginning of `text` on one line.
fn preview(text: &str) -> Option<String> {
    // Spaces are folded before the cut, and only as much is read as the cut needs.
    let mut line = String::new();
    let mut left = PREVIEW_CHARACTERS_MAX;
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
            left -= 1;
        }
        line.extend(word.chars().take(left));
        left = left.saturating_sub(word.chars().take(left).count());
        if left <= 1 {
            break;
        }
    }
    (!line.is_empty()).then_some(line)
}
