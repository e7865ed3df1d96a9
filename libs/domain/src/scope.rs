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

            const fn bit(self) -> u16 {
                1 << (self as u16)
            }

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
#[error("expected one of {}", names())]
pub struct UnknownScope;

/// All scopes, by name.
fn names() -> String {
    Scope::ALL.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ")
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// What a caller may do.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(from = "BTreeSet<Scope>", into = "BTreeSet<Scope>")]
#[schema(value_type = Vec<Scope>)]
pub struct Scopes(u16);

impl Scopes {
    /// Each scope there is.
    #[must_use]
    pub fn all() -> Self {
        Self::of(Scope::ALL)
    }

    /// These scopes.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    /// The scopes, each once.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.has(*scope))
    }

    /// Whether it allows everything that `other` does.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        other.iter().all(|scope| self.allows(scope))
    }

    const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether what needs `scope` is allowed. `admin` allows everything of a tenant; tenants themselves are beyond it.
    #[must_use]
    pub fn allows(self, scope: Scope) -> bool {
        self.has(scope) || (scope != Scope::Platform && self.has(Scope::Admin))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl From<BTreeSet<Scope>> for Scopes {
    fn from(scopes: BTreeSet<Scope>) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl From<Scopes> for BTreeSet<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.iter().collect()
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
        let said = UnknownScope.to_string();
        assert!(said.starts_with("expected one of messages:write, messages:read, "), "{said}");
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
    fn scopes_are_written_by_name_each_once_and_read_again() {
        let scopes = Scopes::of(&[Scope::Admin, Scope::MessagesRead, Scope::Admin]);
        let json = serde_json::to_string(&scopes).expect("names");
        assert_eq!(json, r#"["messages:read","admin"]"#);
        assert_eq!(serde_json::from_str::<Scopes>(&json).expect("scopes"), scopes);
        assert_eq!(Scopes::all().iter().collect::<Vec<_>>(), Scope::ALL);
        assert!(serde_json::from_str::<Scopes>(r#"["everything"]"#).is_err());
    }
}
