//! How an aggregate declares its events: names, versions and upcasters in one place.
//!
//! Events are forever. A new shape is a new version: its entry names one more upcaster, which turns the
//! payload of the version before into the new one. Only a field that may be absent, and then means what
//! its absence meant before, joins an existing version.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Turns the payload of one version of a type into the payload of the next. Pure and total: what it cannot
/// read it leaves as it is, and reading the newest shape then fails.
pub type Upcaster = fn(Value) -> Value;

/// A type of event, with the version in which this build writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventType {
    /// The type's name, such as `MessageRequested`.
    pub name: &'static str,
    /// The newest version, from 1. This build reads every version up to it.
    pub version: i16,
    /// Fields of the payload that only the log has: nobody outside is told them
    /// ([`published`](crate::published::published)).
    pub unpublished: &'static [&'static str],
}

/// An event that this build cannot read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No such event type and version is known here; a newer hatch wrote it.
    #[error("event type {event_type} version {schema_version} is unknown to this build")]
    Unknown {
        /// The type as recorded.
        event_type: String,
        /// The version as recorded.
        schema_version: i16,
    },
    /// The payload does not have the shape of its type and version.
    #[error("payload of {event_type} version {schema_version} does not have its shape")]
    Shape {
        /// The type as recorded.
        event_type: String,
        /// The version as recorded.
        schema_version: i16,
        /// What serde missed.
        #[source]
        source: serde_json::Error,
    },
}

impl DecodeError {
    /// No such event type and version is known to this build.
    #[must_use]
    pub fn unknown(event_type: &str, schema_version: i16) -> Self {
        Self::Unknown { event_type: event_type.to_owned(), schema_version }
    }
}

/// The newest version of a type that has `upcasters` upcasters: one leads from each version to the next.
#[doc(hidden)]
#[must_use]
pub const fn version(upcasters: &[Upcaster]) -> i16 {
    upcasters.len() as i16 + 1
}

/// The payload of an event, as it goes into the log.
#[doc(hidden)]
pub fn write<E: Serialize>(event: &E) -> String {
    serde_json::to_string(event).expect("string-keyed structs always serialise")
}

/// Reads a payload of `schema_version` as the newest shape.
///
/// # Errors
/// [`DecodeError`] for a version that this build does not know, and for a payload without its shape.
#[doc(hidden)]
pub fn read<E: DeserializeOwned>(
    event_type: &str,
    schema_version: i16,
    payload: &str,
    upcasters: &[Upcaster],
) -> Result<E, DecodeError> {
    let before = usize::try_from(schema_version).ok().and_then(|version| version.checked_sub(1));
    let Some(missing) = before.and_then(|before| upcasters.get(before..)) else {
        return Err(DecodeError::unknown(event_type, schema_version));
    };
    let read = if missing.is_empty() {
        serde_json::from_str(payload)
    } else {
        let upcast = |value: Value| missing.iter().fold(value, |value, upcaster| upcaster(value));
        serde_json::from_str(payload).map(upcast).and_then(serde_json::from_value)
    };
    read.map_err(|source| DecodeError::Shape {
        event_type: event_type.to_owned(),
        schema_version,
        source,
    })
}

