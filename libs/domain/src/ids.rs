//! Typed ids: a message's id cannot be passed where a tenant's is wanted.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// A customer of this installation. Every row, event and subject carries one.
    TenantId
}
id! {
    /// A message, and the id of its stream. UUIDv7 for outbound messages; for inbound ones a UUIDv5
    /// of what the provider calls it ([`inbound_message_id`](crate::message::inbound_message_id)).
    MessageId
}
id! {
    /// A conversation: a UUIDv8 computed from its participants
    /// ([`conversation_id`](crate::conversation::conversation_id)).
    ConversationId
}

impl TenantId {
    /// The tenant of an installation that has only one.
    pub const DEFAULT: Self = Self(Uuid::from_u128(1));
}
