//! Into how many messages a carrier cuts a text (3GPP TS 23.038, TS 23.040).
//!
//! A text whose characters are all in the GSM 7 bit default alphabet takes seven bits each, and fourteen for those of its
//! extension; any other text goes as UCS-2. Where one message does not hold it, each part gives up six bytes to say which
//! part it is. A provider that writes characters otherwise (quotes, dashes) may come to fewer.

use serde::Serialize;
use utoipa::ToSchema;

/// Septets of one message, and of each part of several.
const SEPTETS: [usize; 2] = [160, 153];

/// 16-bit units of one message, and of each part of several.
const UNITS: [usize; 2] = [70, 67];

/// The default alphabet but for the escape to its extension.
const BASIC: &str = "@\u{a3}$\u{a5}\u{e8}\u{e9}\u{f9}\u{ec}\u{f2}\u{c7}\n\u{d8}\u{f8}\r\u{c5}\u{e5}\
    \u{394}_\u{3a6}\u{393}\u{39b}\u{3a9}\u{3a0}\u{3a8}\u{3a3}\u{398}\u{39e}\u{c6}\u{e6}\u{df}\u{c9} \
    !\"#\u{a4}%&'()*+,-./0123456789:;<=>?\u{a1}ABCDEFGHIJKLMNOPQRSTUVWXYZ\u{c4}\u{d6}\u{d1}\u{dc}\u{a7}\u{bf}\
    abcdefghijklmnopqrstuvwxyz\u{e4}\u{f6}\u{f1}\u{fc}\u{e0}";

/// Its extension: each takes two septets.
const EXTENSION: &str = "^{}\\[~]|\u{20ac}\u{c}";

/// How the characters of a text message are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The GSM 7 bit default alphabet with its extension.
    Gsm7,
    /// UCS-2, or UTF-16 where a character takes two units.
    Ucs2,
}

/// What a text comes to as text messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    /// How its characters are written.
    pub encoding: Encoding,
    /// Of how many messages it is one.
    pub count: u32,
    /// The first character for which it is not [`Encoding::Gsm7`].
    pub foreign: Option<char>,
}

/// What `text` comes to.
#[must_use]
pub fn segments(text: &str) -> Segments {
    let foreign = text.chars().find(|c| septets(*c).is_none());
    let (encoding, count) = match foreign {
        None => (Encoding::Gsm7, parts(text.chars().filter_map(septets), SEPTETS)),
        Some(_) => (Encoding::Ucs2, parts(text.chars().map(char::len_utf16), UNITS)),
    };
    Segments { encoding, count, foreign }
}

/// The septets of a character; none where the alphabet does not have it.
fn septets(c: char) -> Option<usize> {
    if BASIC.contains(c) { Some(1) } else { EXTENSION.contains(c).then_some(2) }
}

/// The number of parts for characters of these lengths. No character is cut in two.
fn parts(lengths: impl Iterator<Item = usize> + Clone, [alone, each]: [usize; 2]) -> u32 {
    let all: usize = lengths.clone().sum();
    if all <= alone {
        return 1;
    }
    let (mut count, mut used) = (1_u32, 0);
    for length in lengths {
        if used + length > each {
            (count, used) = (count.saturating_add(1), 0);
        }
        used += length;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_as_carriers_cut_it() {
        use Encoding::{Gsm7, Ucs2};
        let euro = "\u{20ac}";
        for (text, encoding, count) in [
            (String::new(), Gsm7, 1),
            ("Hello".to_owned(), Gsm7, 1),
            ("a".repeat(160), Gsm7, 1),
            ("a".repeat(161), Gsm7, 2),
            ("a".repeat(306), Gsm7, 2),
            ("a".repeat(307), Gsm7, 3),
            // Two septets each.
            (euro.repeat(80), Gsm7, 1),
            (euro.repeat(81), Gsm7, 2),
            (format!("{}{euro}", "a".repeat(158)), Gsm7, 1),
            (format!("{}{euro}", "a".repeat(159)), Gsm7, 2),
            // Only 76 of them go into a part of 153 septets, as none is cut in two.
            (euro.repeat(152), Gsm7, 2),
            (euro.repeat(153), Gsm7, 3),
            (format!("{}{euro}{}", "a".repeat(152), "a".repeat(151)), Gsm7, 2),
            (format!("{}{euro}{}", "a".repeat(152), "a".repeat(152)), Gsm7, 3),
            // A capital cedilla is in the alphabet, a small one and a backtick are not.
            ("\u{c7}\u{e9}\u{f1}\u{3a9}@_\n\r".to_owned(), Gsm7, 1),
            ("[{|}~\\]^".to_owned(), Gsm7, 1),
            ("\u{e7}".to_owned(), Ucs2, 1),
            ("`".to_owned(), Ucs2, 1),
            ("\u{2019}".to_owned(), Ucs2, 1),
            ("\u{44f}".repeat(70), Ucs2, 1),
            ("\u{44f}".repeat(71), Ucs2, 2),
            ("\u{44f}".repeat(134), Ucs2, 2),
            ("\u{44f}".repeat(135), Ucs2, 3),
            // Two units each: 33 go into a part of 67.
            ("\u{1f600}".repeat(35), Ucs2, 1),
            ("\u{1f600}".repeat(36), Ucs2, 2),
            ("\u{1f600}".repeat(66), Ucs2, 2),
            ("\u{1f600}".repeat(67), Ucs2, 3),
        ] {
            let found = segments(&text);
            assert_eq!((found.encoding, found.count), (encoding, count), "{text:?}");
            assert_eq!(found.foreign.is_some(), encoding == Ucs2, "{text:?}");
        }
        assert_eq!(segments("caf\u{e9} \u{2013} open").foreign, Some('\u{2013}'));
    }

    #[test]
    fn the_alphabet_has_as_many_characters_as_the_standard_says() {
        // 128 places, one of which is the escape.
        assert_eq!((BASIC.chars().count(), EXTENSION.chars().count()), (127, 10));
        assert!(BASIC.chars().all(|c| BASIC.matches(c).count() == 1));
    }
}
