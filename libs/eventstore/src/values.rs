//! Values as PostgreSQL can keep them.

use std::borrow::Cow;

/// `text` as PostgreSQL can keep it. Its `text` has no NUL, which becomes U+FFFD, as a byte becomes that cannot be
/// decoded: a text that came in by a webhook must not halt a projection for ever.
#[must_use]
pub fn storable<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let text = text.into();
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text }
}

/// PostgreSQL has no unsigned integers. The counts that are kept, such as attempts, are far below the limit.
#[must_use]
pub fn integer(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Reads what [`integer`] wrote.
#[must_use]
pub fn natural(count: i32) -> u32 {
    u32::try_from(count).unwrap_or_default()
}
