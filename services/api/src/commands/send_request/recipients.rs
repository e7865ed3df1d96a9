//! One address or a list of them.

use std::collections::HashSet;

use hatch_domain::address::{Address, AddressError};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::errors::Errors;
use crate::problem::FieldCode;

/// Recipients of a message at most, copies included.
pub(super) const RECIPIENTS_MAX: usize = 1_000;

/// One address or a list of them, as the document has it.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `Recipients` reads")]
pub(crate) enum OneOrSeveral {
    /// One address.
    One(String),
    /// A list of addresses.
    Several(Vec<String>),
}

/// One address or a list of them, as the client wrote them.
#[derive(Debug, Default)]
pub(crate) struct Recipients(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Recipients {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "expected an address or a list of addresses";
        match Value::deserialize(deserializer)? {
            Value::String(one) => Ok(Self(vec![one])),
            Value::Array(list) => list
                .into_iter()
                .map(|item| match item {
                    Value::String(address) => Ok(address),
                    _ => Err(serde::de::Error::custom(expected)),
                })
                .collect::<Result<_, _>>()
                .map(Self),
            _ => Err(serde::de::Error::custom(expected)),
        }
    }
}

/// The addresses of a field that `seen`, which holds identities, does not hold yet. In a list each wrong one is
/// named by its place.
pub(super) fn read(
    pointer: &str,
    recipients: Option<&Recipients>,
    parse: impl Fn(&str) -> Result<Address, AddressError>,
    seen: &mut HashSet<Address>,
    errors: &mut Errors,
) -> Vec<Address> {
    let texts = recipients.map_or(&[][..], |Recipients(list)| list);
    let mut addresses = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let place =
            if texts.len() == 1 { pointer.to_owned() } else { format!("{pointer}/{index}") };
        let parsed = errors.take(&place, parse(text));
        addresses.extend(parsed.filter(|address| seen.insert(address.identity().into_owned())));
    }
    addresses
}

/// Names `pointer` when `count` is too many, and tells whether it is.
pub(super) fn too_many(pointer: &str, count: usize, errors: &mut Errors) -> bool {
    if count > RECIPIENTS_MAX {
        let detail = format!("expected at most {RECIPIENTS_MAX} recipients in all, got {count}");
        errors.add_coded(FieldCode::WrongCount, pointer, detail);
    }
    count > RECIPIENTS_MAX
}
