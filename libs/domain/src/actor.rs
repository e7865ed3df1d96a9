//! Who does something: each event names it.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::api_key::KeyId;

const KEY: &str = "key:";
const USER: &str = "user:";
const TOKEN: &str = "token:";

/// Who does something, as the metadata of events have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever presented an API key.
    Key(KeyId),
    /// A person who has signed in.
    User(Uuid),
    /// Whoever presented a token of an issuer: the issuer's name in the settings, and whom the issuer calls so.
    Token {
        /// Which has no slash.
        issuer: String,
        /// As the token has it.
        subject: String,
    },
    /// A part of hatch or of its surroundings, such as `api`, `dispatcher` or `webhook:twilio`.
    System(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "{KEY}{id}"),
            Self::User(id) => write!(f, "{USER}{id}"),
            Self::Token { issuer, subject } => write!(f, "{TOKEN}{issuer}/{subject}"),
            Self::System(name) => f.write_str(name),
        }
    }
}

impl FromStr for Actor {
    type Err = Infallible;

    /// What names no key, no person and no token is a part of the system.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let key = text.strip_prefix(KEY).and_then(|id| id.parse().ok()).map(Self::Key);
        let user = || text.strip_prefix(USER).and_then(|id| id.parse().ok()).map(Self::User);
        let token = || text.strip_prefix(TOKEN).and_then(token);
        Ok(key.or_else(user).or_else(token).unwrap_or_else(|| Self::System(text.to_owned())))
    }
}

/// Whose token it was: what stands before the first slash has given it.
fn token(text: &str) -> Option<Actor> {
    let (issuer, subject) = text.split_once('/')?;
    let has_both = !issuer.is_empty() && !subject.is_empty();
    has_both.then(|| Actor::Token { issuer: issuer.to_owned(), subject: subject.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_read_as_it_is_written() {
        for (text, kind) in [
            ("key:0123456789AB", "key"),
            ("user:01a1fc66-08af-740d-be36-7b7f1ec62c55", "user"),
            ("token:staff/ann", "token"),
            ("token:staff/auth0|12/34", "token"),
            ("api", "system"),
            ("webhook:twilio", "system"),
            ("key:short", "system"),
            ("user:nobody", "system"),
            ("token:staff", "system"),
            ("token:/ann", "system"),
            ("token:staff/", "system"),
            ("", "system"),
        ] {
            let actor: Actor = text.parse().unwrap_or_else(|never: Infallible| match never {});
            assert_eq!(actor.to_string(), text);
            let read = match actor {
                Actor::Key(_) => "key",
                Actor::User(_) => "user",
                Actor::Token { .. } => "token",
                Actor::System(_) => "system",
            };
            assert_eq!(read, kind, "{text}");
        }
    }
}
