//! The installation's master key.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::LessSafeKey;
use ring::digest::{SHA256, digest};
use zeroize::{Zeroize as _, Zeroizing};

use crate::aead::{self, KEY_BYTES};

/// What a key's id is computed from, beside the key: the digest says nothing of it, because it is 32 bytes of chance.
const ID_DOMAIN: &[u8] = b"hatch master key id\n";

/// Bytes of the digest that are the id.
const ID_BYTES: usize = 8;

/// A master key, which is written as 32 bytes of base64.
pub struct MasterKey {
    id: String,
    key: LessSafeKey,
}

/// A text that is no master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMasterKey {
    /// It is no base64, or of another length.
    #[error("expected 32 bytes as base64, such as `hatch master-key create` prints")]
    Form,
    /// It is no key that anybody drew.
    #[error("expected 32 bytes of chance, such as `hatch master-key create` prints")]
    NotRandom,
}

impl MasterKey {
    /// A new one, as text.
    ///
    /// # Errors
    /// The operating system has no chance to give.
    pub fn draw() -> Result<Zeroizing<String>, std::io::Error> {
        let bytes = aead::chance::<KEY_BYTES>();
        let bytes = bytes.map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
        let bytes = Zeroizing::new(bytes);
        Ok(Zeroizing::new(STANDARD.encode(*bytes)))
    }

    /// By which sealed secrets name it: 16 hexadecimal digits, which tell nothing of the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) const fn key(&self) -> &LessSafeKey {
        &self.key
    }
}

impl FromStr for MasterKey {
    type Err = BadMasterKey;

    fn from_str(text: &str) -> Result<Self, BadMasterKey> {
        let decoded = STANDARD.decode(text.trim()).map_err(|_| BadMasterKey::Form)?;
        let bytes = Zeroizing::new(decoded);
        let key = aead::key(&bytes).ok_or(BadMasterKey::Form)?;
        // A file of zeros, or of one letter, is a mistake that would look as if it had been kept.
        if bytes.iter().all(|byte| Some(byte) == bytes.first()) {
            return Err(BadMasterKey::NotRandom);
        }
        let mut named = [ID_DOMAIN, bytes.as_slice()].concat();
        let id = digest(&SHA256, &named);
        named.zeroize();
        let id = id.as_ref().iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { id, key })
    }
}

/// By its id alone.
impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}
