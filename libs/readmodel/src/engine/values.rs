//! Values as PostgreSQL can keep them.

/// `text` as PostgreSQL can keep it. Its `text` has no NUL; one that came in by a webhook must not
/// halt the projection for ever, so it becomes U+FFFD, as an undecodable byte would.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// PostgreSQL has no unsigned integers; the counts kept here (attempts, parts) are far below.
pub(crate) fn integer(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// What [`integer`] wrote, read back.
pub(crate) fn natural(count: i32) -> u32 {
    u32::try_from(count).unwrap_or_default()
}
