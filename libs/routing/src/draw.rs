//! What weights choose by: a number that a message and an account draw, and that everybody comes to alike.

use hatch_domain::account_name::AccountName;
use hatch_domain::ids::MessageId;

/// The seed of a message's round, for [`Asked::seed`](crate::Asked::seed).
#[must_use]
pub fn seed(message: MessageId, round: u32) -> u64 {
    let (high, low) = message.0.as_u64_pair();
    mixed(mixed(high ^ mixed(low)).wrapping_add(u64::from(round)))
}

/// A number between 0 and 1, neither of them, by the message and the account.
pub(crate) fn drawn(seed: u64, name: &AccountName) -> f64 {
    /// Bits of the number: one less than `f64` has, so that a half can be added to each.
    const BITS: u32 = 52;
    let bits = mixed(mixed(seed) ^ hashed(name.as_str())) >> (u64::BITS - BITS);
    (bits as f64 + 0.5) / (1_u64 << BITS) as f64
}

/// FNV-1a of 64 bits. It is never another: processes of two builds agree on every message.
fn hashed(text: &str) -> u64 {
    let begin = 0xcbf2_9ce4_8422_2325_u64;
    text.bytes().fold(begin, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Spreads each bit over all of them: the end of SplitMix64.
const fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
