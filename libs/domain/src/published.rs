//! What of an event's payload leaves the log.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::kind::event_types;

/// The payload of an event of that type without the fields that stay in the log, and otherwise byte for byte.
/// A type that this build does not know has none.
#[must_use]
pub fn published(event_type: &str, payload: Box<RawValue>) -> Box<RawValue> {
    let known = event_types().find(|known| known.name == event_type);
    let unpublished = known.map_or(&[][..], |known| known.unpublished);
    if unpublished.is_empty() {
        return payload;
    }
    without(unpublished, &payload).unwrap_or(payload)
}

/// None where nothing is to be left out.
fn without(names: &[&str], payload: &RawValue) -> Option<Box<RawValue>> {
    let Fields(mut fields) = serde_json::from_str(payload.get()).ok()?;
    let all = fields.len();
    fields.retain(|(name, _)| !names.contains(&name.as_str()));
    if fields.len() == all {
        return None;
    }
    let field = |(name, value): &(String, &RawValue)| {
        serde_json::to_string(name).ok().map(|name| format!("{name}:{}", value.get()))
    };
    let fields: Option<Vec<String>> = fields.iter().map(field).collect();
    RawValue::from_string(format!("{{{}}}", fields?.join(","))).ok()
}

/// The fields of an object in their order.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(event_type: &str, payload: &str) -> String {
        let payload = RawValue::from_string(payload.to_owned()).expect("JSON");
        published(event_type, payload).get().to_owned()
    }

    #[test]
    fn a_claim_is_shown_without_its_token_and_otherwise_as_it_was_written() {
        let claim = include_str!("../../../schema/events/message/SendAttempted.v1.json").trim();
        let token = r#""token":"00000000-0000-0000-0000-0000c1a10001","#;
        assert!(claim.contains(token), "{claim}");
        assert_eq!(shown("SendAttempted", claim), claim.replace(token, ""));
        let odd = r#"{ "a\"b" : [1, 2] , "token": {"of": "any"}, "é":1.10}"#;
        assert_eq!(shown("SendAttempted", odd), r#"{"a\"b":[1, 2],"é":1.10}"#);
    }

    #[test]
    fn everything_else_is_shown_byte_for_byte() {
        let payload = r#"{ "token" : 1 , "body": "H\u00e9llo" }"#;
        for event_type in ["MessageRequested", "MessageTeleported"] {
            assert_eq!(shown(event_type, payload), payload);
        }
        for payload in [r#"{ "attempt": 1 }"#, "[1, 2]", "null"] {
            assert_eq!(shown("SendAttempted", payload), payload);
        }
    }
}
