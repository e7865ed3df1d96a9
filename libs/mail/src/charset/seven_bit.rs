//! Charsets that write all their characters in the bytes of ASCII: ISO 2022, HZ and UTF-7. Each byte is looked at
//! once. What is malformed in ISO 2022 and HZ becomes U+FFFD, and in UTF-7 stays as it is written.

use encoding_rs::{EUC_JP, EUC_KR, Encoding, GBK};

use super::Family;

const ESC: u8 = 0x1b;

/// What the bytes stand for after an escape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    Ascii,
    /// JIS X 0201, Latin: ASCII but for two characters.
    Roman,
    /// JIS X 0201, the katakana of half the width.
    Katakana,
    /// JIS X 0208, in two bytes.
    Kanji,
    /// JIS X 0212, in two bytes.
    MoreKanji,
    /// GB 2312, in two bytes.
    Chinese,
    /// KS X 1001, in two bytes.
    Korean,
    /// A set in two bytes of which there is no table.
    Unknown,
}

/// An escape, after ESC, and what it means.
const ESCAPES: [(&[u8], Means); 23] = [
    (b"(B", Means::Set(Set::Ascii)),
    (b"(J", Means::Set(Set::Roman)),
    (b"(H", Means::Set(Set::Roman)),
    (b"(T", Means::Set(Set::Ascii)),
    (b"(I", Means::Set(Set::Katakana)),
    (b"$@", Means::Set(Set::Kanji)),
    (b"$B", Means::Set(Set::Kanji)),
    (b"$(@", Means::Set(Set::Kanji)),
    (b"$(B", Means::Set(Set::Kanji)),
    (b"$(O", Means::Set(Set::Kanji)),
    (b"$(Q", Means::Set(Set::Kanji)),
    (b"$(P", Means::Set(Set::Unknown)),
    (b"$(D", Means::Set(Set::MoreKanji)),
    (b"$A", Means::Set(Set::Chinese)),
    (b"$(A", Means::Set(Set::Chinese)),
    (b"$(C", Means::Set(Set::Korean)),
    (b"$)C", Means::Shifted(Set::Korean)),
    (b"$)A", Means::Shifted(Set::Chinese)),
    (b"$)G", Means::Shifted(Set::Unknown)),
    (b"$)E", Means::Shifted(Set::Unknown)),
    (b"$*H", Means::Nothing),
    (b"&@", Means::Nothing),
    (b"N", Means::One),
];

#[derive(Clone, Copy)]
enum Means {
    /// What follows is in this set.
    Set(Set),
    /// What follows a shift is in this set.
    Shifted(Set),
    /// The next two bytes are in a set of which there is no table.
    One,
    Nothing,
}

fn escape(bytes: &[u8]) -> Option<(usize, Means)> {
    let known = ESCAPES.iter().find(|(escape, _)| bytes.starts_with(escape));
    known.map(|(escape, means)| (escape.len(), *means))
}

/// Whether the text changes to a set of ISO 2022, although nobody says that it is in one.
pub(super) fn is_designated(bytes: &[u8]) -> bool {
    memchr::memchr_iter(ESC, bytes).any(|at| match escape(&bytes[at + 1..]) {
        Some((_, Means::Set(set))) => set != Set::Ascii,
        Some((_, Means::Shifted(_))) => true,
        _ => false,
    })
}

/// ISO-2022-JP, -KR and -CN: escapes say which set follows.
pub(super) fn iso_2022(bytes: &[u8], family: Family) -> String {
    let (in_eight_bits, mut shifted) = match family {
        Family::Japanese => (None, Set::Katakana),
        Family::Korean => (Some(EUC_KR), Set::Korean),
        Family::Chinese => (Some(GBK), Set::Chinese),
    };
    let mut text = Text::default();
    let (mut plain, mut is_shifted) = (Set::Ascii, false);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            ESC => match escape(&bytes[at..]) {
                Some((length, means)) => {
                    at += length;
                    match means {
                        Means::Set(set) => plain = set,
                        Means::Shifted(set) => shifted = set,
                        Means::One => {
                            text.lost();
                            at += bytes[at..]
                                .iter()
                                .take(2)
                                .take_while(|b| b.is_ascii_graphic())
                                .count();
                        }
                        Means::Nothing => {}
                    }
                }
                None => text.push(char::from(ESC)),
            },
            0x0e => is_shifted = true,
            0x0f => is_shifted = false,
            // Each line begins in ASCII.
            b'\n' => {
                (plain, is_shifted) = (Set::Ascii, false);
                text.push('\n');
            }
            0x80.. => at += usize::from(text.high(in_eight_bits, byte, bytes.get(at).copied())),
            0..=b' ' | 0x7f => text.push(char::from(byte)),
            _ => {
                let set = if is_shifted { shifted } else { plain };
                let second = bytes.get(at).copied().filter(u8::is_ascii_graphic);
                at += usize::from(text.character(set, byte, second));
            }
        }
    }
    text.finish()
}

