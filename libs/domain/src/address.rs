//! Addresses in their one normal form, so that they can be compared as text.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use email_address::{EmailAddress, Options};
use phonenumber::metadata::DATABASE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bytes of a written address at most: what is longer is none, and is not looked at.
const WRITTEN_BYTES_MAX: usize = 2 * 1024;

/// Digits of an E.164 number at most, country code included (ITU-T E.164).
const PHONE_DIGITS_MAX: usize = 15;

/// Characters of a chat participant's name at most.
const NAME_CHARACTERS_MAX: usize = 255;

/// Digits of a carrier's short code. Countries differ, so this is wide: what has no plus is no number in
/// international form anyway.
const SHORT_CODE_DIGITS: RangeInclusive<usize> = 3..=8;

/// Characters of a scope, and of an id within one, at most each.
const SCOPED_CHARACTERS_MAX: usize = 255;

/// A normalised address: a phone number in E.164 (`+12016661234`), an email address with its domain in
/// lower case, or a plain name: of a chat participant, or a short code, which means something only at the
/// carriers of its country. Or it is an id within a scope, such as a person whom WhatsApp shows to one
/// business by an id instead of a number.
///
/// A mailbox is kept as it was written, because it is sent to so. Whose it is, its [`identity`](Self::identity)
/// says: everything that compares addresses, or makes an id of them, takes that.
///
/// Its text says of which kind it is, because conversation ids are computed from the text alone. An id within
/// a scope is `@<kind>/<scope>/<id>`: no address of another kind begins like that.
///
/// Made by a parser such as [`Address::phone`]; one read from a recorded event is taken as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(
    description = "A phone number in E.164 (`+12016661234`), a mailbox, a plain name \
                   such as a short code, or `@<kind>/<scope>/<id>`.",
    example = "+12016661234"
)]
#[serde(transparent)]
pub struct Address(String);

/// The kind of an address, such as a phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// A phone.
    Phone,
    /// A mailbox.
    Email,
    /// A participant of a chat, or a short code.
    Name,
    /// A person on WhatsApp whose number is not known. The scope is the business that WhatsApp gave the id to.
    WhatsappUser,
    /// A person by the id of another system. The scope is that system's name.
    ExternalId,
}

