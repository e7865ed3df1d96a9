//! The facts about a consent, as the log keeps them. How a shape may change, says
//! [`events!`](crate::events!).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Programme;
use super::words::Confirmed;
use crate::address::Address;
use crate::ids::{ConversationId, MessageId};

/// How it is known what a person wishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = ConsentEvidence)]
pub enum Evidence {
    /// The person wrote a word that means it.
    Message {
        /// The message.
        message_id: MessageId,
        /// The word, as it was compared.
        word: String,
    },
    /// A client of the API says so.
    Request {
        /// What the client noted about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
}

/// A person agreed to be written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ConsentGivenData)]
pub struct ConsentGiven {
    /// Whose consent it is.
    pub address: Address,
    /// What it is for.
    pub programme: Programme,
    /// How that is known.
    pub evidence: Evidence,
    /// Where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A person asked not to be written to any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ConsentWithdrawnData)]
pub struct ConsentWithdrawn {
    /// Whose consent it was.
    pub address: Address,
    /// What it was for.
    pub programme: Programme,
    /// How that is known.
    pub evidence: Evidence,
    /// Where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A provider sends nothing to the address any more. What the person wishes, that does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ConsentBlockedData)]
pub struct ConsentBlocked {
    /// Who is blocked.
    pub address: Address,
    /// For what.
    pub programme: Programme,
    /// The provider.
    pub provider: String,
    /// The account there.
    pub account: String,
    /// The provider's own code or word for it, such as `21610` or `spamreport`.
    pub reason: String,
    /// The message that it was learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The receipt that said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_id: Option<Uuid>,
    /// The conversation of that message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// When it became known.
    pub at: DateTime<Utc>,
}

/// A provider sends to the address again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ConsentUnblockedData)]
pub struct ConsentUnblocked {
    /// Who was blocked.
    pub address: Address,
    /// For what.
    pub programme: Programme,
    /// The provider.
    pub provider: String,
    /// The account there.
    pub account: String,
    /// The provider's own word for it, such as `group_resubscribe` or `START`.
    pub reason: String,
    /// The receipt that said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_id: Option<Uuid>,
    /// The conversation that it was learned in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// When it became known.
    pub at: DateTime<Utc>,
}

/// A word of a person's was answered without anybody asking for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WordAnsweredData)]
pub struct WordAnswered {
    /// Who wrote the word and gets the answer.
    pub address: Address,
    /// The programme that the word is about.
    pub programme: Programme,
    /// The word.
    pub confirms: Confirmed,
    /// The message with the word.
    pub message_id: MessageId,
    /// The message that answers it.
    pub answer_id: MessageId,
    /// Where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// When.
    pub at: DateTime<Utc>,
}

crate::events! {
    /// Every event of a consent's stream.
    pub enum ConsentEvent {
        ConsentGiven,
        ConsentWithdrawn,
        ConsentBlocked,
        ConsentUnblocked,
        WordAnswered,
    }
}
