//! From whom text messages go, beside phones, and what a sender and a recipient have in common.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::written::visible;
use super::{Address, AddressError, AddressKind, WRITTEN_BYTES_MAX, phone};

/// Digits of a short code.
const SHORT_CODE_DIGITS: std::ops::RangeInclusive<usize> = 3..=8;

/// Characters of an alphanumeric sender at most (3GPP TS 23.040).
const NAME_CHARACTERS_MAX: usize = 11;

/// Capital letters that a messaging service begins with, and hexadecimal digits behind them.
const SERVICE_LETTERS: usize = 2;
const SERVICE_DIGITS: usize = 32;

/// The country code of North America, and the digits of its area codes.
const NORTH_AMERICA: &str = "+1";
const AREA_DIGITS: usize = 3;

/// What kind of sender of text messages an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SenderKind {
    /// A phone number.
    Number,
    /// A number of a few digits, which means something in one country only.
    ShortCode,
    /// A name, which nobody can answer.
    Alphanumeric,
    /// Several senders at the provider, which chooses one of them.
    Service,
}

impl SenderKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Number, Self::ShortCode, Self::Alphanumeric, Self::Service];

    /// Its name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::ShortCode => "short_code",
            Self::Alphanumeric => "alphanumeric",
            Self::Service => "service",
        }
    }

    /// The kind with its article, for a sentence.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Number => "a phone number",
            Self::ShortCode => "a short code",
            Self::Alphanumeric => "a name",
            Self::Service => "a messaging service",
        }
    }

    /// Whether somebody can write to it.
    #[must_use]
    pub const fn can_receive(self) -> bool {
        matches!(self, Self::Number | Self::ShortCode)
    }

    /// The kind of an address; none of one that sends no text messages.
    #[must_use]
    pub fn of(address: &Address) -> Option<Self> {
        match address.kind() {
            AddressKind::Phone => Some(Self::Number),
            AddressKind::Name => Self::of_name(address.as_str()),
            AddressKind::Email | AddressKind::WhatsappUser | AddressKind::ExternalId => None,
        }
    }

    fn of_name(text: &str) -> Option<Self> {
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if is_digits {
            return SHORT_CODE_DIGITS.contains(&text.len()).then_some(Self::ShortCode);
        }
        if is_service(text) {
            return Some(Self::Service);
        }
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b' ';
        let is_name = text.len() <= NAME_CHARACTERS_MAX
            && text.trim() == text
            && text.bytes().all(is_of_name)
            && text.bytes().any(|byte| byte.is_ascii_alphabetic());
        is_name.then_some(Self::Alphanumeric)
    }
}

/// Whether it is a provider's id of a messaging service.
fn is_service(text: &str) -> bool {
    text.len() == SERVICE_LETTERS + SERVICE_DIGITS
        && text.is_ascii()
        && text[..SERVICE_LETTERS].bytes().all(|byte| byte.is_ascii_uppercase())
        && text[SERVICE_LETTERS..].bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Address {
    /// Reads from whom a text message is to go: a phone number, a short code of 3 to 8 digits, a name of at most 11
    /// letters, digits and spaces, or a messaging service, which is two capital letters and 32 hexadecimal digits.
    ///
    /// # Errors
    /// [`AddressError`], as of [`phone`](Self::phone).
    pub fn sender(text: &str) -> Result<Self, AddressError> {
        if text.len() <= WRITTEN_BYTES_MAX && !phone::is_meant(text) {
            let name = Self(visible(text));
            if SenderKind::of(&name).is_some() {
                return Ok(name);
            }
        }
        Self::phone(text)
    }

    /// The area code of a number of North America.
    #[must_use]
    pub fn area_code(&self) -> Option<&str> {
        let national = self.0.strip_prefix(NORTH_AMERICA)?;
        national.get(..AREA_DIGITS).filter(|_| self.kind() == AddressKind::Phone)
    }

    /// Whether both are numbers of one country.
    #[must_use]
    pub fn is_of_country_of(&self, other: &Self) -> bool {
        let are_numbers = [self, other].iter().all(|one| one.kind() == AddressKind::Phone);
        are_numbers && phone::are_of_one_country(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_message_goes_from_a_number_a_short_code_a_name_or_a_service() {
        use SenderKind::{Alphanumeric, Number, Service, ShortCode};
        let service = "MG0123456789abcdef0123456789abcdef";
        for (text, expected, kind) in [
            ("+1 (201) 666-1234", "+12016661234", Number),
            ("tel:+12016661234", "+12016661234", Number),
            ("73822", "73822", ShortCode),
            (" 738 ", "738", ShortCode),
            ("12345678", "12345678", ShortCode),
            ("MYBANK", "MYBANK", Alphanumeric),
            ("My Shop 24h", "My Shop 24h", Alphanumeric),
            ("\u{202a}Shop\u{202c}", "Shop", Alphanumeric),
            (service, service, Service),
        ] {
            let sender = Address::sender(text).expect(text);
            assert_eq!(
                (sender.as_str(), SenderKind::of(&sender)),
                (expected, Some(kind)),
                "{text}"
            );
        }
        for text in [
            "",
            "12",
            "123456789",
            "738 22",
            "2016661234",
            "Twelve chars",
            "Müller",
            "shop@example.com",
            "My_Shop",
            "--",
            "MG0123456789abcdef0123456789abcde",
            "mg0123456789abcdef0123456789abcdef",
            "@external_id/crm/42",
            "+12",
        ] {
            assert!(Address::sender(text).is_err(), "{text}");
        }
        assert!(Address::sender(&"1".repeat(100_000)).is_err());
        for text in ["shop@example.com", "@external_id/crm/42", "+", "Help Desk 24/7"] {
            assert_eq!(SenderKind::of(&Address::recorded(text)), None, "{text}");
        }
        assert!(ShortCode.can_receive() && !Alphanumeric.can_receive() && !Service.can_receive());
    }

    #[test]
    fn numbers_are_of_one_country_by_their_code_and_in_north_america_by_their_area() {
        let address = |text: &str| Address::recorded(text);
        for (one, other, same) in [
            ("+12016661234", "+18045551234", true),
            ("+12016661234", "+14165551234", false),
            ("+447700900000", "+442079460000", true),
            ("+447700900000", "+12016661234", false),
            ("+4915112345678", "+436641234567", false),
            ("73822", "73822", false),
            ("+12016661234", "73822", false),
        ] {
            assert_eq!(address(one).is_of_country_of(&address(other)), same, "{one} {other}");
        }
        assert_eq!(address("+12016661234").area_code(), Some("201"));
        assert_eq!(address("+447700900000").area_code(), None);
        assert_eq!(address("201666").area_code(), None);
        assert_eq!(address("+1").area_code(), None);
    }
}