/// Declares the enum of an aggregate's events and implements [`DomainEvent`](crate::DomainEvent) for it.
///
/// Each entry is the name of a documented struct, which derives [`ToSchema`](utoipa::ToSchema). `from [upcast_1, upcast_2]` lists an upcaster for each
/// version before the newest one, oldest first. `without [field]` lists fields that stay in the log. `as Held`
/// says how the enum holds it, if not by value.
///
/// ```
/// use hatch_domain::DomainEvent;
/// use serde::{Deserialize, Serialize};
/// use serde_json::{Value, json};
/// use utoipa::ToSchema;
///
/// #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
/// pub struct Renamed { name: String }
///
/// // Version 1 had a first and a last name.
/// fn join_names(mut old: Value) -> Value {
///     let name = format!("{} {}", old["first"].as_str().unwrap_or(""), old["last"].as_str().unwrap_or(""));
///     old["name"] = json!(name);
///     old
/// }
///
/// hatch_domain::events! {
///     /// Every event of a person's stream.
///     pub enum PersonEvent { Renamed from [join_names] }
/// }
///
/// let old = PersonEvent::decode("Renamed", 1, r#"{"first": "Ada", "last": "Lovelace"}"#).expect("it is known");
/// assert_eq!(old, Renamed { name: "Ada Lovelace".to_owned() }.into());
/// assert_eq!(old.schema_version(), 2);
/// ```
#[macro_export]
macro_rules! events {
    (@held $name:ident) => { $name };
    (@held $name:ident $held:ty) => { $held };
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $events:ident {
            $($name:ident $(from [$($upcaster:path),+ $(,)?])? $(without [$($field:ident),+])? $(as $held:ty)?),+
            $(,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq)]
        $visibility enum $events {
            $(#[doc = concat!("See [`", stringify!($name), "`].")]
            $name($crate::events!(@held $name $($held)?)),)+
        }

        $(impl From<$name> for $events {
            fn from(event: $name) -> Self {
                Self::$name(event.into())
            }
        })+

        impl $crate::DomainEvent for $events {
            const TYPES: &'static [$crate::EventType] = &[$($crate::EventType {
                name: stringify!($name),
                version: $crate::events::version(&[$($($upcaster),+)?]),
                unpublished: &[$($(stringify!($field)),+)?],
            },)+];

            fn shapes() -> Vec<$crate::shape::Shape> {
                vec![$($crate::shape::Shape::of::<$name>(),)+]
            }

            fn event_type(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)+
                }
            }

            fn schema_version(&self) -> i16 {
                match self {
                    $(Self::$name(_) => $crate::events::version(&[$($($upcaster),+)?]),)+
                }
            }

            fn encode(&self) -> String {
                match self {
                    $(Self::$name(event) => $crate::events::write::<$name>(event),)+
                }
            }

            fn decode(
                event_type: &str,
                schema_version: i16,
                payload: &str,
            ) -> Result<Self, $crate::DecodeError> {
                match event_type {
                    $(stringify!($name) => $crate::events::read::<$name>(
                        event_type,
                        schema_version,
                        payload,
                        &[$($($upcaster),+)?],
                    )
                    .map(Self::from),)+
                    _ => Err($crate::DecodeError::unknown(event_type, schema_version)),
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;
    use utoipa::ToSchema;

    use super::*;
    use crate::DomainEvent;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
    struct Moved {
        metres: i64,
        on_foot: bool,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
    struct Rested {}

    fn metres_for_kilometres(mut payload: Value) -> Value {
        payload["metres"] = json!(payload["kilometres"].as_i64().map(|length| length * 1_000));
        payload
    }

    fn all_walked(mut payload: Value) -> Value {
        payload["on_foot"] = json!(true);
        payload
    }

    crate::events! {
        /// Every event of a walk.
        enum WalkEvent {
            Moved from [metres_for_kilometres, all_walked] as Box<Moved>,
            Rested,
        }
    }

    #[test]
    fn every_older_version_is_read_as_the_newest_one() {
        let walked: WalkEvent = Moved { metres: 3_000, on_foot: true }.into();
        for (version, payload) in [
            (1, r#"{"kilometres": 3}"#),
            (2, r#"{"metres": 3000}"#),
            (3, r#"{"metres": 3000, "on_foot": true}"#),
        ] {
            let read = WalkEvent::decode("Moved", version, payload);
            assert_eq!(read.expect("readable"), walked, "{version}");
        }
        assert_eq!((walked.event_type(), walked.schema_version()), ("Moved", 3));
        assert_eq!(walked.encode(), r#"{"metres":3000,"on_foot":true}"#);
    }

    #[test]
    fn each_type_says_its_newest_version() {
        let types: Vec<_> = WalkEvent::TYPES.iter().map(|one| (one.name, one.version)).collect();
        assert_eq!(types, [("Moved", 3), ("Rested", 1)]);
        assert_eq!(WalkEvent::from(Rested {}).schema_version(), 1);
    }

    #[test]
    fn what_this_build_does_not_know_is_an_error_and_no_guess() {
        for (name, version) in
            [("Moved", 0), ("Moved", -1), ("Moved", 4), ("Rested", 2), ("Flew", 1)]
        {
            let read = WalkEvent::decode(name, version, "{}");
            assert!(matches!(read, Err(DecodeError::Unknown { .. })), "{name} {version}: {read:?}");
        }
        for (version, payload) in [(1, r#"{"kilometres": "far"}"#), (3, "{}"), (3, "[")] {
            let read = WalkEvent::decode("Moved", version, payload);
            assert!(matches!(read, Err(DecodeError::Shape { .. })), "{payload}: {read:?}");
        }
    }
}