/// HZ: `~{` and `~}` stand around what is Chinese.
pub(super) fn hz(bytes: &[u8]) -> String {
    let mut text = Text::default();
    let mut set = Set::Ascii;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let second = bytes.get(at + 1).copied();
        at += 1;
        match (byte, second) {
            (b'~', Some(b'{')) => (set, at) = (Set::Chinese, at + 1),
            (b'~', Some(b'}')) => (set, at) = (Set::Ascii, at + 1),
            (b'~', Some(b'~')) if set == Set::Ascii => {
                at += 1;
                text.push('~');
            }
            // The line goes on.
            (b'~', Some(b'\n')) => at += 1,
            (b'\n', _) => {
                set = Set::Ascii;
                text.push('\n');
            }
            (0x80.., second) => at += usize::from(text.high(Some(GBK), byte, second)),
            (0..=b' ' | 0x7f, _) => text.push(char::from(byte)),
            (_, second) => {
                let second = second.filter(u8::is_ascii_graphic);
                at += usize::from(text.character(set, byte, second));
            }
        }
    }
    text.finish()
}

/// The text so far, and the characters in two bytes that are decoded together.
#[derive(Default)]
struct Text {
    text: String,
    pairs: Vec<u8>,
    encoding: Option<&'static Encoding>,
}

impl Text {
    fn push(&mut self, c: char) {
        self.decode_pairs();
        self.text.push(c);
    }

    fn lost(&mut self) {
        self.push(char::REPLACEMENT_CHARACTER);
    }

    /// Adds a character in eight bits, which some programs write all the same. Whether the second byte belongs to it.
    fn high(&mut self, encoding: Option<&'static Encoding>, byte: u8, second: Option<u8>) -> bool {
        match (encoding, second) {
            (Some(encoding), Some(second @ 0x80..)) => {
                self.pair(encoding, &[], byte, second);
                true
            }
            _ => {
                self.lost();
                false
            }
        }
    }

    /// Adds a character of the set. Whether the second byte belongs to it.
    fn character(&mut self, set: Set, byte: u8, second: Option<u8>) -> bool {
        match set {
            Set::Ascii => self.push(char::from(byte)),
            Set::Roman => self.push(match byte {
                b'\\' => '¥',
                b'~' => '‾',
                byte => char::from(byte),
            }),
            Set::Katakana if byte <= 0x5f => {
                let kana = char::from_u32(0xff61 + u32::from(byte - 0x21));
                self.push(kana.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Set::Katakana => self.lost(),
            Set::Kanji | Set::MoreKanji | Set::Chinese | Set::Korean | Set::Unknown => {
                let Some(second) = second else {
                    self.lost();
                    return false;
                };
                match set {
                    Set::Kanji => self.pair(EUC_JP, &[], byte, second),
                    Set::MoreKanji => self.pair(EUC_JP, &[0x8f], byte, second),
                    Set::Chinese => self.pair(GBK, &[], byte, second),
                    Set::Korean => self.pair(EUC_KR, &[], byte, second),
                    _ => self.lost(),
                }
                return true;
            }
        }
        false
    }

    /// Keeps a pair, which with its high bits set is one of the encoding.
    fn pair(&mut self, encoding: &'static Encoding, before: &[u8], first: u8, second: u8) {
        if self.encoding != Some(encoding) {
            self.decode_pairs();
            self.encoding = Some(encoding);
        }
        self.pairs.extend_from_slice(before);
        self.pairs.extend_from_slice(&[first | 0x80, second | 0x80]);
    }

    fn decode_pairs(&mut self) {
        if let Some(encoding) = self.encoding.take() {
            self.text.push_str(&encoding.decode_without_bom_handling(&self.pairs).0);
            self.pairs.clear();
        }
    }

    fn finish(mut self) -> String {
        self.decode_pairs();
        self.text
    }
}

/// UTF-7 (RFC 2152): a plus sign begins UTF-16 in base64, and what is no letter of base64 ends it.
pub(super) fn utf_7(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'+', rest) {
        text.push_str(&String::from_utf8_lossy(&rest[..at]));
        rest = &rest[at + 1..];
        let is_letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
        let end = rest.iter().position(|b| !is_letter(b)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        let (word, closed) = match after.strip_prefix(b"-") {
            Some(after) if run.is_empty() => (Some("+".to_owned()), after),
            Some(after) => (utf_16_of_base64(run), after),
            None => (utf_16_of_base64(run), after),
        };
        match word {
            Some(word) => {
                text.push_str(&word);
                rest = closed;
            }
            // A plus sign that stands for itself.
            None => {
                text.push('+');
                text.push_str(&String::from_utf8_lossy(run));
                rest = after;
            }
        }
    }
    text.push_str(&String::from_utf8_lossy(rest));
    text
}

/// None if it is not whole, or no UTF-16.
fn utf_16_of_base64(run: &[u8]) -> Option<String> {
    let mut units = Vec::with_capacity(run.len() * 3 / 8);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in run {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        bits = ((bits << 6) | u32::from(value)) & 0x3f_ffff;
        held += 6;
        if held >= 16 {
            held -= 16;
            units.push(((bits >> held) & 0xffff) as u16);
        }
    }
    let is_whole = !units.is_empty() && held < 6 && bits.trailing_zeros() >= held;
    if is_whole { String::from_utf16(&units).ok() } else { None }
}
