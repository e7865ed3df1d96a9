//! The names of charsets: those of the Encoding Standard, and what programs write instead of them.

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, IBM866, ISO_8859_2, ISO_8859_3, ISO_8859_4,
    ISO_8859_5, ISO_8859_6, ISO_8859_7, ISO_8859_8, ISO_8859_10, ISO_8859_13, ISO_8859_14,
    ISO_8859_15, ISO_8859_16, KOI8_R, KOI8_U, MACINTOSH, REPLACEMENT, SHIFT_JIS, UTF_8, UTF_16BE,
    UTF_16LE, WINDOWS_874, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1253, WINDOWS_1254,
    WINDOWS_1255, WINDOWS_1256, WINDOWS_1257, WINDOWS_1258, X_MAC_CYRILLIC, X_USER_DEFINED,
};
use yore::CodePage;
use yore::code_pages::{
    CP437, CP737, CP850, CP852, CP855, CP857, CP860, CP861, CP862, CP863, CP865, CP869,
};

use super::unicode::ByteOrder;

/// Bytes of a charset's name. A longer one names none.
pub(crate) const LABEL_BYTES_MAX: usize = 100;

/// A charset that hatch can read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Charset {
    /// ASCII, which says nothing about other bytes.
    Ascii,
    /// One of the Encoding Standard.
    Encoding(&'static Encoding),
    /// ISO-2022-JP, -KR or -CN, in all their variants.
    Iso2022(Family),
    /// HZ, that is GB 2312 in ASCII.
    Hz,
    /// UTF-7.
    Utf7,
    /// UTF-16 in an order that is not told.
    Utf16,
    /// UTF-32, in an order that may not be told.
    Utf32(Option<ByteOrder>),
    /// A code page of DOS, by its number.
    Dos(u16),
}

/// Which characters ISO 2022 has where it does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Japanese,
    Korean,
    Chinese,
}

use Charset::{Ascii, Hz, Iso2022, Utf7, Utf16, Utf32};

/// The charset that a label means. None if it means none that is known.
pub(crate) fn charset(label: &str) -> Option<Charset> {
    let label = cleaned(label)?;
    let key: String = label.chars().filter(char::is_ascii_alphanumeric).collect();
    if let Some(special) = special(&key) {
        return Some(special);
    }
    match Encoding::for_label(label.as_bytes()) {
        Some(encoding) if encoding == REPLACEMENT || encoding == X_USER_DEFINED => None,
        Some(encoding) => Some(Charset::Encoding(encoding)),
        None => alias(&key)
            .or_else(|| latin(&key))
            .map(Charset::Encoding)
            .or_else(|| page(number(&key)?)),
    }
}

/// The label without what programs write around it.
fn cleaned(label: &str) -> Option<String> {
    let around = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '"' | '\'' | '`' | '\\' | '<' | '>' | '[' | ']' | '=')
    };
    if label.len() > LABEL_BYTES_MAX {
        return None;
    }
    let label = label.trim_matches(around).to_ascii_lowercase();
    let label = label.strip_prefix("charset").map_or(label.as_str(), |rest| {
        rest.trim_start().strip_prefix(['=', ':']).unwrap_or(&label)
    });
    let label = label.trim_start_matches(around);
    // A comment, another parameter, or the language of an encoded word.
    let label = label.split(['(', ';', ',', '*', '"', '\'']).next().unwrap_or_default();
    let label = match label.split_once(char::is_whitespace) {
        Some((label, rest)) if rest.contains('=') => label,
        _ => label,
    };
    Some(label.trim_matches(around).to_owned()).filter(|label| !label.is_empty())
}

