//! Boxes of a key that is made of other settings, for what comes back soon and is kept nowhere.

use std::fmt;

use ring::aead::LessSafeKey;

use crate::aead;
use crate::keyring::SealError;

/// A key that seals what a stranger keeps for us, such as a cookie.
pub struct Sealer(LessSafeKey);

impl Sealer {
    /// Of a key of 32 bytes; none of any other.
    #[must_use]
    pub fn of(key: &[u8]) -> Option<Self> {
        aead::key(key).map(Self)
    }

    /// Seals `plain` for whoever has the key and says the same `bound`.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn seal(&self, plain: &[u8], bound: &[u8]) -> Result<Vec<u8>, SealError> {
        aead::seal(&self.0, plain, bound).map_err(|_| SealError::NoChance)
    }

    /// What was sealed by this key with that `bound`; none of anything else.
    #[must_use]
    pub fn open(&self, sealed: Vec<u8>, bound: &[u8]) -> Option<Vec<u8>> {
        aead::open(&self.0, sealed, bound)
    }
}

/// Without the key.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_opens_and_only_with_what_it_is_bound_to() {
        let sealer = |byte: u8| Sealer::of(&[byte; 32]).expect("a key");
        let sealed = sealer(1).seal(b"mine", b"a cookie").expect("it is sealed");
        assert_ne!(
            sealer(1).seal(b"mine", b"a cookie").as_ref(),
            Ok(&sealed),
            "a nonce of its own"
        );
        assert_eq!(sealer(1).open(sealed.clone(), b"a cookie").as_deref(), Some(&b"mine"[..]));
        assert_eq!(sealer(1).open(sealed.clone(), b"a file"), None);
        assert_eq!(sealer(2).open(sealed.clone(), b"a cookie"), None);
        for length in 0..sealed.len() {
            assert_eq!(sealer(1).open(sealed[..length].to_vec(), b"a cookie"), None);
        }
        assert!(Sealer::of(&[1; 31]).is_none());
    }
}
