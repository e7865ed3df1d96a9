//! AES-256-GCM, as both layers use it: a nonce of chance, then the box with its tag.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;

/// Chance or memory is missing: nothing that another input could mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

/// A key for boxes. None where `bytes` are not as many as it takes.
pub(crate) fn key(bytes: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new)
}

/// Bytes of chance, by the operating system. What is sealed must not depend on a seed that somebody can set.
pub(crate) fn chance<const N: usize>() -> Result<[u8; N], Failed> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Failed)?;
    Ok(bytes)
}

/// Seals `secret` for whoever has the key and says the same `bound`.
pub(crate) fn seal(key: &LessSafeKey, secret: &[u8], bound: &[u8]) -> Result<Vec<u8>, Failed> {
    let nonce: [u8; NONCE_LEN] = chance()?;
    let mut sealed = Vec::with_capacity(NONCE_LEN + secret.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(secret);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(bound), &mut sealed[NONCE_LEN..])
        .map_err(|_| Failed)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// What was sealed with that key and that `bound`. None for anything else.
pub(crate) fn open(key: &LessSafeKey, mut sealed: Vec<u8>, bound: &[u8]) -> Option<Vec<u8>> {
    if sealed.len() < NONCE_LEN {
        return None;
    }
    let mut boxed = sealed.split_off(NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(&sealed).ok()?;
    let length = key.open_in_place(nonce, Aad::from(bound), &mut boxed).ok()?.len();
    boxed.truncate(length);
    Some(boxed)
}
