//! Addresses in their one normal form, so that they can be compared as text.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use phonenumber::metadata::DATABASE;
use serde::{Deserialize, Serialize};

/// Digits of an E.164 number at most, country code included (ITU-T E.164).
const PHONE_DIGITS_MAX: usize = 15;

/// A normalised address: a phone number in E.164 (`+12016661234`).
///
/// Made by a parser such as [`Address::phone`]; one read from a recorded event is taken as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

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
        ];
        for (text, error) in refusals {
            assert_eq!(Address::phone(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_is_total_and_idempotent(text in "\\PC{0,40}|\\+[0-9 ().-]{0,24}") {
            if let Ok(address) = Address::phone(&text) {
                prop_assert_eq!(Address::phone(address.as_str()), Ok(address));
            }
        }
    }
}
