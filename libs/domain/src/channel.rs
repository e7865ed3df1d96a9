//! How a message travels.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A text message to a phone.
    Sms,
    /// A text message with pictures and the like.
    Mms,
    /// A mail.
    Email,
    /// A message between participants of this installation: stored and shown, carried by nobody.
    Chat,
}

impl Channel {
    /// The channel's name in the API, in subjects and in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Mms => "mms",
            Self::Email => "email",
            Self::Chat => "chat",
        }
    }

    /// Every channel.
    pub const ALL: [Self; 4] = [Self::Sms, Self::Mms, Self::Email, Self::Chat];

    /// Whether a provider carries it.
    #[must_use]
    pub const fn has_provider(self) -> bool {
        !matches!(self, Self::Chat)
    }
}
