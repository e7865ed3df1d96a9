//! Lines that a program, a telephone or a list signs with.

use super::openings::{is_unseen, plain};
use super::words;

/// Lines of a signature below its delimiter (RFC 3676, section 4.3, asks for few).
const LINES_MAX: usize = 30;

/// The same below a delimiter that has lost its space, which may also be a line between paragraphs.
const DOUBTFUL_LINES_MAX: usize = 12;

/// Bytes of a line that a program signs with.
const DEVICE_BYTES_MAX: usize = 120;

/// Bytes of such a line that only names the program.
const GET_BYTES_MAX: usize = 48;

/// The line between a text and a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delimiter {
    /// Lines that may follow it.
    pub(super) lines_max: usize,
    /// Whether it is nothing else.
    pub(super) is_sure: bool,
}

/// The delimiter that `line` is; none if it is none.
pub(super) fn delimiter(line: &str) -> Option<Delimiter> {
    let line = line.trim_end_matches(|c: char| c == '\r' || c == '\n' || is_unseen(c));
    match line {
        "-- " | "--\u{a0}" => Some(Delimiter { lines_max: LINES_MAX, is_sure: true }),
        "--" | "--  " | "—" | "— " => {
            Some(Delimiter { lines_max: DOUBTFUL_LINES_MAX, is_sure: false })
        }
        _ => None,
    }
}

/// Whether a program or a telephone signs with this line.
pub(super) fn is_device(text: &str) -> bool {
    if text.is_empty() || text.len() > DEVICE_BYTES_MAX || text.ends_with('?') {
        return false;
    }
    let text = plain(text);
    let names = words::DEVICES.iter().any(|device| text.contains(device));
    // In a sentence about such a thing, the words stand elsewhere.
    let core = text.trim_matches(|c: char| !c.is_alphanumeric());
    let says = || {
        let mut known = words::SENT_FROM.iter().chain(&words::SENT_FROM_OTHER);
        known.any(|phrase| core.starts_with(*phrase) || core.ends_with(*phrase))
    };
    let gets = || {
        text.contains("outlook")
            && (text.contains("ios") || text.contains("android"))
            && (text.contains("aka.ms") || text.len() <= GET_BYTES_MAX)
    };
    (names && says()) || gets()
}

/// Whether the line is nothing but a link, as it stands below such a line.
pub(super) fn is_link(text: &str) -> bool {
    let inner = text.trim_matches(['<', '>', '[', ']', '(', ')']);
    inner.starts_with("http") && !inner.contains(char::is_whitespace)
}

/// Whether the line is the row of underscores that a list puts above what it adds to each mail.
pub(super) fn is_list_rule(text: &str) -> bool {
    const RULE_BYTES_MIN: usize = 30;
    text.len() >= RULE_BYTES_MIN && text.bytes().all(|b| b == b'_')
}
