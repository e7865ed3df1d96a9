//! A mailbox as people write it: an address, and the name that is shown with it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::address::{Address, AddressError, is_invisible};

/// Characters of a display name at most.
pub const NAME_CHARACTERS_MAX: usize = 255;

/// A mailbox, and the name that is shown with it. The name is no part of who somebody is: nothing is compared by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The address.
    pub address: Address,
    /// The name, where there is one.
    pub name: Option<String>,
}

impl From<Address> for Mailbox {
    fn from(address: Address) -> Self {
        Self { address, name: None }
    }
}

impl Mailbox {
    /// Reads `ann@example.com`, `Ann Lee <ann@example.com>` or `"Lee, Ann" <ann@example.com>`.
    ///
    /// # Errors
    /// As [`Address::email`], and [`AddressError::NotDisplayName`] for the name before it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c));
        match text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
            Some((name, address)) => Self::named(Address::email(address)?, name),
            None => Address::email(text).map(Self::from),
        }
    }

    /// The mailbox with that name; an empty one is none. Quotes around it are no part of it.
    ///
    /// # Errors
    /// [`AddressError::NotDisplayName`].
    pub fn named(address: Address, name: &str) -> Result<Self, AddressError> {
        let name = name.trim();
        let quoted = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let name = quoted.map_or_else(|| name.to_owned(), unescaped);
        let name = name.trim();
        let is_line =
            !name.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
        if !is_line || name.chars().nth(NAME_CHARACTERS_MAX).is_some() {
            return Err(AddressError::NotDisplayName);
        }
        Ok(Self { address, name: (!name.is_empty()).then(|| name.to_owned()) })
    }
}

/// What is between the quotes of a quoted string (RFC 5322, section 3.2.4).
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        plain.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    plain
}

/// What somebody is in a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonRole {
    /// The sender.
    From,
    /// A recipient.
    To,
    /// Who gets a copy.
    Cc,
    /// Who gets a copy unseen.
    Bcc,
    /// Who is to be answered.
    ReplyTo,
}

/// Somebody in a mail who is shown by a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// What they are in it.
    pub role: PersonRole,
    /// Their address.
    pub address: Address,
    /// The name.
    pub name: String,
}

impl Person {
    /// The mailbox in that role, where it has a name.
    #[must_use]
    pub fn of(role: PersonRole, mailbox: &Mailbox) -> Option<Self> {
        let (address, name) = (mailbox.address.clone(), mailbox.name.clone()?);
        Some(Self { role, address, name })
    }

    /// Those of `mailboxes` that have a name, in that role.
    pub fn among(role: PersonRole, mailboxes: &[Mailbox]) -> impl Iterator<Item = Self> {
        mailboxes.iter().filter_map(move |mailbox| Self::of(role, mailbox))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, Option<String>), AddressError> {
        Mailbox::parse(text).map(|mailbox| (mailbox.address.to_string(), mailbox.name))
    }

    #[test]
    fn a_name_stands_before_the_address_with_or_without_quotes() {
        for (text, name) in [
            ("ann@example.com", None),
            (" <ann@example.com> ", None),
            ("\u{200b}Ann Lee <ann@example.com>\u{feff}", Some("Ann Lee")),
            ("<mailto:ann@example.com>", None),
            ("\"\" <ann@example.com>", None),
            ("Ann Lee <ann@example.com>", Some("Ann Lee")),
            ("Ann Lee<Ann@Example.com>", Some("Ann Lee")),
            ("\"Lee, Ann\" <ann@example.com>", Some("Lee, Ann")),
            (r#""Ann \"A\" \\ Lee" <ann@example.com>"#, Some(r#"Ann "A" \ Lee"#)),
            ("Grüße 🥚 <ann@example.com>", Some("Grüße 🥚")),
            ("[ann@example.com](mailto:ann@example.com)", None),
        ] {
            let (address, found) = read(text).expect(text);
            assert_eq!(
                (address.to_lowercase().as_str(), found.as_deref()),
                ("ann@example.com", name)
            );
        }
    }

    #[test]
    fn a_name_that_would_break_out_of_its_line_or_is_too_long_is_refused() {
        let long = format!("{} <ann@example.com>", "x".repeat(256));
        for text in ["a\r\nBcc: b <ann@example.com>", "a\u{2028}b <ann@example.com>", &long] {
            assert_eq!(read(text), Err(AddressError::NotDisplayName), "{text:?}");
        }
        for text in ["", "Ann <>", "Ann <ann@example.com", "<ann@example.com>, b"] {
            assert_eq!(read(text), Err(AddressError::NotEmail), "{text:?}");
        }
        for text in ["Ann Lee", "Ann <ann>", "MAILER-DAEMON"] {
            assert_eq!(read(text), Err(AddressError::NameForEmail), "{text:?}");
        }
    }

    #[test]
    fn only_who_has_a_name_is_a_person_of_a_mail() {
        let ann = Mailbox::parse("Ann <ann@example.com>").expect("a mailbox");
        let bob = Mailbox::parse("bob@example.com").expect("a mailbox");
        let people: Vec<Person> = Person::among(PersonRole::Cc, &[ann.clone(), bob]).collect();
        let expected = Person { role: PersonRole::Cc, address: ann.address, name: "Ann".into() };
        assert_eq!(people, [expected]);
        let json = serde_json::json!([{"role": "cc", "address": "ann@example.com", "name": "Ann"}]);
        assert_eq!(serde_json::to_value(&people).expect("JSON"), json);
    }
}
