//! What can be said to a consent. Each command carries the fact that it claims; a consent refuses none.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::event::{
    ConsentBlocked, ConsentGiven, ConsentUnblocked, ConsentWithdrawn, Evidence, WordAnswered,
};
use super::{Blocker, Programme, Wish};
use crate::address::Address;
use crate::ids::{ConversationId, MessageId};

/// A command to one consent.
#[derive(Debug, Clone)]
pub enum ConsentCommand {
    /// The person agrees.
    Give(ConsentGiven),
    /// The person takes a withdrawal back. Where there is none, this says nothing: a `YES` may answer any
    /// question.
    GiveBack(ConsentGiven),
    /// The person withdraws.
    Withdraw(ConsentWithdrawn),
    /// A provider blocks the address.
    Block(ConsentBlocked),
    /// A provider lifts its block.
    Unblock(ConsentUnblocked),
    /// A word of the person's is to be answered. Where it had its answers, this says nothing.
    Answer(WordAnswered),
}

/// Why a consent refuses a command: it never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConsentRejection {}

/// What somebody says of a person's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whose wish it is.
    pub address: Address,
    /// What it is about.
    pub programme: Programme,
    /// How it is known.
    pub evidence: Evidence,
    /// Where it was said.
    pub conversation_id: Option<ConversationId>,
    /// When it was said.
    pub at: DateTime<Utc>,
}

/// What a provider reports of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// Whom it sends nothing to, or sends to again.
    pub address: Address,
    /// For what.
    pub programme: Programme,
    /// Who says so.
    pub blocker: Blocker,
    /// The provider's own code or word for it.
    pub reason: String,
    /// The message that it was learned from.
    pub message_id: Option<MessageId>,
    /// The receipt that said so.
    pub receipt_id: Option<Uuid>,
    /// The conversation that it was learned in.
    pub conversation_id: Option<ConversationId>,
    /// When it became known.
    pub at: DateTime<Utc>,
}

impl Said {
    /// The person has that wish.
    #[must_use]
    pub fn wishes(self, wish: Wish) -> ConsentCommand {
        match wish {
            Wish::OptedIn => ConsentCommand::Give(self.given()),
            Wish::OptedOut => {
                let Self { address, programme, evidence, conversation_id, at } = self;
                let withdrawn =
                    ConsentWithdrawn { address, programme, evidence, conversation_id, at };
                ConsentCommand::Withdraw(withdrawn)
            }
        }
    }

    /// The person takes a withdrawal back, if there is one.
    #[must_use]
    pub fn takes_back(self) -> ConsentCommand {
        ConsentCommand::GiveBack(self.given())
    }

    fn given(self) -> ConsentGiven {
        let Self { address, programme, evidence, conversation_id, at } = self;
        ConsentGiven { address, programme, evidence, conversation_id, at }
    }
}

impl Reported {
    /// The provider sends nothing to the address.
    #[must_use]
    pub fn blocks(self) -> ConsentCommand {
        let Blocker { provider, account } = self.blocker;
        ConsentCommand::Block(ConsentBlocked {
            address: self.address,
            programme: self.programme,
            provider,
            account,
            reason: self.reason,
            message_id: self.message_id,
            receipt_id: self.receipt_id,
            conversation_id: self.conversation_id,
            at: self.at,
        })
    }

    /// The provider sends to the address again.
    #[must_use]
    pub fn lifts(self) -> ConsentCommand {
        let Blocker { provider, account } = self.blocker;
        ConsentCommand::Unblock(ConsentUnblocked {
            address: self.address,
            programme: self.programme,
            provider,
            account,
            reason: self.reason,
            receipt_id: self.receipt_id,
            conversation_id: self.conversation_id,
            at: self.at,
        })
    }
}
