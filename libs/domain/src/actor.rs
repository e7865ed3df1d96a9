//! Who does something: each event names it.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::api_key::KeyId;

const KEY: &str = "key:";
const USER: &str = "user:";

/// Who does something, as the metadata of events have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever presented an API key.
    Key(KeyId),
    /// A person who has signed in.
    User(Uuid),
    /// A part of hatch or of its surroundings, such as `api`, `dispatcher` or `webhook:twilio`.
    System(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "{KEY}{id}"),
            Self::User(id) => write!(f, "{USER}{id}"),
            Self::System(name) => f.write_str(name),
        }
    }
}

impl FromStr for Actor {
    type Err = Infallible;

    /// What names no key and no person is a part of the system.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let key = text.strip_prefix(KEY).and_then(|id| id.parse().ok()).map(Self::Key);
        let user = || text.strip_prefix(USER).and_then(|id| id.parse().ok()).map(Self::User);
        Ok(key.or_else(user).unwrap_or_else(|| Self::System(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_read_as_it_is_written() {
        for text in [
            "key:0123456789AB",
            "user:01a1fc66-08af-740d-be36-7b7f1ec62c55",
            "api",
            "webhook:twilio",
            "key:short",
            "user:nobody",
            "",
        ] {
            let actor: Actor = text.parse().unwrap_or_else(|never: Infallible| match never {});
            assert_eq!(actor.to_string(), text);
            let is_system = matches!(actor, Actor::System(_));
            assert_eq!(is_system, !(text.contains(":0")), "{text}");
        }
    }
}
