//! Addresses in their one normal form, so that they can be compared as text.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use email_address::{EmailAddress, Options};
use phonenumber::metadata::DATABASE;
use serde::{Deserialize, Serialize};

/// Bytes of a written address at most: what is longer is none, and is not looked at.
const WRITTEN_BYTES_MAX: usize = 2 * 1024;

/// Digits of an E.164 number at most, country code included (ITU-T E.164).
const PHONE_DIGITS_MAX: usize = 15;

/// Characters of a chat participant's name at most.
const NAME_CHARACTERS_MAX: usize = 255;

/// Digits of a carrier's short code. Countries differ, so this is wide: what has no plus is no number in
/// international form anyway.
const SHORT_CODE_DIGITS: RangeInclusive<usize> = 3..=8;

/// A normalised address: a phone number in E.164 (`+12016661234`), an email address with its domain in
/// lower case, or a plain name: of a chat participant, or a short code, which means something only at the
/// carriers of its country.
///
/// Made by a parser such as [`Address::phone`]; one read from a recorded event is taken as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

/// What an address is the address of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// A phone.
    Phone,
    /// A mailbox.
    Email,
    /// A participant of a chat, or a short code.
    Name,
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It does not begin with `+` and a country code.
    #[error("expected a phone number in international form, such as +12016661234")]
    NotInternational,
    /// It holds something that phone numbers do not.
    #[error("expected digits after the +; spaces, dots, hyphens and parentheses are ignored")]
    NotDigits,
    /// No number of its country has this many digits.
    #[error("no phone number of this country code has this many digits")]
    Impossible,
    /// It is not `local@domain`.
    #[error("expected an email address, such as user@example.com")]
    NotEmail,
    /// It is empty, too long, or holds control characters.
    #[error("expected a name of 1 to 255 printable characters")]
    NotName,
}

impl Address {
    /// Reads a phone number in international form and normalises it to E.164.
    ///
    /// The usual separators are ignored. A *possible* number is enough: its country code exists and
    /// its length occurs there. Whether it is assigned, only the provider knows.
    ///
    /// # Errors
    /// [`AddressError`] when the text cannot be a phone number.
    pub fn phone(text: &str) -> Result<Self, AddressError> {
        if text.len() > WRITTEN_BYTES_MAX {
            return Err(AddressError::NotDigits);
        }
        let rest = text.trim().strip_prefix('+').ok_or(AddressError::NotInternational)?;
        let digits: String =
            rest.chars().filter(|c| !matches!(c, ' ' | '.' | '-' | '(' | ')')).collect();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AddressError::NotDigits);
        }
        if digits.len() > PHONE_DIGITS_MAX || !is_possible(&digits) {
            return Err(AddressError::Impossible);
        }
        Ok(Self(format!("+{digits}")))
    }

    /// Reads what a carrier says a message came from or went to: a phone number, or a short code.
    ///
    /// # Errors
    /// As [`phone`](Self::phone).
    pub fn phone_or_short_code(text: &str) -> Result<Self, AddressError> {
        let code = text.trim();
        let is_code = SHORT_CODE_DIGITS.contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_digit());
        if is_code { Ok(Self(code.to_owned())) } else { Self::phone(text) }
    }

    /// Reads an email address (RFC 5321, ASCII or internationalised) and normalises it: the domain in
    /// lower case, the local part as it is, since only its own host knows whether case matters there.
    /// `[x@y](mailto:x@y)`, as some editors paste it, is read as `x@y`.
    ///
    /// # Errors
    /// [`AddressError::NotEmail`].
    pub fn email(text: &str) -> Result<Self, AddressError> {
        if text.len() > WRITTEN_BYTES_MAX {
            return Err(AddressError::NotEmail);
        }
        let text = text.trim();
        let text = text
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("](mailto:"))
            .filter(|(_, link)| link.ends_with(')'))
            .map_or(text, |(label, _)| label);
        let options = Options::default().without_display_text().without_domain_literal();
        let email = EmailAddress::parse_with_options(text, options.with_required_tld())
            .map_err(|_| AddressError::NotEmail)?;
        Ok(Self(format!("{}@{}", email.local_part(), email.domain().to_lowercase())))
    }

    /// Reads the name of a chat participant.
    ///
    /// # Errors
    /// [`AddressError::NotName`].
    pub fn name(text: &str) -> Result<Self, AddressError> {
        if text.len() > WRITTEN_BYTES_MAX {
            return Err(AddressError::NotName);
        }
        let text = text.trim();
        let sane = (1..=NAME_CHARACTERS_MAX).contains(&text.chars().count())
            && !text.contains(char::is_control);
        sane.then(|| Self(text.to_owned())).ok_or(AddressError::NotName)
    }

    /// What kind of address a text can only be meant as: with an `@` an email address, with a leading
    /// `+` a phone number, else a name.
    #[must_use]
    pub fn kind_of(text: &str) -> AddressKind {
        match text.trim() {
            text if text.contains('@') => AddressKind::Email,
            text if text.starts_with('+') => AddressKind::Phone,
            _ => AddressKind::Name,
        }
    }

    /// What it is the address of.
    #[must_use]
    pub fn kind(&self) -> AddressKind {
        Self::kind_of(&self.0)
    }

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether some country code begins `digits` and has national numbers of the remaining length.
/// Country codes are prefix-free (ITU-T E.164), so at most one of the three lengths matches.
fn is_possible(digits: &str) -> bool {
    (1..=3.min(digits.len() - 1)).any(|split| {
        let national = u16::try_from(digits.len() - split).unwrap_or(u16::MAX);
        digits[..split]
            .parse()
            .ok()
            .and_then(|code: u16| NATIONAL_LENGTHS.get(&code))
            .is_some_and(|lengths| lengths.contains(&national))
    })
}

