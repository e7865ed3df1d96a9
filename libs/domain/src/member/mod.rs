//! Members: the people of a tenant, what each may do, and how each shows who he is.
//!
//! Of a link only the SHA-256 is kept, of a password what argon2id makes of it, and the secret of a second factor is
//! sealed: whoever reads the log cannot sign in.

pub mod command;
mod decide;
pub mod event;
mod evolve;
mod role;
mod secrets;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use self::command::{MemberCommand, MemberRejection};
use self::event::MemberEvent;
pub use self::role::{BadStanding, Role, Standing, UnknownRole};
pub use self::secrets::PasswordHash;
use crate::address::Address;
use crate::api_key::SecretHash;
use crate::decider::{Decider, Routing};
use crate::ids::{MemberId, SessionId, TenantId};
use crate::scope::Scopes;
use crate::sealed::Sealed;

/// The aggregate's name in the log and in subjects.
pub const AGGREGATE: &str = "member";

/// Namespace of [`member_id`]: a UUIDv4 drawn once for hatch.
const NAMESPACE: Uuid = Uuid::from_u128(0x9c27_4e0b_61d3_4f85_a2be_0d71_58f6_13e9);

/// The member of a tenant that has this email: a UUIDv5 of both. So there is one at most, whoever else invites the same
/// person at the same time.
#[must_use]
pub fn member_id(tenant: TenantId, email: &Address) -> MemberId {
    MemberId(Uuid::new_v5(&NAMESPACE, format!("{tenant}\n{}", email.identity()).as_bytes()))
}

/// By what somebody shows who he is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignInWay {
    /// By a password.
    Password,
    /// By an identity provider (OpenID Connect).
    Oidc,
}

/// Who somebody is at an identity provider: what that calls itself, and what it calls him.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The identity provider.
    pub issuer: String,
    /// The person.
    pub subject: String,
}

/// The field of a member's events that has the sealed secret of the second factor.
pub const TOTP_FIELD: &str = "totp";

/// Identities of a member at most.
pub const IDENTITIES_MAX: usize = 8;

/// What a member is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    /// He has a link, and has not come by it yet.
    Invited,
    /// He may sign in.
    Active,
    /// He is none any more.
    Removed,
}

impl MemberStatus {
    /// The status' name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Active => "active",
            Self::Removed => "removed",
        }
    }
}

/// A link that lets a person in once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Invitation {
    hash: SecretHash,
    expires_at: DateTime<Utc>,
}

/// A second factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Totp {
    secret: Sealed,
    /// Of the codes that stand in for it, those that are unused.
    recovery: Vec<SecretHash>,
}

/// A member, folded from its stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    email: Option<Address>,
    name: Option<String>,
    standing: Standing,
    invited_by: String,
    invitation: Option<Invitation>,
    invited_at: Option<DateTime<Utc>>,
    joined_at: Option<DateTime<Utc>>,
    removed_at: Option<DateTime<Utc>>,
    password: Option<PasswordHash>,
    totp: Option<Totp>,
    identities: Vec<Identity>,
    /// How often all of his sessions were ended. One that began before the last time is none.
    generation: i32,
    /// The sessions that began and were ended last, so that neither is recorded twice.
    started: Option<SessionId>,
    ended: Option<SessionId>,
}

impl Member {
    /// His email; none where nobody was ever invited.
    #[must_use]
    pub const fn email(&self) -> Option<&Address> {
        self.email.as_ref()
    }

    /// What he is called.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// His role, and what he may do by it.
    #[must_use]
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What he may do.
    #[must_use]
    pub fn scopes(&self) -> Scopes {
        self.standing.scopes()
    }

    /// Who invited him, as events have it.
    #[must_use]
    pub fn invited_by(&self) -> &str {
        &self.invited_by
    }

    /// When he was invited last.
    #[must_use]
    pub const fn invited_at(&self) -> Option<DateTime<Utc>> {
        self.invited_at
    }

    /// Until when his link counts, if he has one.
    #[must_use]
    pub fn invitation_expires_at(&self) -> Option<DateTime<Utc>> {
        self.invitation.as_ref().map(|invitation| invitation.expires_at)
    }

    /// When he came.
    #[must_use]
    pub const fn joined_at(&self) -> Option<DateTime<Utc>> {
        self.joined_at
    }

    /// When he was removed.
    #[must_use]
    pub const fn removed_at(&self) -> Option<DateTime<Utc>> {
        self.removed_at
    }

    /// What he is; none where nobody was ever invited.
    #[must_use]
    pub fn status(&self) -> Option<MemberStatus> {
        self.email.as_ref()?;
        Some(match (self.removed_at, self.joined_at) {
            (Some(_), _) => MemberStatus::Removed,
            (None, Some(_)) => MemberStatus::Active,
            (None, None) => MemberStatus::Invited,
        })
    }

    /// Whether he may sign in.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status() == Some(MemberStatus::Active)
    }

    /// Whether he may sign in and may do everything, also to other owners.
    #[must_use]
    pub fn is_active_owner(&self) -> bool {
        self.is_active() && self.standing.role() == Role::Owner
    }

    /// Whether a link with this hash lets him in at `now`.
    #[must_use]
    pub fn admits(&self, hash: &SecretHash, now: DateTime<Utc>) -> bool {
        let fits = |invitation: &Invitation| {
            let is_it = invitation.hash == *hash;
            is_it && now < invitation.expires_at
        };
        self.status() == Some(MemberStatus::Invited) && self.invitation.as_ref().is_some_and(fits)
    }

    /// What his password was made into.
    #[must_use]
    pub const fn password(&self) -> Option<&PasswordHash> {
        self.password.as_ref()
    }

    /// The secret of his second factor.
    #[must_use]
    pub fn totp_secret(&self) -> Option<&Sealed> {
        self.totp.as_ref().map(|totp| &totp.secret)
    }

    /// How many codes are left that stand in for the second factor.
    #[must_use]
    pub fn recovery_codes(&self) -> usize {
        self.totp.as_ref().map_or(0, |totp| totp.recovery.len())
    }

    /// Whether a code with this hash stands in for the second factor.
    #[must_use]
    pub fn has_recovery_code(&self, hash: &SecretHash) -> bool {
        self.totp.as_ref().is_some_and(|totp| totp.recovery.contains(hash))
    }

    /// Who he is elsewhere.
    #[must_use]
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// Whether an identity provider that calls itself `issuer` calls him `subject`.
    #[must_use]
    pub fn is_known_as(&self, issuer: &str, subject: &str) -> bool {
        self.identities.iter().any(|one| one.issuer == issuer && one.subject == subject)
    }

    /// How often all of his sessions were ended: sessions of an earlier number are none.
    #[must_use]
    pub const fn generation(&self) -> i32 {
        self.generation
    }
}

impl Decider for Member {
    const KIND: &'static str = AGGREGATE;

    type Command = MemberCommand;
    type Event = MemberEvent;
    type Rejection = MemberRejection;

    fn decide(&self, command: &MemberCommand) -> Result<Vec<MemberEvent>, MemberRejection> {
        self.decide_command(command)
    }

    fn evolve(self, event: &MemberEvent) -> Self {
        self.after(event)
    }

    fn routing(&self) -> Routing {
        Routing { aggregate: Self::KIND, conversation_id: None, channel: None, priority: None }
    }
}