/// The charsets that the Encoding Standard does not have, or takes for others.
fn special(key: &str) -> Option<Charset> {
    Some(match key {
        "ascii" | "usascii" | "csascii" | "ansix34" | "ansix341968" | "ansix341986"
        | "iso646us" | "iso646" | "iso646irv1991" | "isoir6" | "us" | "cp367" | "ibm367"
        | "cp20127" | "7bit" => Ascii,
        "utf7" | "xutf7" | "csutf7" | "unicode11utf7" | "csunicode11utf7" | "unicode20utf7"
        | "xunicode20utf7" | "cp65000" => Utf7,
        "utf16" | "csutf16" | "xutf16" | "ucs2" | "unicode" | "csunicode" | "iso10646ucs2"
        | "unicodefeff" => Utf16,
        "utf32" | "csutf32" | "xutf32" | "ucs4" | "csucs4" | "iso10646ucs4" => Utf32(None),
        "utf32le" | "csutf32le" | "ucs4le" | "cp12000" => Utf32(Some(ByteOrder::Little)),
        "utf32be" | "csutf32be" | "ucs4be" | "cp12001" => Utf32(Some(ByteOrder::Big)),
        "hz" | "hzgb2312" | "hzgb" | "cp52936" => Hz,
        "jis" | "jis7" | "jisms" => Iso2022(Family::Japanese),
        _ => match key.strip_prefix("cs").unwrap_or(key).strip_prefix("iso2022")? {
            korean if korean.starts_with("kr") => Iso2022(Family::Korean),
            chinese if chinese.starts_with("cn") => Iso2022(Family::Chinese),
            _ => Iso2022(Family::Japanese),
        },
    })
}

/// Other names of the Encoding Standard's charsets, of their letters and digits.
fn alias(key: &str) -> Option<&'static Encoding> {
    let key = key.strip_prefix('x').unwrap_or(key);
    let key = key.strip_prefix("cs").unwrap_or(key);
    Some(match key {
        "utf8" | "utf8sig" | "utf8bom" | "utf8n" | "utf8mb3" | "utf8mb4" | "utf8mac" | "uft8"
        | "ut8" | "utf" | "cesu8" | "unicodeutf8" | "unicode11utf8" | "iso10646" => UTF_8,
        "utf16le" | "ucs2le" | "unicodelittle" => UTF_16LE,
        "utf16be" | "ucs2be" | "unicodebig" => UTF_16BE,
        "sjis" | "shiftjis" | "shiftjs" | "shifjis" | "shitjis" | "shiftjisx0213"
        | "shiftjis2004" | "sjiswin" | "sjismac" | "sjisopen" | "mskanji" | "pck"
        | "windows31j" | "win31j" | "macjapanese" => SHIFT_JIS,
        "eucjp" | "eucjpms" | "eucjpwin" | "eucjpopen" | "eucjisx0213" | "eucjis2004" | "ujis"
        | "eucpkdfmtjapanese" => EUC_JP,
        "euckr" | "ksc5601" | "ksc56011987" | "ksc56011989" | "ksc56011992" | "ksx1001" | "uhc"
        | "mackorean" => EUC_KR,
        "gb2312" | "gb23121980" | "gb231280" | "euccn" | "gbk" | "gb" | "macchinesesimp" => GBK,
        "gb18030" | "gb180302000" | "gb180302005" | "gb180302022" | "gb13000" => GB18030,
        "big5" | "cnbig5" | "big5hkscs" | "big5hkscs1999" | "big5hkscs2001" | "big5hkscs2004"
        | "big5hkscs2008" | "big5eten" | "big5tw" | "big5hk" | "big5uao" | "ms950hkscs"
        | "macchinesetrad" => BIG5,
        "koi8r" | "koi8" | "koi" | "koir8" | "koi8rus" => KOI8_R,
        "koi8u" | "koi8ru" => KOI8_U,
        "macroman" | "macintosh" | "mac" | "macosroman" | "macicelandic" | "macwestern" => {
            MACINTOSH
        }
        "maccyrillic" | "macukrainian" | "macukraine" => X_MAC_CYRILLIC,
        "tis620" | "tis6200" | "tis62025330" | "tis62025331" | "macthai" => WINDOWS_874,
        "hebrew" | "iso88598i" | "iso88598e" | "dos862hebrew" => ISO_8859_8,
        "elot928" | "ecma118" => ISO_8859_7,
        "asmo708" | "ecma114" | "iso88596i" | "iso88596e" => ISO_8859_6,
        _ => return None,
    })
}

/// A part of ISO 8859 by its number, or by the number of its Latin alphabet.
fn latin(key: &str) -> Option<&'static Encoding> {
    let part = match key.split_once("8859") {
        Some((_, digits)) => {
            // A year may follow the number.
            let two =
                digits.get(..2).and_then(|two| two.parse().ok()).filter(|n| (10..=16).contains(n));
            two.or_else(|| digits.get(..1)?.parse().ok())?
        }
        None => match key.split_once("latin")?.1.parse().ok()? {
            n @ 1_u16..=4 => n,
            5 => 9,
            6 => 10,
            7 => 13,
            8 => 14,
            0 | 9 => 15,
            10 => 16,
            _ => return None,
        },
    };
    iso_8859(part)
}

