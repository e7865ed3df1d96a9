//! What people consent to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::address::{Address, AddressKind};
use crate::channel::Channel;

/// Characters of a programme's name at most.
const NAME_CHARACTERS_MAX: usize = 64;

/// A purpose that people are written to for, by its name. Each kind of channel has a default one, for messages
/// that name none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Programme(String);

/// Why a text is no name of a programme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a name of 1 to 64 lower-case letters, digits, dots, hyphens and underscores")]
pub struct ProgrammeError;

impl Programme {
    /// Reads a name.
    ///
    /// # Errors
    /// [`ProgrammeError`].
    pub fn new(text: &str) -> Result<Self, ProgrammeError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        let sane = (1..=NAME_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(plain);
        sane.then(|| Self(text.to_owned())).ok_or(ProgrammeError)
    }

    /// The programme of messages of `channel` that name none; none for a channel that no provider carries,
    /// which needs no consent. SMS and MMS have one together, as they have at the carriers.
    #[must_use]
    pub fn default_of(channel: Channel) -> Option<Self> {
        match channel {
            Channel::Sms | Channel::Mms => Some(Self("sms".to_owned())),
            Channel::Email => Some(Self("email".to_owned())),
            Channel::Chat => None,
        }
    }

    /// The default programme of the channel that an address is usually written to by; none for an address that
    /// no provider carries messages to.
    #[must_use]
    pub fn default_for(address: &Address) -> Option<Self> {
        match address.kind() {
            AddressKind::Phone => Self::default_of(Channel::Sms),
            AddressKind::Email => Self::default_of(Channel::Email),
            AddressKind::Name | AddressKind::WhatsappUser | AddressKind::ExternalId => None,
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Programme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
