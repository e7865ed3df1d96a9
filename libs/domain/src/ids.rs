//! Typed ids: a message's id cannot be passed where a tenant's is wanted.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
            ToSchema,
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
id! {
    /// A contact: a UUIDv5 of its first address ([`contact_id`](crate::contact::contact_id)).
    ContactId
}
id! {
    /// The stream that says whose an address is ([`identifier_id`](crate::contact::identifier_id)).
    IdentifierId
}
id! {
    /// The consent of an address to a programme
    /// ([`consent_id`](crate::consent::consent_id)).
    ConsentId
}
id! {
    /// The stream of an API key ([`api_key_id`](crate::api_key::api_key_id)).
    ApiKeyId
}
id! {
    /// A person of a tenant: a UUIDv5 of the tenant and the email
    /// ([`member_id`](crate::member::member_id)).
    MemberId
}
id! {
    /// A session of a person who has signed in. It opens nothing: what does is a secret beside it.
    SessionId
}
id! {
    /// The stream of a provider account ([`account_id`](crate::account::account_id)).
    AccountId
}
id! {
    /// The stream of what is told of an account at a provider in a month
    /// ([`carrier_id`](crate::carrier::carrier_id)).
    CarrierId
}
id! {
    /// The stream of a route: a UUIDv7.
    RouteId
}
id! {
    /// The stream of a pool of senders ([`pool_id`](crate::pool::pool_id)).
    PoolId
}

impl TenantId {
    /// The tenant of an installation that has only one.
    pub const DEFAULT: Self = Self(Uuid::from_u128(1));
}

/// Bytes of what a provider calls a message, at most. Twilio's names have 34, SendGrid's some 22, and a mail's
/// Message-ID is one for mails that come in.
pub const PROVIDER_ID_BYTES_MAX: usize = 998;

/// Whether `text` can be what a provider calls a message: not empty, within the limit and without control
/// characters, so that tables and their indexes take it.
#[must_use]
pub fn is_provider_id(text: &str) -> bool {
    (1..=PROVIDER_ID_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_name_is_one_that_an_index_takes() {
        for name in ["SM00000000000000000000000000000000", "a@x.com", "é", &"x".repeat(998)] {
            assert!(is_provider_id(name), "{name}");
        }
        for name in ["", "a\0", "a\nb", "\u{7f}", &"x".repeat(999)] {
            assert!(!is_provider_id(name), "{name:?}");
        }
    }
}
