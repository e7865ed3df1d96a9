//! Addresses in their one normal form, so that they can be compared as text.
//!
//! They are read in two ways. What is to go out is read strictly: it has to be what can be delivered to. What a provider
//! says that somebody wrote from, or to, is read leniently: it is shown whatever it is, and what is neither a number
//! nor a mailbox is a name.

mod mailbox;
mod phone;
mod quirks;
mod sender;
#[cfg(test)]
mod tests;
mod written;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use self::mailbox::{domain_of, domain_to_ascii, is_domain};
pub use self::sender::SenderKind;
pub(crate) use self::written::is_invisible;

/// Bytes of a written address at most: what is longer is none, and is not looked at.
const WRITTEN_BYTES_MAX: usize = 2 * 1024;

/// Characters of a name at most.
const NAME_CHARACTERS_MAX: usize = 255;

/// Characters of a scope, and of an id within one, at most each.
const SCOPED_CHARACTERS_MAX: usize = 255;

/// The name of a sender or recipient whom the provider does not name.
const UNKNOWN: &str = "unknown";

/// A normalised address: a phone number in E.164 (`+12016661234`), an email address with its domain in
/// lower case and Unicode, or a plain name. A name is a participant of a chat, a short code, which means something only
/// at the carriers of its country, or whatever else a provider calls a sender.
///
/// An address has one form to compare, one to show and one to send. It is kept as it is shown, which is as it was
/// written. Whose it is, its [`identity`](Self::identity) says: everything that compares addresses, or makes an id of
/// them, takes that. A server of mails gets [`to_send`](Self::to_send).
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
    /// A participant of a chat, a short code, or the name of a sender. No provider writes to it.
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
    /// It is a name, and no carrier writes to one.
    #[error(
        "expected a phone number in international form, such as +12016661234; a name such as MYBANK cannot be \
         written to"
    )]
    NameForPhone,
    /// It holds something that phone numbers do not.
    #[error(
        "expected digits after the +; spaces, dots, hyphens, slashes and parentheses are ignored"
    )]
    NotDigits,
    /// No number of its country has this many digits.
    #[error("no phone number of this country code has this many digits")]
    Impossible,
    /// It is not `local@domain`.
    #[error("expected an email address, such as user@example.com")]
    NotEmail,
    /// It is a name, and no server takes a mail for one.
    #[error(
        "expected an email address, such as user@example.com; a name such as MAILER-DAEMON cannot be written to"
    )]
    NameForEmail,
    /// Local part and domain together are longer than servers of mails take.
    #[error("expected an email address of at most 254 bytes")]
    LongEmail,
    /// It is empty, too long, or holds control characters.
    #[error("expected a name of 1 to 255 printable characters")]
    NotName,
    /// It is a name of signs alone.
    #[error("expected a name with a letter or a digit")]
    NotSaid,
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
    /// What people and programs write between the digits is ignored, and what nobody sees. A *possible* number is
    /// enough: its country code exists and its length occurs there. Whether it is assigned, only the provider
    /// knows. The zero that is dialled within its country only, as in `+49 (0)151`, is no part of it.
    ///
    /// # Errors
    /// [`AddressError`] when the text cannot be a phone number.
    pub fn phone(text: &str) -> Result<Self, AddressError> {
        phone::read(text).map(Self)
    }

    /// Reads an email address (RFC 5321, ASCII or internationalised) and normalises it: the domain in
    /// lower case and Unicode, the local part as it is, since a few hosts send back what is written otherwise.
    /// `[x@y](mailto:x@y)`, as some editors paste it, is read as `x@y`.
    ///
    /// # Errors
    /// [`AddressError::NotEmail`] and those beside it.
    pub fn email(text: &str) -> Result<Self, AddressError> {
        mailbox::read(text).map(Self)
    }

    /// Whom a carrier says that a message came from, or went to, whatever it says: a number is never refused for
    /// being unlikely, and what is none, such as a short code, is a name.
    #[must_use]
    pub fn received_phone(text: &str) -> Self {
        let address = phone::received(text).or_else(|| mailbox::received(text));
        address.map_or_else(|| Self::received_name(text), Self)
    }

    /// Whom a mail, or the server that brought it, says that it is from, or to, whatever it says: a mailbox, also one
    /// that no mail could be sent to, and else a name.
    #[must_use]
    pub fn received_mailbox(text: &str) -> Self {
        mailbox::received(text).map_or_else(|| Self::received_name(text), Self)
    }

    /// What a provider calls somebody, in one line, so that it is no address of another kind.
    fn received_name(text: &str) -> Self {
        let name = written::line(text, NAME_CHARACTERS_MAX);
        if name.is_empty() {
            return Self(UNKNOWN.to_owned());
        }
        let is_name = Self::kind_of(&name) == AddressKind::Name
            && phone::received(&name).is_none()
            && mailbox::received(&name).is_none();
        if is_name {
            return Self(name);
        }
        // Between quotes nothing is one.
        Self(format!("\"{}\"", written::line(text, NAME_CHARACTERS_MAX - 2)))
    }

    /// The address that was recorded as `text`. Nothing is checked: what an older build took is one, too.
    #[must_use]
    pub fn recorded(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads the address that somebody looks for: of whatever kind, strictly or as one that came in.
    ///
    /// # Errors
    /// [`AddressError`], as of [`read`](Self::read).
    pub fn sought(text: &str) -> Result<Self, AddressError> {
        Self::read(text).or_else(|error| {
            let received = match Self::written_kind(text) {
                AddressKind::Phone => phone::received(text),
                AddressKind::Email => mailbox::received(text),
                AddressKind::Name | AddressKind::WhatsappUser | AddressKind::ExternalId => None,
            };
            received.map(Self).ok_or(error)
        })
    }

    /// Reads the address that messages are to go from, or to, of whatever kind: strictly, and a name has a letter or a
    /// digit.
    ///
    /// # Errors
    /// [`AddressError`], as of [`read`](Self::read).
    pub fn wanted(text: &str) -> Result<Self, AddressError> {
        let address = Self::read(text)?;
        let is_said = address.kind() != AddressKind::Name || text.contains(char::is_alphanumeric);
        is_said.then_some(address).ok_or(AddressError::NotSaid)
    }

    /// Reads the name of a chat participant, or the one that a provider gave a sender.
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
        match Self::written_kind(text) {
            AddressKind::Phone => Self::phone(text),
            AddressKind::Email => Self::email(text),
            AddressKind::Name => Self::name(text),
            AddressKind::WhatsappUser | AddressKind::ExternalId => Self::scoped(text),
        }
    }

    /// What kind of address somebody means who writes the text: after the `@` of its kind an id within a scope, with
    /// another `@` an email address, with a leading `+` or `tel:` a phone number, else a name. It need not be one of
    /// that kind.
    #[must_use]
    pub fn written_kind(text: &str) -> AddressKind {
        let text = text.trim();
        if let Some(scoped) = Scoped::read(text) {
            return scoped.kind;
        }
        if phone::is_meant(text) {
            AddressKind::Phone
        } else if text.contains('@') {
            AddressKind::Email
        } else {
            AddressKind::Name
        }
    }

    /// Whether the text has nothing but what people write a phone number with, and so lacks its country at most.
    #[must_use]
    pub fn is_dialled(text: &str) -> bool {
        text.chars().all(|c| written::digit(c).is_some() || written::is_separator(c))
    }

    /// The kind of the address whose text that is: a phone number has a `+` and 1 to 15 digits, a mailbox has the form
    /// `local@domain`, an id within a scope is written as [`Address`] says, and everything else is a name.
    #[must_use]
    pub fn kind_of(text: &str) -> AddressKind {
        if let Some(scoped) = Scoped::read(text) {
            scoped.kind
        } else if phone::is_number(text) {
            AddressKind::Phone
        } else if mailbox::has_form(text) {
            AddressKind::Email
        } else {
            AddressKind::Name
        }
    }

    /// What it is the address of.
    #[must_use]
    pub fn kind(&self) -> AddressKind {
        Self::kind_of(&self.0)
    }

    /// What it is compared by, and what ids are made of. It is the identity of itself.
    ///
    /// Of a mailbox that is the text in lower case, with the domain as DNS has it (RFC 5890: `xn--...` for what is not
    /// ASCII): hardly any host tells `Ann@` from `ann@`, and people write both. Of a phone number it is the one of two
    /// forms that its country has for it, as `quirks` lists them. Of every other address it is the address.
    #[must_use]
    pub fn identity(&self) -> Cow<'_, Self> {
        let other = match self.kind() {
            AddressKind::Phone => quirks::identity(&self.0),
            AddressKind::Email => mailbox::identity(&self.0),
            AddressKind::Name | AddressKind::WhatsappUser | AddressKind::ExternalId => None,
        };
        other.map_or(Cow::Borrowed(self), |text| Cow::Owned(Self(text)))
    }

    /// The text as it is handed to a provider: of a mailbox the domain as DNS has it, since few servers take
    /// another one (RFC 6531).
    #[must_use]
    pub fn to_send(&self) -> Cow<'_, str> {
        match self.kind() {
            AddressKind::Email => mailbox::to_send(&self.0),
            _ => Cow::Borrowed(&self.0),
        }
    }

    /// The text as it is shown: of an [`identity`](Self::identity), too, with the domain of a mailbox in Unicode.
    #[must_use]
    pub fn to_show(&self) -> Cow<'_, str> {
        match self.kind() {
            AddressKind::Email => mailbox::to_show(&self.0),
            _ => Cow::Borrowed(&self.0),
        }
    }

    /// The scope that it means something in, for the kinds that have one.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        Scoped::read(&self.0).map(|scoped| scoped.scope)
    }

    /// The calling code of a phone number's country, such as 44; that of its first digits is enough.
    #[must_use]
    pub fn calling_code(number: &str) -> Option<u16> {
        phone::calling_code(number)
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
