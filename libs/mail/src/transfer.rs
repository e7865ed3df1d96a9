//! The transfer encodings of a part's content (RFC 2045, section 6). What is broken of them is read as far as that goes.

use std::borrow::Cow;

use super::words::hex;

/// A line of base64 of so many characters is no word of a text.
const SURE_LINE_BYTES: usize = 40;

/// So much base64 is none by chance.
const SURE_BYTES: usize = 16;

/// The content out of base64, and the text that a list server wrote after it. None where it is no base64 at all.
pub(super) fn base64(body: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let end = base64_end(body);
    let (encoded, footer) = body.split_at(end);
    let is_padded = encoded.trim_ascii_end().ends_with(b"=");
    let bytes = decode_base64(encoded);
    let footer = if footer.trim_ascii().is_empty() { &[][..] } else { footer };
    let has_blanks = || encoded.trim_ascii().iter().any(|b| matches!(b, b' ' | b'\t'));
    // A few letters are a word as well.
    let is_doubtful = !is_padded
        && (has_blanks() || (encoded.trim_ascii().len() < SURE_BYTES && !footer.is_empty()));
    if (bytes.is_empty() && !body.trim_ascii().is_empty()) || (is_doubtful && !is_text(&bytes)) {
        return None;
    }
    Some((bytes, footer))
}

/// Where base64 ends and a text begins: at the first line that is none and after which no sure line of base64 comes.
fn base64_end(body: &[u8]) -> usize {
    let last_sure = lines(body).filter(|(_, line)| is_sure(line)).last().map(|(start, _)| start);
    let (mut any, mut padded, mut gap, mut spaced) = (false, false, false, false);
    for (start, line) in lines(body) {
        let line = line.trim_ascii();
        if line.is_empty() {
            gap = any;
            continue;
        }
        let goes_on = last_sure.is_some_and(|last| start <= last);
        let fits = if any {
            let is_more = line.len() >= SURE_BYTES && line.len().is_multiple_of(4);
            is_base64(line)
                && (spaced || !line.contains(&b' '))
                && (!gap || line.len().is_multiple_of(4))
                && (!padded || is_more)
        } else {
            is_base64(line) || is_nearly_base64(line)
        };
        if !goes_on && !fits {
            return start;
        }
        spaced |= !any && line.contains(&b' ');
        any = true;
        padded = line.ends_with(b"=");
        gap = false;
    }
    body.len()
}

/// The lines and where they begin.
fn lines(body: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    body.split_inclusive(|b| *b == b'\n').scan(0, |next, line| {
        let start = *next;
        *next += line.len();
        Some((start, line))
    })
}

fn is_sure(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.len() >= SURE_LINE_BYTES && line.iter().all(|b| is_letter(*b) || *b == b'=')
}

/// Spaces between letters do no harm.
fn is_base64(line: &[u8]) -> bool {
    line.iter().all(|b| is_letter(*b) || matches!(b, b'=' | b' ' | b'\t'))
}

fn is_nearly_base64(line: &[u8]) -> bool {
    let letters = line.iter().filter(|b| is_letter(**b) || **b == b'=').count();
    !line.contains(&b' ') && line.len() >= SURE_BYTES && letters * 10 >= line.len() * 9
}

const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn is_text(bytes: &[u8]) -> bool {
    let is_control = |b: &u8| b.is_ascii_control() && !b"\r\n\t\x1b".contains(b);
    std::str::from_utf8(bytes).is_ok() && !bytes.iter().any(is_control)
}

/// Decodes what is base64; lines with spaces in the midst of others, and single bytes of no meaning, are left out.
fn decode_base64(encoded: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded.len() / 4 * 3 + 3);
    let (mut word, mut letters) = (0_u32, 0_u8);
    let flush = |bytes: &mut Vec<u8>, word: u32, letters: u8| {
        let [_, a, b, c] = (word << (6 * (4 - u32::from(letters)))).to_be_bytes();
        let kept = usize::from(letters.saturating_sub(1));
        bytes.extend_from_slice(&[a, b, c][..kept]);
    };
    for (_, line) in lines(encoded) {
        if line.trim_ascii().contains(&b' ') && !is_base64(line.trim_ascii()) {
            continue;
        }
        for &byte in line {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => {
                    flush(&mut bytes, word, letters);
                    (word, letters) = (0, 0);
                    continue;
                }
                _ => continue,
            };
            word = (word << 6) | u32::from(value);
            letters += 1;
            if letters == 4 {
                flush(&mut bytes, word, letters);
                (word, letters) = (0, 0);
            }
        }
    }
    flush(&mut bytes, word, letters);
    bytes
}