fn iso_8859(part: u16) -> Option<&'static Encoding> {
    Some(match part {
        1 => WINDOWS_1252,
        2 => ISO_8859_2,
        3 => ISO_8859_3,
        4 => ISO_8859_4,
        5 => ISO_8859_5,
        6 => ISO_8859_6,
        7 => ISO_8859_7,
        8 => ISO_8859_8,
        9 => WINDOWS_1254,
        10 => ISO_8859_10,
        11 => WINDOWS_874,
        13 => ISO_8859_13,
        14 => ISO_8859_14,
        15 => ISO_8859_15,
        16 => ISO_8859_16,
        _ => return None,
    })
}

/// The number of a code page, after whatever word.
fn number(key: &str) -> Option<u16> {
    let word = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_known = matches!(
        word,
        "" | "cp"
            | "ccsid"
            | "ms"
            | "mscp"
            | "ansi"
            | "win"
            | "wincp"
            | "windows"
            | "windowscp"
            | "ibm"
            | "ibmcp"
            | "dos"
            | "oem"
            | "codepage"
            | "csibm"
            | "cswindows"
            | "cspc"
            | "x"
            | "xcp"
            | "xwin"
            | "xwindows"
            | "xibm"
            | "xms"
            | "xmswin"
    );
    key[word.len()..].parse().ok().filter(|_| is_known)
}

/// A code page of Windows, DOS or IBM.
fn page(number: u16) -> Option<Charset> {
    Some(Charset::Encoding(match number {
        367 | 20127 => return Some(Ascii),
        65000 => return Some(Utf7),
        12000 => return Some(Utf32(Some(ByteOrder::Little))),
        12001 => return Some(Utf32(Some(ByteOrder::Big))),
        52936 => return Some(Hz),
        50220..=50222 => return Some(Iso2022(Family::Japanese)),
        50225 => return Some(Iso2022(Family::Korean)),
        50227 => return Some(Iso2022(Family::Chinese)),
        1208 | 65001 => UTF_8,
        1200 => UTF_16LE,
        1201 => UTF_16BE,
        819 => WINDOWS_1252,
        813 => ISO_8859_7,
        866 => IBM866,
        874 | 9066 => WINDOWS_874,
        878 | 20866 => KOI8_R,
        1168 | 21866 => KOI8_U,
        912 => ISO_8859_2,
        913 => ISO_8859_3,
        914 => ISO_8859_4,
        915 => ISO_8859_5,
        1089 => ISO_8859_6,
        916 | 38598 => ISO_8859_8,
        920 => WINDOWS_1254,
        919 => ISO_8859_10,
        921 => ISO_8859_13,
        923 => ISO_8859_15,
        932 | 942 | 943 => SHIFT_JIS,
        954 | 5050 | 20932 | 33722 | 51932 => EUC_JP,
        936 | 1383 | 1386 | 20936 | 51936 => GBK,
        1392 | 5488 | 54936 => GB18030,
        949 | 970 | 1363 | 20949 | 51949 => EUC_KR,
        950 | 951 | 1370 | 20950 => BIG5,
        1250 => WINDOWS_1250,
        1251 => WINDOWS_1251,
        1252 => WINDOWS_1252,
        1253 => WINDOWS_1253,
        1254 => WINDOWS_1254,
        1255 => WINDOWS_1255,
        1256 => WINDOWS_1256,
        1257 => WINDOWS_1257,
        1258 => WINDOWS_1258,
        10000 | 10079 => MACINTOSH,
        10001 => SHIFT_JIS,
        10002 => BIG5,
        10003 => EUC_KR,
        10007 | 10017 => X_MAC_CYRILLIC,
        10008 => GBK,
        28591..=28606 => iso_8859(number - 28590)?,
        _ => {
            dos_page(number)?;
            return Some(Charset::Dos(number));
        }
    }))
}

/// A code page of DOS that the Encoding Standard does not have.
pub(super) fn dos_page(number: u16) -> Option<&'static dyn CodePage> {
    Some(match number {
        437 => &CP437,
        737 => &CP737,
        850 | 858 => &CP850,
        852 => &CP852,
        855 => &CP855,
        857 => &CP857,
        860 => &CP860,
        861 => &CP861,
        862 => &CP862,
        863 => &CP863,
        865 => &CP865,
        869 => &CP869,
        _ => return None,
    })
}
