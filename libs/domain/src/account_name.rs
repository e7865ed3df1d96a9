//! What hatch calls an account at a provider.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Characters of a name, at most.
const CHARACTERS_MAX: usize = 32;

/// A name that no account may have, because webhooks of another kind come to a path that ends so.
const TAKEN: &str = "inbound";

/// hatch's own name of an account at a provider, such as `twilio-main`: lower-case letters and digits, with single dashes
/// between them. It stands in paths, in logs and in the names of variables.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[a-z0-9](-?[a-z0-9])*$", max_length = 32, example = "twilio-main")]
pub struct AccountName(String);

/// A text that cannot be the name of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected 1 to 32 lower-case letters and digits with single dashes between them, such as twilio-main, and not \
     inbound"
)]
pub struct BadAccountName;

impl AccountName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = BadAccountName;

    fn from_str(text: &str) -> Result<Self, BadAccountName> {
        let is_name = is_plain(text) && text != TAKEN;
        if is_name { Ok(Self(text.to_owned())) } else { Err(BadAccountName) }
    }
}

/// Whether `text` has the form of an account's name, as the names of issuers have, too.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.len() <= CHARACTERS_MAX && text.split('-').all(is_part)
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AccountName {
    type Error = BadAccountName;

    fn try_from(text: String) -> Result<Self, BadAccountName> {
        text.parse()
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_small_letters_digits_and_single_dashes() {
        for name in ["twilio", "twilio-main", "a", "0", "a-1-b", &"x".repeat(32)] {
            let read: AccountName = name.parse().expect(name);
            assert_eq!(read.to_string(), name);
        }
        for text in
            ["", "-", "a-", "-a", "a--b", "A", "a_b", "a.b", "a/b", "é", "inbound", &"x".repeat(33)]
        {
            assert_eq!(text.parse::<AccountName>(), Err(BadAccountName), "{text:?}");
            assert!(serde_json::from_value::<AccountName>(text.into()).is_err(), "{text:?}");
        }
    }
}