impl AddressKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Phone, Self::Email, Self::Name, Self::WhatsappUser, Self::ExternalId];

    /// The kind's name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Name => "name",
            Self::WhatsappUser => "whatsapp_user",
            Self::ExternalId => "external_id",
        }
    }

    /// Whether an address of this kind means something within a scope only.
    #[must_use]
    pub const fn is_scoped(self) -> bool {
        matches!(self, Self::WhatsappUser | Self::ExternalId)
    }
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
    /// The name that is shown with it is too long, or holds control characters.
    #[error("expected a display name of at most 255 printable characters")]
    NotDisplayName,
    /// A name is shown with it, and its channel shows none.
    #[error("expected no display name: only a mail shows one")]
    NoDisplayName,
    /// Its scope or its id is empty, too long, or holds control characters; or the scope holds a slash.
    #[error(
        "expected a scope without a slash and an id, each of 1 to 255 printable characters, such as \
         @external_id/crm/42"
    )]
    NotScoped,
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
    /// lower case, the local part as it is, since a few hosts send back what is written otherwise.
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
            && !text.contains(char::is_control)
            && Scoped::read(text).is_none();
        sane.then(|| Self(text.to_owned())).ok_or(AddressError::NotName)
    }

    /// A person on WhatsApp, by the id that WhatsApp gave to the business `scope`.
    ///
    /// # Errors
    /// [`AddressError::NotScoped`].
    pub fn whatsapp_user(scope: &str, id: &str) -> Result<Self, AddressError> {
        Self::within(AddressKind::WhatsappUser, scope, id)
    }

    /// A person, by the id that the system `scope` has for it.
    ///
    /// # Errors
    /// [`AddressError::NotScoped`].
    pub fn external_id(scope: &str, id: &str) -> Result<Self, AddressError> {
        Self::within(AddressKind::ExternalId, scope, id)
    }

    /// Reads the text of an address with a scope.
    ///
    /// # Errors
    /// [`AddressError::NotScoped`].
    pub fn scoped(text: &str) -> Result<Self, AddressError> {
        let Scoped { kind, scope, id } =
            Scoped::read(text.trim()).ok_or(AddressError::NotScoped)?;
        Self::within(kind, scope, id)
    }

    fn within(kind: AddressKind, scope: &str, id: &str) -> Result<Self, AddressError> {
        let (scope, id) = (scope.trim(), id.trim());
        let sane = |text: &str| {
            (1..=SCOPED_CHARACTERS_MAX)
                .contains(&text.chars().take(SCOPED_CHARACTERS_MAX + 1).count())
                && !text.contains(char::is_control)
        };
        let sane = sane(scope) && sane(id) && !scope.contains('/');
        sane.then(|| Self(format!("@{}/{scope}/{id}", kind.as_str())))
            .ok_or(AddressError::NotScoped)
    }

    /// Reads an address of whatever kind its text can only be meant as.
    ///
    /// # Errors
    /// [`AddressError`], by what was expected of that kind.
    pub fn read(text: &str) -> Result<Self, AddressError> {
        match Self::kind_of(text) {
            AddressKind::Phone => Self::phone(text),
            AddressKind::Email => Self::email(text),
            AddressKind::Name => Self::name(text),
            AddressKind::WhatsappUser | AddressKind::ExternalId => Self::scoped(text),
        }
    }

    /// What kind of address a text can only be meant as: after the `@` of its kind an id within a scope, with
    /// another `@` an email address, with a leading `+` a phone number, else a name.
    #[must_use]
    pub fn kind_of(text: &str) -> AddressKind {
        match text.trim() {
            text if text.starts_with('@') => {
                Scoped::read(text).map_or(AddressKind::Email, |scoped| scoped.kind)
            }
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

    /// What it is compared by, and what ids are made of. Of a mailbox that is the text in lower case, with the
    /// domain as DNS has it (RFC 5890: `xn--...` for what is not ASCII): hardly any host tells `Ann@` from `ann@`,
    /// and people write both. Of every other address it is the address.
    #[must_use]
    pub fn identity(&self) -> Cow<'_, Self> {
        let is_mailbox = self.kind() == AddressKind::Email;
        let is_plain = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
        match self.0.rsplit_once('@') {
            Some((local, domain)) if is_mailbox && !self.0.bytes().all(is_plain) => {
                let ascii =
                    (!domain.is_ascii()).then(|| idna::domain_to_ascii(domain).ok()).flatten();
                let domain = ascii.as_deref().unwrap_or(domain);
                Cow::Owned(Self(format!("{}@{domain}", local.to_lowercase())))
            }
            _ => Cow::Borrowed(self),
        }
    }

    /// The scope that it means something in, for the kinds that have one.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        Scoped::read(&self.0).map(|scoped| scoped.scope)
    }

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The parts of the text of an address with a scope.
struct Scoped<'a> {
    kind: AddressKind,
    scope: &'a str,
    id: &'a str,
}

