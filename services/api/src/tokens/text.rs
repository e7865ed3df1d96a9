//! Reading a token before anything of it is believed. Pure, and within limits: strangers write these.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::Algorithm;
use super::key::KID_BYTES_MAX;

/// Bytes of a token at most.
pub(crate) const TOKEN_BYTES_MAX: usize = 8_192;

/// What a header may not have: each changes what the rest means, and nothing of that is known here.
const CHANGING: [&str; 4] = ["crit", "b64", "enc", "zip"];

/// Kinds of tokens that say who asks (RFC 7519, section 5.1; RFC 9068). Others prove something else.
const KINDS: [&str; 2] = ["jwt", "at+jwt"];

/// A token, as whoever presents it has it.
pub(crate) struct Unverified {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    pub(super) claims: Map<String, Value>,
}

impl Unverified {
    /// Who is said to have given it.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }
}

/// Reads `text`, or says why it is no token that could be taken.
pub(crate) fn read(text: &str) -> Result<Unverified, &'static str> {
    if text.len() > TOKEN_BYTES_MAX {
        return Err("a token that is too long");
    }
    let mut parts = text.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("no key and no token");
    };
    if signature.is_empty() {
        return Err("a token without a signature");
    }
    let header = object(header).ok_or("a token whose header cannot be read")?;
    if CHANGING.iter().any(|name| header.contains_key(*name)) {
        return Err("a token with an extension");
    }
    if header.get("typ").is_some_and(|kind| !is_known(kind)) {
        return Err("a token of another kind");
    }
    let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::named);
    let algorithm = algorithm.ok_or("a token of an algorithm that is not taken")?;
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid.clone()),
        Some(_) => return Err("a token that names its key badly"),
    };
    let claims = object(claims).ok_or("a token whose claims cannot be read")?;
    Ok(Unverified { algorithm, kid, claims })
}

/// Whether `typ` is that of a token that says who asks. Its case does not count, nor that it is one of `application/`.
fn is_known(kind: &Value) -> bool {
    let Some(kind) = kind.as_str() else { return false };
    let kind = kind.to_ascii_lowercase();
    KINDS.contains(&kind.strip_prefix("application/").unwrap_or(&kind))
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok().map(|Members(members)| members)
}

/// The members of an object, of which none has the name of another: who reads the first would believe something else
/// than who reads the last.
struct Members(Map<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Each)
    }
}

struct Each;

impl<'de> Visitor<'de> for Each {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            if members.insert(name, object.next_value()?).is_some() {
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(Members(members))
    }
}
