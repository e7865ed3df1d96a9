//! The facts about a member, as the log keeps them. How a shape may change, says
//! [`events!`](crate::events!).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::role::Role;
use super::{PasswordHash, SignInWay};
use crate::address::Address;
use crate::api_key::SecretHash;
use crate::ids::SessionId;
use crate::scope::Scopes;
use crate::sealed::Sealed;

/// Somebody was given a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MemberInvitedData)]
pub struct MemberInvited {
    /// His email.
    pub email: Address,
    /// What he is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What he is to be.
    pub role: Role,
    /// What he may do, where the role is `custom`.
    #[serde(default)]
    pub scopes: Scopes,
    /// The SHA-256 of the link's secret. It stays in the log.
    #[schema(ignore)]
    pub invitation_hash: SecretHash,
    /// Until when the link counts.
    pub expires_at: DateTime<Utc>,
    /// Who invited him, such as `cli` or `user:` and an id.
    pub invited_by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// He came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MemberJoinedData)]
pub struct MemberJoined {
    /// How.
    pub by: SignInWay,
    /// What he is called, where he said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// He is something else in his tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MemberRoleChangedData)]
pub struct MemberRoleChanged {
    /// What he is.
    pub role: Role,
    /// What he may do, where the role is `custom`.
    #[serde(default)]
    pub scopes: Scopes,
    /// Whether it is less than before, which ends his sessions.
    pub ends_sessions: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// He has another password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PasswordSetData)]
pub struct PasswordSet {
    /// What it was made into. It stays in the log.
    #[schema(ignore)]
    pub hash: PasswordHash,
    /// Whether it is another one, which ends his sessions, and not the same made into something else.
    pub ends_sessions: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// He is known elsewhere, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OidcLinkedData)]
pub struct OidcLinked {
    /// What the identity provider calls itself.
    pub issuer: String,
    /// What it calls him.
    pub subject: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// He is asked for a second factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TotpEnabledData)]
pub struct TotpEnabled {
    /// The secret, sealed. It stays in the log.
    #[schema(ignore)]
    pub secret: Sealed,
    /// The SHA-256 of each code that stands in for it. They stay in the log.
    #[schema(ignore)]
    pub recovery_hashes: Vec<SecretHash>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The secret of his second factor lies under another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TotpRewrappedData)]
pub struct TotpRewrapped {
    /// The secret, sealed. It stays in the log.
    #[schema(ignore)]
    pub secret: Sealed,
    /// When.
    pub at: DateTime<Utc>,
}

/// He is asked for no second factor any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TotpDisabledData)]
pub struct TotpDisabled {
    /// When.
    pub at: DateTime<Utc>,
}

/// A code stood in for the second factor, and does not again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RecoveryCodeUsedData)]
pub struct RecoveryCodeUsed {
    /// The SHA-256 of the code. It stays in the log.
    #[schema(ignore)]
    pub code_hash: SecretHash,
    /// When.
    pub at: DateTime<Utc>,
}

/// He signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SessionStartedData)]
pub struct SessionStarted {
    /// The session.
    pub session_id: SessionId,
    /// How.
    pub by: SignInWay,
    /// Whether he was asked for a second factor.
    pub second_factor: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// Somebody ended a session of his.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SessionEndedData)]
pub struct SessionEnded {
    /// The session.
    pub session_id: SessionId,
    /// When.
    pub at: DateTime<Utc>,
}

/// He is a member no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MemberRemovedData)]
pub struct MemberRemoved {
    /// When.
    pub at: DateTime<Utc>,
}

crate::events! {
    /// Every event of a member's stream.
    pub enum MemberEvent {
        MemberInvited without [invitation_hash] as Box<MemberInvited>,
        MemberJoined,
        MemberRoleChanged,
        PasswordSet without [hash],
        OidcLinked,
        TotpEnabled without [secret, recovery_hashes],
        TotpRewrapped without [secret],
        TotpDisabled,
        RecoveryCodeUsed without [code_hash],
        SessionStarted,
        SessionEnded,
        MemberRemoved,
    }
}
