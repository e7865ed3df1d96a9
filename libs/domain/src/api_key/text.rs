//! A key as it is written: `hk_<type>_<id>_<secret><checksum>`.
//!
//! The id is twelve characters in clear, for people and logs. The secret is 32 characters of base62, some 190 bits, so
//! that one SHA-256 of the text is enough of a hash. The checksum is six characters, the CRC-32 of all before it:
//! scanners for lost secrets, and this reader, know by it what is a key without asking anybody.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use super::KeyType;

const PREFIX: &str = "hk";
const ID_LENGTH: usize = 12;
const SECRET_LENGTH: usize = 32;
const CHECKSUM_LENGTH: usize = 6;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Bytes of chance below this say a character of base62, each with the same probability.
const FAIR_BYTES: u8 = 62 * 4;

/// Whether a text that is presented is meant to be a key: other credentials begin otherwise.
#[must_use]
pub fn is_meant(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('_'))
}

/// The id that a key's text has: twelve characters of base62.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "0123456789AB")]
pub struct KeyId(Box<str>);

/// A text that is no key's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the id of a key: twelve letters and digits")]
pub struct BadKeyId;

impl KeyId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = BadKeyId;

    fn from_str(text: &str) -> Result<Self, BadKeyId> {
        let is_one = text.len() == ID_LENGTH && is_base62(text);
        if is_one { Ok(Self(text.into())) } else { Err(BadKeyId) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0.into()
    }
}

impl TryFrom<String> for KeyId {
    type Error = BadKeyId;

    fn try_from(text: String) -> Result<Self, BadKeyId> {
        // The state of a key that was never made has none.
        if text.is_empty() { Ok(Self::default()) } else { text.parse() }
    }
}

/// The SHA-256 of a key's text. It has no schema: nobody outside is told it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of a text that nobody can guess.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl PartialEq for SecretHash {
    /// Takes as long wherever they differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> Self {
        hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A text that is no SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct BadSecretHash;

impl TryFrom<String> for SecretHash {
    type Error = BadSecretHash;

    fn try_from(text: String) -> Result<Self, BadSecretHash> {
        let digits = text.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() {
            return Err(BadSecretHash);
        }
        let value = |digit: u8| char::from(digit).to_digit(16).ok_or(BadSecretHash);
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let both = 16 * value(pair[0])? + value(pair[1])?;
            *byte = u8::try_from(both).map_err(|_| BadSecretHash)?;
        }
        Ok(Self(hash))
    }
}

/// A key that was made just now: the only time that its text is known.
#[derive(Clone)]
pub struct Minted {
    /// The text, which is shown once.
    pub text: String,
    /// The id in it.
    pub id: KeyId,
    /// What is kept of it.
    pub hash: SecretHash,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Makes texts of keys.
#[derive(Debug)]
pub struct ApiKeyText;

impl ApiKeyText {
    /// A new key by these bytes of chance; none where too many of them are not fair, which is as good as never.
    #[must_use]
    pub fn mint(key_type: KeyType, entropy: &[u8; 64]) -> Option<Minted> {
        let drawn = draw(entropy, ID_LENGTH + SECRET_LENGTH)?;
        let (id, secret) = drawn.split_at(ID_LENGTH);
        Some(write(key_type, KeyId(id.into()), secret))
    }

    /// Another text of the key `id`.
    #[must_use]
    pub fn mint_for(key_type: KeyType, id: KeyId, entropy: &[u8; 64]) -> Option<Minted> {
        let secret = draw(entropy, SECRET_LENGTH)?;
        Some(write(key_type, id, &secret))
    }
}

/// What a text says that may be a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// What it is for.
    pub key_type: KeyType,
    /// Which key it is.
    pub id: KeyId,
    /// Whether it is that key, this tells.
    pub hash: SecretHash,
}

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadApiKey {
    /// It has another form.
    #[error("it has not the form of a key")]
    Form,
    /// Its last six characters do not follow from the others: it was cut, or typed wrongly.
    #[error("its checksum is wrong")]
    Checksum,
}

/// Reads a text as a key. Nothing but the text is asked.
///
/// # Errors
/// [`BadApiKey`] for what nobody was ever given.
pub fn read(text: &str) -> Result<Presented, BadApiKey> {
    let mut parts = text.split('_');
    let (Some(PREFIX), Some(named), Some(id), Some(rest), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(BadApiKey::Form);
    };
    let key_type = KeyType::ALL.into_iter().find(|one| one.as_str() == named);
    let (Some(key_type), Ok(id)) = (key_type, id.parse::<KeyId>()) else {
        return Err(BadApiKey::Form);
    };
    if rest.len() != SECRET_LENGTH + CHECKSUM_LENGTH || !is_base62(rest) {
        return Err(BadApiKey::Form);
    }
    // All of it is ASCII.
    let (told, checksum) = text.split_at(text.len() - CHECKSUM_LENGTH);
    if checksum_of(told) != checksum {
        return Err(BadApiKey::Checksum);
    }
    Ok(Presented { key_type, id, hash: SecretHash::of(text) })
}

fn write(key_type: KeyType, id: KeyId, secret: &str) -> Minted {
    let mut text = format!("{PREFIX}_{}_{id}_{secret}", key_type.as_str());
    text.push_str(&checksum_of(&text));
    let hash = SecretHash::of(&text);
    Minted { text, id, hash }
}

fn draw(entropy: &[u8; 64], length: usize) -> Option<String> {
    let fair = entropy.iter().filter(|byte| **byte < FAIR_BYTES);
    let drawn: String = fair.map(|byte| digit(u32::from(*byte))).take(length).collect();
    (drawn.len() == length).then_some(drawn)
}

/// The CRC-32 (ISO-HDLC) of a text in base62, most significant digit first.
fn checksum_of(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = ['0'; CHECKSUM_LENGTH];
    for place in digits.iter_mut().rev() {
        *place = digit(rest);
        rest /= 62;
    }
    digits.iter().collect()
}

fn digit(number: u32) -> char {
    let place = usize::try_from(number % 62).unwrap_or_default();
    char::from(BASE62[place])
}

fn is_base62(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
