//! Consent: whether an address may be written to for a purpose.
//!
//! Two facts are kept apart and both must allow a message: the *wish* that the person expressed, and the
//! *blocks* that providers hold against the address. A provider's block is lifted by that provider alone,
//! whatever the person wishes.
//!
//! There is a stream for each address and programme, so that the claim of an attempt can guard it: a
//! withdrawal that is committed is never overtaken by a send.

mod brake;
pub mod command;
mod decide;
pub mod event;
mod evolve;
mod programme;
#[cfg(test)]
mod tests;
pub mod words;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::brake::Answers;
use self::command::{ConsentCommand, ConsentRejection};
use self::event::ConsentEvent;
pub use self::programme::{Programme, ProgrammeError};
use crate::address::Address;
use crate::decider::{Decider, Routing};
use crate::ids::{ConsentId, ConversationId, TenantId};

/// The aggregate's name in the log and in subjects.
pub const AGGREGATE: &str = "consent";

/// Namespace of [`consent_id`]: a UUIDv4 drawn once for hatch.
const NAMESPACE: Uuid = Uuid::from_u128(0x1b7e_53d0_8c24_4f96_a5e1_70c9_d248_3ba6);

/// The stream of an address's consent to a programme: a UUIDv5, so that whoever claims an attempt knows the
/// stream without a look-up.
#[must_use]
pub fn consent_id(tenant: TenantId, address: &Address, programme: &Programme) -> ConsentId {
    // A withdrawal must not miss a mailbox because it was written otherwise.
    let name = format!("{tenant}\n{}\n{}", programme.as_str(), address.identity());
    ConsentId(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
}

/// The consent of one address to one programme, folded from its stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consent {
    wish: Option<(Wish, DateTime<Utc>)>,
    blocks: BTreeMap<Blocker, DateTime<Utc>>,
    /// When each account that blocks no more said so last.
    lifted: BTreeMap<Blocker, DateTime<Utc>>,
    /// The receipts that changed it: one that comes again changes nothing.
    receipts: BTreeSet<Uuid>,
    /// When the words of the person were answered.
    answers: Answers,
    /// Of the latest event.
    conversation_id: Option<ConversationId>,
}

/// What a person wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To be written to.
    OptedIn,
    /// Not to be.
    OptedOut,
}

impl Wish {
    /// The wish's name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OptedIn => "opted_in",
            Self::OptedOut => "opted_out",
        }
    }
}

/// A provider account that sends nothing to the address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocker {
    /// The provider, such as `twilio`.
    pub provider: String,
    /// The account there.
    pub account: String,
}

impl Blocker {
    /// That account of that provider.
    #[must_use]
    pub fn of(provider: &str, account: &str) -> Self {
        Self { provider: provider.to_owned(), account: account.to_owned() }
    }
}

/// What keeps a message from being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance<'a> {
    /// The person does not wish it.
    Wish,
    /// A provider does not do it.
    Block(&'a Blocker),
}

impl Consent {
    /// What the person wishes and since when; none where it never said.
    #[must_use]
    pub const fn wish(&self) -> Option<(Wish, DateTime<Utc>)> {
        self.wish
    }

    /// Who blocks the address, and since when.
    pub fn blocks(&self) -> impl Iterator<Item = (&Blocker, DateTime<Utc>)> {
        self.blocks.iter().map(|(blocker, since)| (blocker, *since))
    }

    /// What forbids a message; none where it may be sent. Without a word of anybody it may.
    #[must_use]
    pub fn hindrance(&self) -> Option<Hindrance<'_>> {
        if matches!(self.wish, Some((Wish::OptedOut, _))) {
            return Some(Hindrance::Wish);
        }
        self.blocks.keys().next().map(Hindrance::Block)
    }

    /// What forbids a message of a programme of its own, where this is the consent to the default programme of the
    /// channel: a word and a block are about all that is sent by it. A person who agreed to that programme after
    /// the withdrawal agreed to it all the same.
    #[must_use]
    pub fn hindrance_of<'a>(&'a self, named: &'a Self) -> Option<Hindrance<'a>> {
        let withdrawn = match (self.wish, named.wish) {
            (_, Some((Wish::OptedOut, _))) | (Some((Wish::OptedOut, _)), None) => true,
            (Some((Wish::OptedOut, at)), Some((Wish::OptedIn, since))) => since <= at,
            (Some((Wish::OptedIn, _)) | None, _) => false,
        };
        if withdrawn {
            return Some(Hindrance::Wish);
        }
        self.blocks.keys().chain(named.blocks.keys()).next().map(Hindrance::Block)
    }
}

impl Decider for Consent {
    const KIND: &'static str = AGGREGATE;

    type Command = ConsentCommand;
    type Event = ConsentEvent;
    type Rejection = ConsentRejection;

    fn decide(&self, command: &ConsentCommand) -> Result<Vec<ConsentEvent>, ConsentRejection> {
        Ok(self.decide_command(command))
    }

    fn evolve(self, event: &ConsentEvent) -> Self {
        self.after(event)
    }

    fn routing(&self) -> Routing {
        Routing {
            aggregate: Self::KIND,
            conversation_id: self.conversation_id,
            channel: None,
            priority: None,
        }
    }
}
