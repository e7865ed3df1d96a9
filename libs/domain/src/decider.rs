//! The shape every aggregate has: fold history into state, decide on a command.

use crate::events::{DecodeError, EventType};
use crate::ids::ConversationId;
use crate::shape::Shape;

/// One consistency boundary: its stream is folded by [`evolve`](Decider::evolve), and a command is
/// answered by [`decide`](Decider::decide) from that fold alone.
pub trait Decider: Default + Send {
    /// The kind of its streams, as log and subjects name it, such as `message`.
    const KIND: &'static str;

    /// What somebody asks for.
    type Command: Sync;
    /// What happened.
    type Event: DomainEvent;
    /// The domain's "no", with its reason.
    type Rejection: std::error::Error + Send + Sync + 'static;

    /// Decides which events follow from `command`; an empty list means that it has happened already.
    ///
    /// # Errors
    /// The domain's own reason to refuse. It never fails otherwise.
    fn decide(&self, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Applies one recorded event. Total: no history, however odd, makes it fail.
    #[must_use]
    fn evolve(self, event: &Self::Event) -> Self;

    /// What an event is counted as, if it ends something; asked before it is applied.
    fn ending(&self, _event: &Self::Event) -> Option<Ending> {
        None
    }

    /// How the bus and the read side find the events of this stream; asked after the event that is
    /// being recorded has been applied.
    fn routing(&self) -> Routing;
}

/// How something ended, as it is counted. Each value is one of few.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// How, such as `delivered`.
    pub outcome: &'static str,
    /// Of which channel.
    pub channel: &'static str,
    /// By which provider account; `-` where none had to do with it.
    pub account: String,
    /// Of what class the error is; `-` where there is none.
    pub class: &'static str,
}

/// An event of a stream: a named, versioned, serialisable fact.
pub trait DomainEvent: Sized + Send + Sync {
    /// Every type, with its newest version.
    const TYPES: &'static [EventType];

    /// What the newest version of each type looks like, in the order of [`TYPES`](Self::TYPES). None for a kind
    /// that nobody outside is told of.
    #[must_use]
    fn shapes() -> Vec<Shape> {
        Vec::new()
    }

    /// The type's name, as the log and the bus know it, such as `MessageRequested`.
    fn event_type(&self) -> &'static str;

    /// Version of the payload's shape, from 1.
    fn schema_version(&self) -> i16;

    /// The payload as JSON text.
    fn encode(&self) -> String;

    /// Reads a payload of any version that was ever written, upcasting old shapes.
    ///
    /// # Errors
    /// [`DecodeError`] for a type, version or shape that this build does not know. Such an event
    /// halts its reader; it is never skipped.
    fn decode(event_type: &str, schema_version: i16, payload: &str) -> Result<Self, DecodeError>;
}

/// Columns beside the payload that let bus and read side route an event without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routing {
    /// The kind of stream, such as `message`.
    pub aggregate: &'static str,
    /// The conversation that the event belongs to.
    pub conversation_id: Option<ConversationId>,
    /// The channel, such as `sms`.
    pub channel: Option<&'static str>,
    /// The priority, such as `normal`.
    pub priority: Option<&'static str>,
}