/// The content out of quoted-printable. What is no escape stays as it is.
pub(super) fn quoted_printable(body: &[u8]) -> Cow<'_, [u8]> {
    if !body.contains(&b'=') {
        return body.into();
    }
    let mut bytes = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|b| *b == b'\n') {
        let text = line.trim_ascii_end();
        // Spaces after the text of a line were added on the way.
        let (text, end) = match text.strip_suffix(b"=") {
            Some(text) => (text, &[][..]),
            None => {
                let end = line.iter().rev().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                (text, &line[line.len() - end..])
            }
        };
        unescape(text, &mut bytes);
        bytes.extend_from_slice(end);
    }
    bytes.into()
}

fn unescape(text: &[u8], bytes: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(n) = memchr::memchr(b'=', rest) {
        bytes.extend_from_slice(&rest[..n]);
        rest = &rest[n + 1..];
        let escaped = match rest {
            [high, low, after @ ..] => hex(*high).zip(hex(*low)).map(|digits| (digits, after)),
            _ => None,
        };
        match escaped {
            Some(((high, low), after)) => {
                bytes.push((high << 4) | low);
                rest = after;
            }
            None => bytes.push(b'='),
        }
    }
    bytes.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_however_it_is_broken() {
        let long = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB";
        let a = "A".repeat(45);
        let table: Vec<(String, &str, &str)> = vec![
            ("SGVsbG8gd29ybGQ=".into(), "Hello world", ""),
            ("SGVsbG8gd29ybGQ".into(), "Hello world", ""),
            ("SGVs\r\nbG8g\r\n\r\nd29ybGQ=\r\n".into(), "Hello world", ""),
            ("  SGVs bG8g d29y bGQ=  ".into(), "Hello world", ""),
            ("SGVs*bG8gd29ybGQ=".into(), "Hello world", ""),
            (
                "SGVsbG8gd29ybGQ=\r\n____\r\nList mailing list\r\n".into(),
                "Hello world",
                "____\r\nList mailing list\r\n",
            ),
            (
                "SGVsbG8gd29ybGQ=\r\nunsubscribe here\r\n".into(),
                "Hello world",
                "unsubscribe here\r\n",
            ),
            ("SGVsbG8gd29ybGQ=\r\n\r\nunsubscribe\r\n".into(), "Hello world", "unsubscribe\r\n"),
            (format!("{long}\r\njunk, no base64!\r\n{long}\r\n"), "", ""),
            ("SGVsbG8=V29ybGQ=".into(), "HelloWorld", ""),
            (String::new(), "", ""),
        ];
        for (body, text, footer) in table {
            let (bytes, after) = base64(body.as_bytes()).expect("base64");
            let twice = format!("{a}{a}");
            let text = if body.contains("junk") { twice.as_str() } else { text };
            assert_eq!(String::from_utf8_lossy(&bytes), text, "{body:?}");
            assert_eq!(String::from_utf8_lossy(after), footer, "{body:?}");
        }
        for body in [
            "Hello, this is no base64.",
            "Hi there\r\nAnn",
            "Dear Ann,\r\nHello",
            "Hello\r\n\r\nDear Ann, hello",
        ] {
            assert_eq!(base64(body.as_bytes()), None, "{body:?}");
        }
    }

    #[test]
    fn quoted_printable_is_read_however_it_is_broken() {
        for (body, text) in [
            ("Gr=C3=BC=C3=9Fe", "Grüße"),
            ("Gr=c3=bc=c3=9fe", "Grüße"),
            ("a=\r\nb=  \r\nc=\nd", "abcd"),
            ("a == b, 100=%", "a == b, 100=%"),
            ("=3D=", "="),
            ("=G1 =1", "=G1 =1"),
            ("a=20\r\nb  \r\nc", "a \r\nb\r\nc"),
            ("https://x.example/?a=1&b=zz", "https://x.example/?a=1&b=zz"),
        ] {
            assert_eq!(
                String::from_utf8_lossy(&quoted_printable(body.as_bytes())),
                text,
                "{body:?}"
            );
        }
    }
}