/// By country code, how many digits a national number there can have, from libphonenumber's
/// metadata. Kept apart from it because a look-up there takes a lock and a scan of the regions.
static NATIONAL_LENGTHS: LazyLock<HashMap<u16, BTreeSet<u16>>> = LazyLock::new(|| {
    let mut lengths: HashMap<u16, BTreeSet<u16>> = HashMap::new();
    for region in DATABASE.iter() {
        let kinds = region.descriptors();
        let described = [
            Some(kinds.general()),
            kinds.fixed_line(),
            kinds.mobile(),
            kinds.toll_free(),
            kinds.shared_cost(),
            kinds.personal_number(),
            kinds.voip(),
        ];
        lengths
            .entry(region.country_code())
            .or_default()
            .extend(described.into_iter().flatten().flat_map(|kind| kind.possible_length()));
    }
    lengths
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn separators_are_ignored() {
        let plain = Address::phone("+12016661234").expect("possible");
        for written in ["+1 201 666 1234", "+1 (201) 666-1234", "+1.201.666.1234", " +12016661234 "]
        {
            assert_eq!(Address::phone(written).as_ref(), Ok(&plain), "{written}");
        }
    }

    #[test]
    fn a_short_code_is_an_address_where_a_carrier_says_so() {
        let normal = |text| Address::phone_or_short_code(text).map(|a| a.to_string());
        for code in ["112", "73822", " 73822 ", "12345678"] {
            assert_eq!(normal(code).as_deref(), Ok(code.trim()), "{code:?}");
        }
        assert_eq!(normal("+1 201 666 1234").as_deref(), Ok("+12016661234"));
        for text in ["", "12", "123456789", "7382a", "12016661234", "７３８２２"] {
            assert_eq!(normal(text), Err(AddressError::NotInternational), "{text:?}");
        }
    }

    #[test]
    fn unassigned_but_possible_numbers_are_taken() {
        for number in ["+15551234567", "+18045551234", "+442071838750", "+4915123456789"] {
            assert_eq!(Address::phone(number).map(|a| a.to_string()).as_deref(), Ok(number));
        }
    }

    #[test]
    fn each_refusal_says_what_was_expected() {
        let refusals = [
            ("", AddressError::NotInternational),
            ("2016661234", AddressError::NotInternational),
            ("user@example.com", AddressError::NotInternational),
            ("+", AddressError::NotDigits),
            ("+1201666CALL", AddressError::NotDigits),
            ("+1201666\u{0}1234", AddressError::NotDigits),
            ("+１２０１６６６１２３４", AddressError::NotDigits),
            ("+1", AddressError::Impossible),
            ("+1201", AddressError::Impossible),
            ("+18045551", AddressError::Impossible),
            ("+120166612345", AddressError::Impossible),
            ("+2101234567", AddressError::Impossible),
            ("+1234567890123456", AddressError::Impossible),
            (&format!("+1201666{}", " ".repeat(2_048)), AddressError::NotDigits),
        ];
        for (text, error) in refusals {
            assert_eq!(Address::phone(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn an_email_address_keeps_its_local_part_and_lowers_its_domain() {
        let normal = |text| Address::email(text).map(|a| a.to_string());
        assert_eq!(normal("User.Name+tag@Example.COM").as_deref(), Ok("User.Name+tag@example.com"));
        assert_eq!(normal(" user@example.com ").as_deref(), Ok("user@example.com"));
        assert_eq!(normal("[x@y.com](mailto:x@y.com)").as_deref(), Ok("x@y.com"));
    }

    #[test]
    fn what_is_no_email_address_is_refused() {
        let texts = [
            "",
            "user",
            "@example.com",
            "user@",
            "a b@example.com",
            "user@exa mple.com",
            "user@@example.com",
            "user@example",
            "Name <user@example.com>",
            "user@[127.0.0.1]",
            "user@example.com\u{0}",
            "[x@y.com](mailto:x@y.com",
            "user@example.com\r\nBcc: a@b.com",
        ];
        for text in texts {
            assert_eq!(Address::email(text), Err(AddressError::NotEmail), "{text:?}");
        }
    }

    #[test]
    fn a_name_is_short_and_printable() {
        assert_eq!(Address::name(" alice ").map(|a| a.to_string()).as_deref(), Ok("alice"));
        for text in ["", "  ", "a\u{0}b", "a\nb", &"x".repeat(256)] {
            assert_eq!(Address::name(text), Err(AddressError::NotName), "{text:?}");
        }
    }

    #[test]
    fn the_kind_shows() {
        for (text, kind) in [
            ("+12016661234", AddressKind::Phone),
            ("user@example.com", AddressKind::Email),
            ("alice", AddressKind::Name),
        ] {
            assert_eq!(Address::kind_of(text), kind, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_is_total_and_idempotent(text in "\\PC{0,40}|\\+[0-9 ().-]{0,24}") {
            if let Ok(address) = Address::phone(&text) {
                prop_assert_eq!(Address::phone(address.as_str()), Ok(address));
            }
            if let Ok(address) = Address::email(&text) {
                prop_assert_eq!(Address::email(address.as_str()), Ok(address));
            }
        }

        #[test]
        fn emails_are_idempotent_too(text in "[a-zA-Z0-9.+_-]{1,12}@[a-zA-Z0-9.-]{1,12}\\.[a-zA-Z]{1,5}") {
            if let Ok(address) = Address::email(&text) {
                prop_assert_eq!(Address::email(address.as_str()), Ok(address));
            }
        }
    }
}
