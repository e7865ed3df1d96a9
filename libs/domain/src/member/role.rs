//! What members may do: four roles that every tenant has, and sets of scopes of one's own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::scope::{Scope, Scopes};

/// What a member is in his tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything of the tenant, and who else is an owner.
    Owner,
    /// Everything of the tenant, but its owners.
    Admin,
    /// Talks with customers.
    Agent,
    /// Reads what is said.
    #[default]
    Viewer,
    /// Scopes that somebody chose.
    Custom,
}

/// What an agent may do.
const AGENT: [Scope; 7] = [
    Scope::MessagesWrite,
    Scope::MessagesRead,
    Scope::ConversationsWrite,
    Scope::ConversationsRead,
    Scope::ContactsWrite,
    Scope::ContactsRead,
    Scope::ConsentWrite,
];

/// What a viewer may do.
const VIEWER: [Scope; 3] = [Scope::MessagesRead, Scope::ConversationsRead, Scope::ContactsRead];

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Agent, Self::Viewer, Self::Custom];

    /// The role's name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Agent => "agent",
            Self::Viewer => "viewer",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of owner, admin, agent, viewer, custom")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

/// A role, and the scopes of one that somebody chose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    role: Role,
    chosen: Scopes,
}

/// Why a role and scopes do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadStanding {
    /// A role that has scopes of its own came with others.
    #[error("expected no scopes beside a role other than custom")]
    ScopesOfRole,
    /// A set of one's own is empty.
    #[error("expected one scope at least for the role custom")]
    NoScopes,
}

impl Standing {
    /// A role with its own scopes.
    #[must_use]
    pub fn of(role: Role) -> Self {
        Self { role, chosen: Scopes::default() }
    }

    /// A set of scopes of one's own.
    #[must_use]
    pub const fn custom(scopes: Scopes) -> Self {
        Self { role: Role::Custom, chosen: scopes }
    }

    /// What was asked for.
    ///
    /// # Errors
    /// [`BadStanding`] where `scopes` do not belong to `role`.
    pub fn new(role: Role, scopes: Scopes) -> Result<Self, BadStanding> {
        match (role, scopes == Scopes::default()) {
            (Role::Custom, true) => Err(BadStanding::NoScopes),
            (Role::Custom, false) => Ok(Self::custom(scopes)),
            (role, true) => Ok(Self::of(role)),
            (_, false) => Err(BadStanding::ScopesOfRole),
        }
    }

    /// The role.
    #[must_use]
    pub const fn role(self) -> Role {
        self.role
    }

    /// The scopes that somebody chose; none where the role has its own.
    #[must_use]
    pub const fn chosen(self) -> Scopes {
        self.chosen
    }

    /// What may be done.
    #[must_use]
    pub fn scopes(self) -> Scopes {
        match self.role {
            Role::Owner | Role::Admin => Scopes::of(&[Scope::Admin]),
            Role::Agent => Scopes::of(&AGENT),
            Role::Viewer => Scopes::of(&VIEWER),
            Role::Custom => self.chosen,
        }
    }

    /// Whether something is lost that `before` had.
    #[must_use]
    pub fn is_less_than(self, before: Self) -> bool {
        let loses_owners = before.role == Role::Owner && self.role != Role::Owner;
        loses_owners || !self.scopes().covers(before.scopes())
    }
}
