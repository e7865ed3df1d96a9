//! Browsers by which somebody has signed in before. Whoever tries an email too often keeps its owner out for some minutes,
//! but not in a browser that is known: those of a member are counted apart, all of them together, so that who makes up some
//! gets no further by more of them.
//!
//! Nothing is kept of them here. What a browser keeps is proved by what the member's password was made into, which nobody
//! has outside of the database: with another password all of them are forgotten.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hatch_directory::MemberEntry;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// How long a browser is known, in seconds.
pub(crate) const KNOWN_SECONDS: i64 = 180 * 86_400;

/// What is proved, so that the proof is one of nothing else.
const WHAT: &[u8] = b"hatch: a browser that is known";

/// Bytes of a browser's number.
const NUMBER_BYTES: usize = 16;

/// What a browser of the member's keeps from now on; nothing where he has no password.
pub(crate) fn mint(entry: &MemberEntry, entropy: &[u8; 64]) -> Option<String> {
    let number = URL_SAFE_NO_PAD.encode(&entropy[..NUMBER_BYTES]);
    let proof = proof(entry, &number)?.finalize().into_bytes();
    Some(format!("{number}.{}", URL_SAFE_NO_PAD.encode(proof)))
}

/// Whether the browser that keeps `kept` is one of the member's.
pub(super) fn is_of(kept: &str, entry: &MemberEntry) -> bool {
    let Some((number, proved)) = kept.split_once('.') else { return false };
    let Ok(proved) = URL_SAFE_NO_PAD.decode(proved) else { return false };
    proof(entry, number).is_some_and(|proof| proof.verify_slice(&proved).is_ok())
}

fn proof(entry: &MemberEntry, number: &str) -> Option<Hmac<Sha256>> {
    let password = entry.member.password()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(password.as_str().as_bytes()).ok()?;
    mac.update(WHAT);
    mac.update(entry.id.0.as_bytes());
    mac.update(number.as_bytes());
    Some(mac)
}
