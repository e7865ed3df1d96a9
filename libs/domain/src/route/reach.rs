//! Where messages go, as a route tells them apart: by the beginning of a number, or by the domain of a mailbox.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::address::{Address, AddressKind, domain_of, domain_to_ascii, is_domain};

/// Digits of a number's beginning, at most: a whole number has no more.
const DIGITS_MAX: usize = 15;

/// Bytes of a domain at most, as DNS has it.
const DOMAIN_BYTES_MAX: usize = 253;

/// Where messages go: to numbers that begin so, or to mailboxes of a domain and of those below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reach {
    /// Numbers that begin with it, such as `+44`.
    Prefix(String),
    /// Mailboxes of it, such as `example.com`, in the form that DNS has.
    Domain(String),
}

/// A text that is neither the beginning of a number nor a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the beginning of a phone number, such as +44, or a domain, such as example.com")]
pub struct BadReach;

impl Reach {
    /// Whether the address is within it.
    #[must_use]
    pub fn has(&self, address: &Address) -> bool {
        match self {
            Self::Prefix(prefix) => {
                address.kind() == AddressKind::Phone && address.as_str().starts_with(prefix)
            }
            Self::Domain(domain) => domain_of(address).is_some_and(|of_address| {
                of_address
                    .strip_suffix(domain.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }),
        }
    }

    /// The text that it is read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Prefix(text) | Self::Domain(text) => text,
        }
    }
}

impl FromStr for Reach {
    type Err = BadReach;

    fn from_str(text: &str) -> Result<Self, BadReach> {
        if let Some(digits) = text.strip_prefix('+') {
            let is_prefix = (1..=DIGITS_MAX).contains(&digits.len())
                && !digits.starts_with('0')
                && digits.bytes().all(|byte| byte.is_ascii_digit());
            return is_prefix.then(|| Self::Prefix(text.to_owned())).ok_or(BadReach);
        }
        if text.len() > DOMAIN_BYTES_MAX {
            return Err(BadReach);
        }
        let ascii = domain_to_ascii(text).ok_or(BadReach)?;
        let is_domain = ascii.len() <= DOMAIN_BYTES_MAX && is_domain(&ascii);
        is_domain.then(|| Self::Domain(ascii.into_owned())).ok_or(BadReach)
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Reach {
    type Error = BadReach;

    fn try_from(text: String) -> Result<Self, BadReach> {
        text.parse()
    }
}

impl From<Reach> for String {
    fn from(reach: Reach) -> Self {
        match reach {
            Reach::Prefix(text) | Reach::Domain(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reach_is_the_beginning_of_a_number_or_a_domain() {
        let long = format!("+{}", "1".repeat(15));
        for (text, read) in [
            ("+44", "+44"),
            ("+1", "+1"),
            (long.as_str(), long.as_str()),
            ("example.com", "example.com"),
            ("Example.COM", "example.com"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(text.parse::<Reach>().map(String::from), Ok(read.to_owned()), "{text}");
        }
        let longer = format!("{long}1");
        for text in [
            "",
            "+",
            "44",
            "+4 4",
            "+0",
            "+44a",
            "example",
            ".com",
            "a..b",
            "a@b.example",
            "1.2",
            "example.com.",
            longer.as_str(),
            &format!("{}.example", "a".repeat(64)),
        ] {
            assert_eq!(text.parse::<Reach>(), Err(BadReach), "{text:?}");
        }
    }

    #[test]
    fn a_prefix_has_numbers_and_a_domain_mailboxes() {
        let reach = |text: &str| text.parse::<Reach>().expect(text);
        let address = |text: &str| Address::read(text).expect(text);
        for (text, to, has) in [
            ("+44", "+447700900123", true),
            ("+44", "+12016661234", false),
            ("+44", "44", false),
            ("+44", "user@example.com", false),
            ("example.com", "user@example.com", true),
            ("example.com", "user@Mail.Example.com", true),
            ("example.com", "user@badexample.com", false),
            ("example.com", "user@example.com.example", false),
            ("xn--bcher-kva.example", "user@b\u{fc}cher.example", true),
            ("example.com", "+447700900123", false),
        ] {
            assert_eq!(reach(text).has(&address(to)), has, "{text} has {to}");
        }
    }
}
