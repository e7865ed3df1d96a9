//! API keys: by what a program shows whose it is, and what it may do.
//!
//! Of a key's text only the SHA-256 is kept ([`ApiKeyText`]): whoever reads the log cannot use a key.

pub mod command;
mod decide;
pub mod event;
mod evolve;
#[cfg(test)]
mod tests;
mod text;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use self::command::{ApiKeyCommand, ApiKeyRejection};
use self::event::ApiKeyEvent;
pub use self::text::{ApiKeyText, BadApiKey, KeyId, Minted, Presented, SecretHash, is_meant, read};
use crate::actor::Actor;
use crate::address::Address;
use crate::channel::Channel;
use crate::decider::{Decider, Routing};
use crate::ids::ApiKeyId;
use crate::ip_range::IpRange;
use crate::scope::{Scope, Scopes};

/// The aggregate's name in the log and in subjects.
pub const AGGREGATE: &str = "api_key";

/// Namespace of [`api_key_id`]: a UUIDv4 drawn once for hatch.
const NAMESPACE: Uuid = Uuid::from_u128(0x5f0d_2c71_9be4_4a38_8d16_e3b7_40a9_c25f);

/// The stream of a key: a UUIDv5 of the id that its text has.
#[must_use]
pub fn api_key_id(id: &KeyId) -> ApiKeyId {
    ApiKeyId(Uuid::new_v5(&NAMESPACE, id.as_str().as_bytes()))
}

/// What a key is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyType {
    /// What it sends goes to providers.
    #[default]
    Live,
    /// What it sends are tests, which go to nobody.
    Test,
    /// What it sends goes to people on the tenant's list.
    Team,
}

impl KeyType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::Live, Self::Test, Self::Team];

    /// The type's name in the API and in the key's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
            Self::Team => "team",
        }
    }

    /// Whether a key of this type may have that scope. With what is the administrator's, one that reaches nobody could
    /// make others that reach everybody.
    #[must_use]
    pub fn may_have(self, scope: Scope) -> bool {
        self == Self::Live || !matches!(scope, Scope::Admin | Scope::Platform)
    }

    /// Whether nobody is reached by a key of the type `other` who is not by one of this.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        match self {
            Self::Live => true,
            Self::Team => other != Self::Live,
            Self::Test => other == Self::Test,
        }
    }
}

/// Secrets before the present one that may still count. Who loses the answer of a rotation rotates again, and the
/// programs that use the first secret are to work for as long as they were promised.
const OLD_SECRETS_MAX: usize = 4;

/// An API key, folded from its stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    id: KeyId,
    name: String,
    key_type: KeyType,
    scopes: Scopes,
    senders: Vec<Address>,
    channels: Vec<Channel>,
    ip_ranges: Vec<IpRange>,
    secret: Option<SecretHash>,
    /// The secrets before, the newest first, and until when each counts.
    old: Vec<(SecretHash, DateTime<Utc>)>,
    expires_at: Option<DateTime<Utc>>,
    created_by: String,
    created_at: Option<DateTime<Utc>>,
    rotated_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

/// Why a key that is presented opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// Its secret is not that of the key with its id.
    #[error("the secret is not the key's")]
    WrongSecret,
    /// Its time is over.
    #[error("the key has expired")]
    Expired,
    /// Somebody ended it.
    #[error("the key was revoked")]
    Revoked,
}

impl ApiKey {
    /// The id that the key's text has.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    #[must_use]
    pub const fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// What it allows.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// From whom it sends; from everybody, if none.
    #[must_use]
    pub fn senders(&self) -> &[Address] {
        &self.senders
    }

    /// By which channels it sends; by all, if none.
    #[must_use]
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// From where it may be used; from everywhere, if none.
    #[must_use]
    pub fn ip_ranges(&self) -> &[IpRange] {
        &self.ip_ranges
    }

    /// When it ends by itself.
    #[must_use]
    pub const fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }

    /// Who made it.
    #[must_use]
    pub fn created_by(&self) -> Actor {
        self.created_by.parse().unwrap_or_else(|never: std::convert::Infallible| match never {})
    }

    /// When it was made.
    #[must_use]
    pub const fn created_at(&self) -> Option<DateTime<Utc>> {
        self.created_at
    }

    /// When it got its present secret, if that is not its first.
    #[must_use]
    pub const fn rotated_at(&self) -> Option<DateTime<Utc>> {
        self.rotated_at
    }

    /// When it was ended.
    #[must_use]
    pub const fn revoked_at(&self) -> Option<DateTime<Utc>> {
        self.revoked_at
    }

    /// Whether whoever presents a key with this hash is let in at `now`.
    ///
    /// # Errors
    /// Why not.
    pub fn admits(&self, hash: &SecretHash, now: DateTime<Utc>) -> Result<(), KeyRefusal> {
        let is_present = self.secret.as_ref().is_some_and(|secret| secret == hash);
        let is_old = self.old.iter().any(|(old, until)| old == hash && now < *until);
        if !(is_present || is_old) {
            return Err(KeyRefusal::WrongSecret);
        }
        match () {
            () if self.revoked_at.is_some() => Err(KeyRefusal::Revoked),
            () if self.expires_at.is_some_and(|end| end <= now) => Err(KeyRefusal::Expired),
            () => Ok(()),
        }
    }
}

impl Decider for ApiKey {
    const KIND: &'static str = AGGREGATE;

    type Command = ApiKeyCommand;
    type Event = ApiKeyEvent;
    type Rejection = ApiKeyRejection;

    fn decide(&self, command: &ApiKeyCommand) -> Result<Vec<ApiKeyEvent>, ApiKeyRejection> {
        self.decide_command(command)
    }

    fn evolve(self, event: &ApiKeyEvent) -> Self {
        self.after(event)
    }

    fn routing(&self) -> Routing {
        Routing { aggregate: Self::KIND, conversation_id: None, channel: None, priority: None }
    }
}
