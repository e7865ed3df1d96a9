//! Text out of its charset, whether the mail says which, says nothing, or says it wrongly.
//!
//! The order never changes: what marks itself (a byte order mark) counts first, then what is UTF-8 without doubt,
//! then the escapes of ISO 2022, then what is declared, and at last what the bytes look like.

mod detect;
mod labels;
mod seven_bit;
#[cfg(test)]
mod tests;
mod unicode;

use std::borrow::Cow;

use encoding_rs::{UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

pub use detect::DETECTED_BYTES_MAX;
pub(crate) use labels::{Charset, Family, LABEL_BYTES_MAX, charset};
use unicode::Utf8;

/// Bytes of an HTML document in which its own charset is looked for, as browsers do.
pub const META_BYTES_MAX: usize = 1024;

/// A text out of its charset.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded<'b> {
    /// The text. It begins with no byte order mark.
    pub text: Cow<'b, str>,
    /// How it was read.
    pub reading: Reading,
}

/// How a text was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// In the charset that was declared, or in one that makes no difference.
    Declared,
    /// In another charset: none was declared, or not the right one.
    Guessed,
    /// Some of it could not be read, and is U+FFFD.
    Lossy,
}

/// Reads `bytes` as a text, in the charset of that label where it can be.
pub fn decode<'b>(bytes: &'b [u8], label: Option<&str>) -> Decoded<'b> {
    read(bytes, label.and_then(charset))
}

/// Reads `bytes` as an HTML document, which may say itself in which charset it is.
pub fn decode_html<'b>(bytes: &'b [u8], label: Option<&str>) -> Decoded<'b> {
    let said = label.and_then(charset);
    let says_enough = said.is_some_and(|said| said != Charset::Ascii || bytes.is_ascii());
    if says_enough {
        return read(bytes, said);
    }
    read(bytes, meta_label(bytes).as_deref().and_then(charset).or(said))
}

fn read(bytes: &[u8], declared: Option<Charset>) -> Decoded<'_> {
    if let Some((marked, mark)) = unicode::mark(bytes) {
        return finish(marked.decode(&bytes[mark..]), Reading::Declared);
    }
    if bytes.is_ascii() {
        return read_ascii(bytes, declared);
    }
    if let Some(utf16) = unicode::utf16_by_nul(bytes) {
        return finish(Charset::Encoding(utf16).decode(bytes), Reading::Guessed);
    }
    let utf8 = Utf8::of(bytes);
    let is_declared = declared == Some(Charset::Encoding(UTF_8));
    if utf8.is_meant(declared) || (is_declared && utf8.broken == 0) {
        let how = if is_declared { Reading::Declared } else { Reading::Guessed };
        return finish(String::from_utf8_lossy(bytes), how);
    }
    let says_little = is_declared || matches!(declared, None | Some(Charset::Ascii));
    if says_little && utf8.is_mostly() {
        return finish(String::from_utf8_lossy(bytes), Reading::Lossy);
    }
    let said = declared.filter(|_| !says_little).map(|said| said.decode(bytes));
    match said {
        Some(text) if !is_damaged(&text) => finish(text, Reading::Declared),
        said => {
            let guess = detect::detect(bytes).decode(bytes);
            match said {
                Some(said) if damage(&said) <= damage(&guess) => finish(said, Reading::Declared),
                _ => finish(guess, Reading::Guessed),
            }
        }
    }
}

/// Reads bytes that are all ASCII, which may yet stand for other characters.
fn read_ascii(bytes: &[u8], declared: Option<Charset>) -> Decoded<'_> {
    let (charset, how) = match declared {
        Some(said) if said.is_seven_bit() => (said, Reading::Declared),
        Some(said) if said.is_wide() && bytes.contains(&0) => (said, Reading::Declared),
        _ if seven_bit::is_designated(bytes) => {
            (Charset::Iso2022(Family::Japanese), Reading::Guessed)
        }
        _ => match unicode::utf16_by_nul(bytes) {
            Some(utf16) => (Charset::Encoding(utf16), Reading::Guessed),
            None => (Charset::Ascii, Reading::Declared),
        },
    };
    let text = charset.decode(bytes);
    if is_damaged(&text) {
        return finish(String::from_utf8_lossy(bytes), Reading::Guessed);
    }
    finish(text, how)
}

