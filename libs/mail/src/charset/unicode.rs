//! The forms of Unicode: their marks, and how to tell them without one.

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE,
};

use super::Charset;

/// Bytes at the beginning of a text by which the order of its bytes is told.
const ORDER_BYTES_MAX: usize = 1024;

/// Which byte of a wide character comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Big,
    Little,
}

/// The form that a byte order mark names, and the length of the mark.
pub(super) fn mark(bytes: &[u8]) -> Option<(Charset, usize)> {
    if bytes.len().is_multiple_of(4) {
        if bytes.starts_with(&[0, 0, 0xfe, 0xff]) {
            return Some((Charset::Utf32(Some(ByteOrder::Big)), 4));
        }
        if bytes.starts_with(&[0xff, 0xfe, 0, 0]) {
            return Some((Charset::Utf32(Some(ByteOrder::Little)), 4));
        }
    }
    let (encoding, length) = Encoding::for_bom(bytes)?;
    Some((Charset::Encoding(encoding), length))
}

/// UTF-16 without a mark, where every other byte of a Latin text is NUL.
pub(super) fn utf16_by_nul(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(ORDER_BYTES_MAX)];
    if head.len() < 4 || !bytes.len().is_multiple_of(2) {
        return None;
    }
    let (mut first, mut second) = (0, 0);
    for pair in head.chunks_exact(2) {
        first += usize::from(pair[0] == 0);
        second += usize::from(pair[1] == 0);
    }
    let enough = head.len() / 4;
    if second >= enough.max(1) && first * 8 <= second {
        Some(UTF_16LE)
    } else if first >= enough.max(1) && second * 8 <= first {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// The order of UTF-16 without a mark: of the two bytes of a character the high one varies less.
pub(super) fn utf16_order(bytes: &[u8]) -> &'static Encoding {
    let mut seen = [[false; 2]; 256];
    for pair in bytes[..bytes.len().min(ORDER_BYTES_MAX)].chunks_exact(2) {
        seen[usize::from(pair[0])][0] = true;
        seen[usize::from(pair[1])][1] = true;
    }
    let kinds = |place: usize| seen.iter().filter(|byte| byte[place]).count();
    if kinds(0) < kinds(1) { UTF_16BE } else { UTF_16LE }
}

/// UTF-32, by default in the order in which more of it is a text.
pub(super) fn utf_32(bytes: &[u8], order: Option<ByteOrder>) -> String {
    let (whole, rest) = bytes.as_chunks::<4>();
    let order = order.unwrap_or_else(|| {
        let characters = |number: fn([u8; 4]) -> u32| {
            whole.iter().filter(|four| char::from_u32(number(**four)).is_some()).count()
        };
        let big = characters(u32::from_be_bytes) >= characters(u32::from_le_bytes);
        if big { ByteOrder::Big } else { ByteOrder::Little }
    });
    let number = match order {
        ByteOrder::Big => u32::from_be_bytes,
        ByteOrder::Little => u32::from_le_bytes,
    };
    let whole = whole.iter().map(|four| char::from_u32(number(*four)));
    let rest = (!rest.is_empty()).then_some(None);
    whole.chain(rest).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// How far bytes that are not all ASCII are UTF-8.
pub(super) struct Utf8 {
    /// Characters in two bytes.
    pairs: usize,
    /// Characters in three or four bytes.
    longer: usize,
    /// Places that are no UTF-8, but for a character that is cut at the end.
    pub(super) broken: usize,
    /// Of the characters in two bytes, those that are Latin.
    latin: usize,
}

impl Utf8 {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut found = Self { pairs: 0, longer: 0, broken: 0, latin: 0 };
        let mut left = bytes.len();
        for chunk in bytes.utf8_chunks() {
            for byte in chunk.valid().bytes() {
                match byte {
                    0xc2..=0xdf => {
                        found.pairs += 1;
                        found.latin += usize::from(matches!(byte, 0xc3..=0xc9));
                    }
                    0xe0..=0xf4 => found.longer += 1,
                    _ => {}
                }
            }
            let invalid = chunk.invalid().len();
            left -= chunk.valid().len() + invalid;
            // One byte that could begin a character is more often a letter of another charset.
            let is_cut = left == 0 && invalid > 1;
            found.broken += usize::from(invalid > 0 && !is_cut);
        }
        found
    }

    /// Whether it is UTF-8, although something else is declared. What is declared says how likely
    /// a text of it is to be UTF-8 by chance.
    pub(super) fn is_meant(&self, declared: Option<Charset>) -> bool {
        if self.broken > 0 || self.pairs + self.longer == 0 {
            return false;
        }
        match declared {
            None => true,
            Some(said) if said.is_declared_carelessly() => true,
            Some(Charset::Encoding(said)) if said == UTF_8 => true,
            Some(Charset::Encoding(said)) if is_double_byte(said) => self.longer > 0,
            Some(_) => self.longer > 0 || self.pairs > 1 || self.latin > 0,
        }
    }

    /// Whether most of it is UTF-8, and only some of it damaged.
    pub(super) const fn is_mostly(&self) -> bool {
        let whole = self.pairs + self.longer;
        whole > 0 && whole >= self.broken
    }
}

fn is_double_byte(encoding: &'static Encoding) -> bool {
    [BIG5, EUC_JP, EUC_KR, GB18030, GBK, SHIFT_JIS].contains(&encoding)
}
