//! What a caller may be allowed to do.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

// A name is a token here: generators of documents do not see a literal that a macro has matched as one.
macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $text:tt,)+) => {
        /// One thing that a caller may be allowed to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        pub enum Scope {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
        }

        impl Scope {
            /// Every scope.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The scope's name in the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

scopes! {
    /// Send messages, and change what becomes of them.
    MessagesWrite = "messages:write",
    /// Read messages, what became of them, and the events.
    MessagesRead = "messages:read",
    /// Change conversations.
    ConversationsWrite = "conversations:write",
    /// Read conversations.
    ConversationsRead = "conversations:read",
    /// Change contacts.
    ContactsWrite = "contacts:write",
    /// Read contacts and their consent.
    ContactsRead = "contacts:read",
    /// Say who may be written to.
    ConsentWrite = "consent:write",
    /// Change templates.
    TemplatesWrite = "templates:write",
    /// Change webhook endpoints, and read webhooks again.
    WebhooksWrite = "webhooks:write",
    /// Read what providers posted.
    WebhooksRead = "webhooks:read",
    /// Read bodies as they came.
    RawRead = "raw:read",
    /// Read who did what.
    AuditRead = "audit:read",
    /// Make, change and end API keys.
    KeysWrite = "keys:write",
    /// Everything of the tenant.
    Admin = "admin",
    /// Make and change tenants.
    Platform = "platform",
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such scope")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// What a caller may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Vec<Scope>)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Each scope there is.
    #[must_use]
    pub fn all() -> Self {
        Self::of(Scope::ALL)
    }

    /// These scopes.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().copied().collect())
    }

    /// The scopes, each once.
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what needs `scope` is allowed. `admin` allows everything of a tenant; tenants themselves are beyond it.
    #[must_use]
    pub fn allows(&self, scope: Scope) -> bool {
        self.0.contains(&scope) || (scope != Scope::Platform && self.0.contains(&Scope::Admin))
    }

    /// Whether all that `other` allows is allowed.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|scope| self.allows(scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_as_it_is_written() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(*scope));
            let json = serde_json::to_string(scope).expect("a name");
            assert_eq!(json, format!("\"{scope}\""));
        }
        for text in ["", "messages", "MESSAGES:READ", "messages:read "] {
            assert_eq!(text.parse::<Scope>(), Err(UnknownScope), "{text:?}");
        }
    }

    #[test]
    fn admin_allows_all_of_the_tenant_and_no_tenants() {
        let admin = Scopes::of(&[Scope::Admin]);
        for scope in Scope::ALL {
            assert_eq!(admin.allows(*scope), *scope != Scope::Platform, "{scope}");
        }
        assert!(Scopes::of(&[Scope::Platform]).allows(Scope::Platform));
        assert!(!Scopes::of(&[Scope::Platform]).allows(Scope::MessagesRead));
    }

    #[test]
    fn no_set_covers_one_that_allows_more() {
        let writes = Scopes::of(&[Scope::MessagesWrite, Scope::KeysWrite]);
        let admin = Scopes::of(&[Scope::Admin]);
        assert!(admin.covers(&writes) && !writes.covers(&admin));
        assert!(
            writes.covers(&Scopes::of(&[Scope::KeysWrite])) && writes.covers(&Scopes::default())
        );
        assert!(!admin.covers(&Scopes::all()), "tenants are beyond it");
        assert!(Scopes::all().covers(&admin));
    }
}