fn finish(text: Cow<'_, str>, how: Reading) -> Decoded<'_> {
    let text: Cow<'_, str> = match text {
        Cow::Borrowed(text) => text.strip_prefix('\u{feff}').unwrap_or(text).into(),
        Cow::Owned(text) => match text.strip_prefix('\u{feff}') {
            Some(text) => text.to_owned().into(),
            None => text.into(),
        },
    };
    let reading = if text.contains('\u{fffd}') { Reading::Lossy } else { how };
    Decoded { text, reading }
}

/// How many characters of it could not be read. One at the end may have been cut by somebody.
fn damage(text: &str) -> usize {
    let text = text.strip_suffix('\u{fffd}').unwrap_or(text);
    text.matches('\u{fffd}').count()
}

/// Whether so much of it could not be read that it is probably in another charset.
fn is_damaged(text: &str) -> bool {
    let damage = damage(text);
    damage > 0 && damage * 5 > text.chars().filter(|c| !c.is_ascii()).count()
}

impl Charset {
    /// Decodes all of it. What is malformed becomes U+FFFD.
    fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Self::Ascii => String::from_utf8_lossy(bytes),
            Self::Encoding(encoding) => encoding.decode_without_bom_handling(bytes).0,
            Self::Iso2022(family) => seven_bit::iso_2022(bytes, family).into(),
            Self::Hz => seven_bit::hz(bytes).into(),
            Self::Utf7 => seven_bit::utf_7(bytes).into(),
            Self::Utf16 => unicode::utf16_order(bytes).decode_without_bom_handling(bytes).0,
            Self::Utf32(order) => unicode::utf_32(bytes, order).into(),
            Self::Dos(page) => labels::dos_page(page).map_or_else(
                || String::from_utf8_lossy(bytes),
                |dos| {
                    let text = dos.decode_lossy(bytes);
                    // Page 858 is page 850 with the euro in place of this letter.
                    if page == 858 { text.replace('\u{131}', "€").into() } else { text }
                },
            ),
        }
    }

    /// Whether its characters are written in ASCII bytes that stand for something else.
    const fn is_seven_bit(self) -> bool {
        matches!(self, Self::Iso2022(_) | Self::Hz | Self::Utf7)
    }

    /// Whether each of its characters is written in several bytes, those of ASCII too.
    fn is_wide(self) -> bool {
        match self {
            Self::Utf16 | Self::Utf32(_) => true,
            Self::Encoding(encoding) => encoding == UTF_16LE || encoding == UTF_16BE,
            _ => false,
        }
    }

    /// Whether UTF-8 is often declared to be this.
    fn is_declared_carelessly(self) -> bool {
        matches!(self, Self::Ascii)
            || self == Self::Encoding(WINDOWS_1252)
            || self.is_seven_bit()
            || self.is_wide()
    }

    /// Whether a text of it may be joined with the next before both are decoded.
    pub(crate) fn is_joined(self) -> bool {
        self != Self::Utf7
    }
}

/// The charset that an HTML or XML document says it is in.
fn meta_label(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(META_BYTES_MAX)];
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let xml = head.trim_start().strip_prefix("<?xml").and_then(|rest| rest.split('>').next());
    let xml = xml.and_then(|tag| value_of(tag, "encoding"));
    let metas = head.split("<meta").skip(1).map(|rest| rest.split('>').next().unwrap_or(rest));
    let label = metas.filter_map(|tag| value_of(tag, "charset")).next().or(xml)?;
    Some(label.to_owned())
}

/// What comes after `name`, an equals sign and maybe a quote.
fn value_of<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    tag.match_indices(name).find_map(|(at, _)| {
        let value = tag[at + name.len()..].trim_start().strip_prefix('=')?;
        let value =
            value.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
        let end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '/' | '>' | '?');
        value.split(end).next().filter(|value| !value.is_empty())
    })
}
