//! What may be asked of a member, and why it may be refused.

use chrono::{DateTime, Utc};

use super::event::MemberInvited;
use super::role::Standing;
use super::{Identity, PasswordHash, SignInWay};
use crate::api_key::SecretHash;
use crate::ids::SessionId;
use crate::sealed::Sealed;

/// What may be asked of a member. Whether who asks may ask it, others have looked at; so has who looks after owners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberCommand {
    /// Give him a link. Who has one gets another in its place; who was removed may come back.
    Invite(Box<MemberInvited>),
    /// He came by his link, or by an identity provider that knows his email.
    Join {
        /// The link's hash; none where an identity provider vouches for his email.
        invitation: Option<SecretHash>,
        /// How.
        by: Joining,
        /// What he is called, where he says so.
        name: Option<String>,
        /// When.
        at: DateTime<Utc>,
    },
    /// He is known elsewhere, too.
    Link {
        /// As whom.
        identity: Identity,
        /// When.
        at: DateTime<Utc>,
    },
    /// Give him another standing.
    ChangeRole {
        /// Which.
        standing: Standing,
        /// When.
        at: DateTime<Utc>,
    },
    /// Give him another password. Whoever asks knows the one before.
    SetPassword {
        /// What it was made into.
        hash: PasswordHash,
        /// When.
        at: DateTime<Utc>,
    },
    /// The same password, made into something that costs more to guess, unless it is another one by now.
    RehashPassword {
        /// What it was made into.
        from: PasswordHash,
        /// What it is made into now.
        to: PasswordHash,
        /// When.
        at: DateTime<Utc>,
    },
    /// Ask him for a second factor from now on. Another one takes its place only after that was ended.
    EnableTotp {
        /// The sealed secret.
        secret: Sealed,
        /// Codes that stand in for it, each once.
        recovery: Vec<SecretHash>,
        /// When.
        at: DateTime<Utc>,
    },
    /// Ask him for none any more.
    DisableTotp {
        /// When.
        at: DateTime<Utc>,
    },
    /// The same secret under another master key, unless it is another one by now.
    RewrapTotp {
        /// As it is sealed now.
        from: Sealed,
        /// As it is to be sealed.
        to: Sealed,
        /// When.
        at: DateTime<Utc>,
    },
    /// He has signed in. `recovery` is the code that stood in for the second factor, if one did.
    SignIn {
        /// The session that begins.
        session_id: SessionId,
        /// How.
        by: SignInWay,
        /// The code that is used up by it.
        recovery: Option<SecretHash>,
        /// Whether a second factor was asked for.
        second_factor: bool,
        /// When.
        at: DateTime<Utc>,
    },
    /// A session of his was ended by somebody.
    EndSession {
        /// Which.
        session_id: SessionId,
        /// When.
        at: DateTime<Utc>,
    },
    /// He is a member no more.
    Remove {
        /// When.
        at: DateTime<Utc>,
    },
}

/// How somebody comes the first time, and will come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joining {
    /// By a password that he has chosen.
    Password(PasswordHash),
    /// By an identity provider.
    Oidc(Identity),
}

/// Why a member does not do what he is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemberRejection {
    /// There is no such member.
    #[error("there is no such member")]
    Unknown,
    /// He is here already.
    #[error("the member has joined already")]
    Joined,
    /// He has not come yet.
    #[error("the member has not joined yet")]
    NotJoined,
    /// He was removed.
    #[error("the member was removed")]
    Removed,
    /// The link is not his, was used, or is too old.
    #[error("the invitation is not valid any more")]
    NoInvitation,
    /// He is asked for a second factor already.
    #[error("there is a second factor already")]
    HasTotp,
    /// The code was used, or never was one.
    #[error("the code does not count")]
    NoSuchCode,
    /// He is known elsewhere as too many.
    #[error("the member has as many identities as he may")]
    TooManyIdentities,
}