impl<'a> Scoped<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (kind, rest) = text.strip_prefix('@')?.split_once('/')?;
        let named = |known: &AddressKind| known.is_scoped() && known.as_str() == kind;
        let kind = AddressKind::ALL.into_iter().find(named)?;
        let (scope, id) = rest.split_once('/')?;
        Some(Self { kind, scope, id })
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
    fn a_mailbox_is_one_however_it_is_written() {
        let identity = |text| Address::email(text).map(|a| a.identity().to_string());
        for (written, same) in [
            ("ann@example.com", "ann@example.com"),
            ("Ann@Example.com", "ann@example.com"),
            ("ANN.LEE+tag@example.com", "ann.lee+tag@example.com"),
            ("Ann@Bücher.example", "ann@xn--bcher-kva.example"),
            ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
            ("JÜRGEN@example.com", "jürgen@example.com"),
        ] {
            assert_eq!(identity(written).as_deref(), Ok(same), "{written}");
        }
        for other in ["+12016661234", "Ann", "@external_id/CRM/Ab@C"] {
            let address = Address::read(other).expect("an address");
            assert_eq!(*address.identity(), address);
        }
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
            ("@alice", AddressKind::Email),
            ("@phone/x/1", AddressKind::Email),
            (" @whatsapp_user/1029/PH.8131", AddressKind::WhatsappUser),
            ("@external_id/crm/a/b@c", AddressKind::ExternalId),
        ] {
            assert_eq!(Address::kind_of(text), kind, "{text}");
        }
    }

    #[test]
    fn an_id_has_the_scope_that_it_means_something_in() {
        let user = Address::whatsapp_user("1029", " PH.8131 ").expect("a scope and an id");
        assert_eq!(user.as_str(), "@whatsapp_user/1029/PH.8131");
        assert_eq!((user.kind(), user.scope()), (AddressKind::WhatsappUser, Some("1029")));
        assert_ne!(Address::whatsapp_user("1030", "PH.8131"), Ok(user));
        let external = Address::external_id("crm", "a/b@c").expect("a scope and an id");
        assert_eq!(Address::scoped(external.as_str()), Ok(external));
        let phone = Address::phone("+12016661234").expect("possible");
        assert_eq!(phone.scope(), None);
        let long = "x".repeat(256);
        for (scope, id) in
            [("", "1"), ("a/b", "1"), ("a", ""), ("a", "1\n2"), (long.as_str(), "1"), ("a", &long)]
        {
            assert_eq!(Address::external_id(scope, id), Err(AddressError::NotScoped));
        }
        for text in ["", "alice", "@x", "@external_id", "@external_id/crm", "@phone/a/1"] {
            assert_eq!(Address::scoped(text), Err(AddressError::NotScoped), "{text}");
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

        /// What was an address before there were scopes has the text, and so the conversations, that it had.
        #[test]
        fn no_address_is_taken_for_one_with_a_scope(
            text in "\\PC{0,40}|@?(whatsapp_user|external_id)?/[a-z]{0,3}/[0-9@.a-z]{0,5}",
            scope in "[a-zA-Z0-9.@_-]{1,20}",
            id in "[a-zA-Z0-9./@_-]{1,20}",
        ) {
            for parse in [Address::phone, Address::phone_or_short_code, Address::email, Address::name] {
                if let Ok(address) = parse(&text) {
                    prop_assert!(!address.kind().is_scoped(), "{}", address);
                    prop_assert_eq!(address.scope(), None);
                }
            }
            for make in [Address::whatsapp_user, Address::external_id] {
                let address = make(&scope, &id).expect("sane");
                prop_assert!(address.kind().is_scoped());
                prop_assert_eq!(address.scope(), Some(scope.as_str()));
                prop_assert_eq!(Address::scoped(address.as_str()), Ok(address.clone()));
                for parse in [Address::phone, Address::email, Address::name] {
                    prop_assert!(parse(address.as_str()).is_err(), "{}", address);
                }
            }
        }

        #[test]
        fn emails_are_idempotent_too(text in "[a-zA-Z0-9.+_-]{1,12}@[a-zA-Z0-9.-]{1,12}\\.[a-zA-Z]{1,5}") {
            if let Ok(address) = Address::email(&text) {
                prop_assert_eq!(Address::email(address.as_str()), Ok(address));
            }
        }

        #[test]
        fn an_identity_is_its_own_and_that_of_every_spelling(
            text in "\\PC{1,8}@\\PC{1,8}\\.\\PC{1,4}|[a-zA-ZäÄß]{1,8}@[a-zA-ZäÄß]{1,8}\\.com",
        ) {
            if let Ok(address) = Address::email(&text) {
                let identity = address.identity().into_owned();
                prop_assert_eq!(identity.identity().into_owned(), identity.clone());
                prop_assert_eq!(identity.kind(), AddressKind::Email);
                if text.is_ascii() {
                    let upper = Address::email(&text.to_ascii_uppercase()).expect("case is no matter");
                    prop_assert_eq!(upper.identity().into_owned(), identity);
                }
            }
        }
    }
}
