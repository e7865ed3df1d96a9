//! Every kind of stream that this build knows: the one list by which events are read whose kind only the
//! log says.

use crate::account::Account;
use crate::api_key::ApiKey;
use crate::carrier::Carrier;
use crate::consent::Consent;
use crate::decider::{Decider, DomainEvent};
use crate::events::{DecodeError, EventType};
use crate::member::Member;
use crate::message::Message;
use crate::pool::Pool;
use crate::route::Route;
use crate::shape::Shape;
use crate::tenant::Tenant;

/// Every kind. A new aggregate is one more line.
pub static KINDS: &[Kind] = &[
    Kind::of::<Message>(),
    Kind::of::<Consent>(),
    Kind::of::<Tenant>(),
    Kind::of::<ApiKey>(),
    Kind::of::<Member>(),
    Kind::of::<Account>(),
    Kind::of::<Carrier>(),
    Kind::of::<Route>(),
    Kind::of::<Pool>(),
];

/// A kind of stream, and what its events are.
#[derive(Debug)]
pub struct Kind {
    /// Its name in log and subjects, such as `message`.
    pub name: &'static str,
    /// The types of its events.
    pub event_types: &'static [EventType],
    decode: fn(&str, i16, &str) -> Result<CurrentEvent, DecodeError>,
    shapes: fn() -> Vec<Shape>,
}

/// An event of any kind in the shape in which this build writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentEvent {
    /// The type's name.
    pub event_type: &'static str,
    /// The newest version of the type.
    pub schema_version: i16,
    /// The payload as JSON text.
    pub payload: String,
}

impl Kind {
    const fn of<D: Decider>() -> Self {
        Self {
            name: D::KIND,
            event_types: <D::Event as DomainEvent>::TYPES,
            decode: decode::<D::Event>,
            shapes: <D::Event as DomainEvent>::shapes,
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// Reads a payload of any version that was ever written.
    ///
    /// # Errors
    /// [`DecodeError`] for a type, version or shape that this build does not know.
    pub fn decode_any(
        &self,
        event_type: &str,
        schema_version: i16,
        payload: &str,
    ) -> Result<CurrentEvent, DecodeError> {
        (self.decode)(event_type, schema_version, payload)
    }

    /// What the newest version of each type of its events looks like outside, in the order of `event_types`.
    #[must_use]
    pub fn shapes(&self) -> Vec<Shape> {
        (self.shapes)()
    }

    /// Whether this build reads that version of that type in streams of this kind.
    #[must_use]
    pub fn reads(&self, event_type: &str, schema_version: i16) -> bool {
        let known = |known: &EventType| {
            known.name == event_type && (1..=known.version).contains(&schema_version)
        };
        self.event_types.iter().any(known)
    }
}

/// The types of the events of every kind. No two kinds have an event of the same name.
pub fn event_types() -> impl Iterator<Item = &'static EventType> {
    KINDS.iter().flat_map(|kind| kind.event_types)
}

fn decode<E: DomainEvent>(
    event_type: &str,
    schema_version: i16,
    payload: &str,
) -> Result<CurrentEvent, DecodeError> {
    let event = E::decode(event_type, schema_version, payload)?;
    Ok(CurrentEvent {
        event_type: event.event_type(),
        schema_version: event.schema_version(),
        payload: event.encode(),
    })
}
