//! One address or a list of them, each alone or with the name that a mail shows with it.

use std::collections::HashSet;

use hatch_domain::address::{Address, AddressError};
use hatch_domain::mailbox::Mailbox;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::errors::Errors;
use crate::problem::FieldCode;

/// Recipients of a message at most, copies included.
pub(super) const RECIPIENTS_MAX: usize = 1_000;

/// What a field of one address takes.
const ONE_EXPECTED: &str = "expected an address, or an object with an address and a name";

/// What a field of several addresses takes.
const SEVERAL_EXPECTED: &str = "expected an address or a list of addresses, each alone or as an object with an address and a name";

/// An address, as the document has it. In a mail `Ann Lee <ann@example.com>` is one, too.
#[derive(ToSchema)]
#[schema(as = AddressRequest)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `Written` reads")]
pub(crate) enum OneAddress {
    /// The address alone, or after its name.
    Text(String),
    /// With the name that a mail shows.
    Named(NamedAddress),
}

/// An address, and the name that a mail shows with it.
#[derive(ToSchema)]
#[schema(example = json!({"address": "ann@example.com", "name": "Ann Lee"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what `Written` reads")]
pub(crate) struct NamedAddress {
    /// The address.
    address: String,
    /// The name; `email` only.
    #[schema(max_length = 255)]
    name: Option<String>,
}

/// One address or a list of them, as the document has it.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `Recipients` reads")]
pub(crate) enum OneOrSeveral {
    /// One address.
    One(OneAddress),
    /// A list of addresses.
    Several(Vec<OneAddress>),
}

/// An address as the client wrote it, and the name that is given beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Written {
    pub(crate) address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

impl From<String> for Written {
    fn from(address: String) -> Self {
        Self { address, name: None }
    }
}

impl Written {
    /// The address, where no name is shown with it.
    pub(super) fn nameless(
        &self,
        parse: impl Fn(&str) -> Result<Address, AddressError>,
    ) -> Result<Address, AddressError> {
        match self.name {
            Some(_) => Err(AddressError::NoDisplayName),
            None => parse(&self.address),
        }
    }

    fn read(value: Value) -> Option<Self> {
        let mut fields = match value {
            Value::String(address) => return Some(address.into()),
            Value::Object(fields) => fields,
            _ => return None,
        };
        let Value::String(address) = fields.remove("address")? else { return None };
        let name = match fields.remove("name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return None,
        };
        fields.is_empty().then_some(Self { address, name })
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Self::read(Value::deserialize(deserializer)?);
        read.ok_or_else(|| serde::de::Error::custom(ONE_EXPECTED))
    }
}

/// One address or a list of them, as the client wrote them.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Recipients(pub(crate) Vec<Written>);

impl<'de> Deserialize<'de> for Recipients {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = match Value::deserialize(deserializer)? {
            Value::Array(list) => list.into_iter().map(Written::read).collect::<Option<_>>(),
            one => Written::read(one).map(|one| vec![one]),
        };
        read.map(Self).ok_or_else(|| serde::de::Error::custom(SEVERAL_EXPECTED))
    }
}

/// The addresses of a field that `seen`, which holds identities, does not hold yet. In a list each wrong one is
/// named by its place.
pub(super) fn read(
    pointer: &str,
    recipients: Option<&Recipients>,
    parse: impl Fn(&Written) -> Result<Mailbox, AddressError>,
    seen: &mut HashSet<Address>,
    errors: &mut Errors,
) -> Vec<Mailbox> {
    let written = recipients.map_or(&[][..], |Recipients(list)| list);
    let mut mailboxes = Vec::new();
    for (index, one) in written.iter().enumerate() {
        let place =
            if written.len() == 1 { pointer.to_owned() } else { format!("{pointer}/{index}") };
        let parsed = errors.take(&place, parse(one));
        let new = |mailbox: &Mailbox| seen.insert(mailbox.address.identity().into_owned());
        mailboxes.extend(parsed.filter(new));
    }
    mailboxes
}

/// Names `pointer` when `count` is too many, and tells whether it is.
pub(super) fn too_many(pointer: &str, count: usize, errors: &mut Errors) -> bool {
    if count > RECIPIENTS_MAX {
        let detail = format!("expected at most {RECIPIENTS_MAX} recipients in all, got {count}");
        errors.add_coded(FieldCode::WrongCount, pointer, detail);
    }
    count > RECIPIENTS_MAX
}

/// The addresses alone.
pub(super) fn addresses(mailboxes: Vec<Mailbox>) -> Vec<Address> {
    mailboxes.into_iter().map(|mailbox| mailbox.address).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_a_text_or_an_object_with_its_name() {
        let written = |value| serde_json::from_value::<Written>(value).ok();
        let ann = |name: Option<&str>| {
            Some(Written { address: "ann@example.com".into(), name: name.map(str::to_owned) })
        };
        assert_eq!(written(json!("ann@example.com")), ann(None));
        assert_eq!(written(json!({"address": "ann@example.com", "name": null})), ann(None));
        assert_eq!(written(json!({"address": "ann@example.com", "name": "Ann"})), ann(Some("Ann")));
        for wrong in [
            json!(1),
            json!(null),
            json!([]),
            json!({}),
            json!({"address": 1}),
            json!({"address": "a", "name": 1}),
            json!({"address": "a", "colour": "red"}),
        ] {
            assert_eq!(written(wrong.clone()), None, "{wrong}");
        }
    }
}
