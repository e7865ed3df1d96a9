//! The value of a Content-Type or a Content-Disposition: a word and parameters (RFC 2045, RFC 2231), as programs
//! write them. Each byte is looked at a fixed number of times.

use std::collections::BTreeMap;

use super::{FIELD_BYTES_MAX, charset, words};

/// The charset that a Content-Type names.
pub fn charset_of(content_type: &[u8]) -> Option<String> {
    let value = Some(content_type).filter(|value| value.len() <= FIELD_BYTES_MAX)?;
    Structured::read(value)?.parameters.remove("charset")
}

/// The name of a file that a Content-Disposition names.
pub fn filename_of(disposition: &[u8]) -> Option<String> {
    let value = Some(disposition).filter(|value| value.len() <= FIELD_BYTES_MAX)?;
    Structured::read(value)?.parameters.remove("filename").filter(|name| !name.is_empty())
}

/// A value and its parameters.
#[derive(Debug, Default)]
pub(super) struct Structured {
    /// What comes before a slash, or before the parameters, in lower case. Some programs leave it out.
    kind: String,
    subtype: Option<String>,
    /// The parameters, by their names in lower case.
    parameters: BTreeMap<String, String>,
}

impl Structured {
    /// Reads a value. None if it says nothing.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut scanner =
            Scanner { rest: value.trim_ascii(), no_comment_ends: false, no_quote_ends: false };
        let (kind, subtype) = scanner.kind();
        let mut parts: BTreeMap<String, Vec<Part>> = BTreeMap::new();
        while let Some((name, value)) = scanner.parameter() {
            let (name, part) = Part::of(&name, value);
            parts.entry(name).or_default().push(part);
        }
        let parameters = parts.into_iter().map(|(name, parts)| {
            let value = text(&name, parts);
            (name, value)
        });
        let read = Self { kind, subtype, parameters: parameters.collect() };
        Some(read).filter(|read| !read.kind.is_empty() || !read.parameters.is_empty())
    }

    pub(super) fn ctype(&self) -> &str {
        &self.kind
    }

    pub(super) fn subtype(&self) -> Option<&str> {
        self.subtype.as_deref()
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    pub(super) fn is_attachment(&self) -> bool {
        self.kind == "attachment"
    }

    pub(super) fn is_inline(&self) -> bool {
        self.kind == "inline"
    }
}

/// Whether the parameter is one that people read, in which encoded words and spaces are written.
fn is_name(name: &str) -> bool {
    matches!(name, "filename" | "name")
}

struct Scanner<'v> {
    rest: &'v [u8],
    /// No comment that follows has an end.
    no_comment_ends: bool,
    /// No quote that follows has an end.
    no_quote_ends: bool,
}

impl<'v> Scanner<'v> {
    /// What comes before the parameters.
    fn kind(&mut self) -> (String, Option<String>) {
        let before = self.rest;
        let kind = self.word(b";/=,");
        self.spaces();
        match self.rest.first() {
            // There is none, and a parameter begins.
            Some(b'=') => {
                self.rest = before;
                (String::new(), None)
            }
            Some(b'/') => {
                self.rest = &self.rest[1..];
                self.spaces();
                let subtype = self.word(b";,");
                (kind, Some(subtype))
            }
            _ => (kind, None),
        }
    }

    /// Up to a space, a comment or one of `ends`, in lower case and without quotes.
    fn word(&mut self, ends: &[u8]) -> String {
        let is_end = |b: &u8| b.is_ascii_whitespace() || *b == b'(' || ends.contains(b);
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        String::from_utf8_lossy(word).trim_matches(['"', '\'']).to_ascii_lowercase()
    }

    fn skip(&mut self, is_skipped: impl Fn(&u8) -> bool) {
        let end = self.rest.iter().position(|b| !is_skipped(b)).unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }

    /// Skips spaces and comments.
    fn spaces(&mut self) {
        self.skip(u8::is_ascii_whitespace);
        while self.rest.first() == Some(&b'(') && !self.no_comment_ends {
            let mut depth = 0_usize;
            let mut escaped = false;
            let end = self.rest.iter().position(|b| {
                match b {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            // One that does not end is none.
            let Some(end) = end else {
                self.no_comment_ends = true;
                return;
            };
            self.rest = &self.rest[end + 1..];
            self.skip(u8::is_ascii_whitespace);
        }
    }

    /// The next parameter that has a value.
    fn parameter(&mut self) -> Option<(String, Vec<u8>)> {
        loop {
            self.skip(|b| b.is_ascii_whitespace() || matches!(b, b';' | b','));
            self.spaces();
            if self.rest.is_empty() {
                return None;
            }
            let end = self.rest.iter().position(|b| matches!(b, b'=' | b';'));
            let (before, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            self.rest = rest.get(1..).unwrap_or_default();
            if rest.first() != Some(&b'=') {
                continue;
            }
            // Of several words the last one is the name.
            let name =
                before.trim_ascii().rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).trim_matches('"').to_ascii_lowercase();
            self.skip(u8::is_ascii_whitespace);
            let value = match self.rest.strip_prefix(b"\"") {
                Some(rest) => {
                    self.rest = rest;
                    self.quoted()
                }
                None => self.unquoted(is_name(name.split('*').next().unwrap_or_default())),
            };
            if !name.is_empty() && !value.is_empty() {
                return Some((name, value));
            }
        }
    }

    /// Up to the quote that ends it. A quote before another character is one of the text; where none ends it,
    /// a semicolon does.
    fn quoted(&mut self) -> Vec<u8> {
        let mut value = Vec::new();
        let mut at = 0;
        while let Some(&byte) = self.rest.get(at).filter(|_| !self.no_quote_ends) {
            let next = self.rest.get(at + 1);
            at += 1;
            match byte {
                // A path of Windows has backslashes that escape nothing.
                b'\\' => match next {
                    Some(escaped @ (b'"' | b'\\')) => {
                        value.push(*escaped);
                        at += 1;
                    }
                    _ => value.push(byte),
                },
                b'"' if next.is_none_or(|b| b.is_ascii_whitespace() || b";,(".contains(b)) => {
                    self.rest = &self.rest[at..];
                    return value;
                }
                b'\r' | b'\n' => {}
                byte => value.push(byte),
            }
        }
        self.no_quote_ends = true;
        self.unquoted(true)
    }

    /// Up to a semicolon, or to what begins a comment or the next parameter where the semicolon was forgotten.
    fn unquoted(&mut self, is_name: bool) -> Vec<u8> {
        let end = memchr::memchr(b';', self.rest).unwrap_or(self.rest.len());
        let whole = &self.rest[..end];
        let space = whole.iter().position(u8::is_ascii_whitespace).filter(|_| !is_name);
        let ends_early = |space: &usize| {
            let after = whole[*space..].trim_ascii_start();
            after.first() == Some(&b'(') || after.contains(&b'=')
        };
        let end = space.filter(ends_early).unwrap_or(end);
        let (value, rest) = self.rest.split_at(end);
        self.rest = rest;
        value.trim_ascii().iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect()
    }
}

/// A part of a parameter's value, or all of it.
struct Part {
    /// Its place, where there are several.
    place: Option<u32>,
    /// Whether it is percent-encoded.
    encoded: bool,
    value: Vec<u8>,
}

impl Part {
    /// The name of the parameter, without what says which part this is.
    fn of(name: &str, value: Vec<u8>) -> (String, Self) {
        let (base, section) = name.split_once('*').unwrap_or((name, ""));
        let (digits, encoded) = match section.strip_suffix('*') {
            Some(digits) => (digits, true),
            None => (section, section.is_empty() && name.contains('*')),
        };
        let place = digits.trim().parse().ok();
        (base.trim().to_owned(), Self { place, encoded, value })
    }
}

/// The value that parts have together.
fn text(name: &str, parts: Vec<Part>) -> String {
    let (mut placed, whole): (Vec<Part>, Vec<Part>) =
        parts.into_iter().partition(|part| part.place.is_some());
    let (encoded, plain): (Vec<Part>, Vec<Part>) = whole.into_iter().partition(|part| part.encoded);
    placed.sort_by_key(|part| part.place);
    placed.dedup_by_key(|part| part.place);
    let one = |parts: Vec<Part>| parts.into_iter().take(1).collect::<Vec<_>>();
    let forms = [one(encoded), placed, one(plain)].into_iter().filter(|parts| !parts.is_empty());
    let forms = forms.map(|parts| joined(name, &parts)).filter(|text| !text.is_empty());
    let mut best: Option<String> = None;
    for form in forms {
        if !form.contains('\u{fffd}') {
            return form;
        }
        best.get_or_insert(form);
    }
    best.unwrap_or_default()
}

/// Parts in their order as one text.
fn joined(name: &str, parts: &[Part]) -> String {
    let Some(first) = parts.first() else { return String::new() };
    let prefix = charset_prefix(&first.value);
    // Some programs forget the star that says so.
    let is_known = prefix.is_some_and(|(label, _)| charset::charset(label).is_some());
    let forgot = is_name(name) && is_known && first.value.contains(&b'%');
    let prefix = prefix.filter(|_| first.encoded || forgot);
    let mut bytes = Vec::new();
    // An escape may be in two parts.
    let mut encoded = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let from = if n == 0 { prefix.map_or(0, |(_, length)| length) } else { 0 };
        let value = &part.value[from..];
        if part.encoded || (n == 0 && forgot) {
            encoded.extend_from_slice(value);
        } else {
            push_unescaped(&encoded, &mut bytes);
            encoded.clear();
            bytes.extend_from_slice(value);
        }
    }
    push_unescaped(&encoded, &mut bytes);
    let text = charset::decode(&bytes, prefix.map(|(label, _)| label)).text;
    let text = if is_name(name) { words::decoded(&text) } else { text.into_owned() };
    text.trim().to_owned()
}

/// The charset and the language before an encoded value, between quotes, and their length.
fn charset_prefix(value: &[u8]) -> Option<(&str, usize)> {
    let charset_end = memchr::memchr(b'\'', value)?;
    let language = memchr::memchr(b'\'', &value[charset_end + 1..])?;
    let label = std::str::from_utf8(&value[..charset_end]).ok()?;
    let is_known = label.is_empty() || charset::charset(label).is_some();
    // A name may have apostrophes of its own.
    let is_language = value[charset_end + 1..][..language]
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    let is_label = is_known || !label.contains(['%', ' ', '.']);
    (is_language && is_label).then_some((label, charset_end + language + 2))
}

/// Adds what percent-encoded text says. A percent sign that begins no escape stands for itself.
fn push_unescaped(encoded: &[u8], bytes: &mut Vec<u8>) {
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        rest = after;
        let escape = match (first, after) {
            (b'%', [high, low, ..]) => words::hex(*high).zip(words::hex(*low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                bytes.push((high << 4) | low);
                rest = &after[2..];
            }
            None => bytes.push(*first),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn file_names_are_read_as_programs_write_them() {
        for (value, name) in [
            ("attachment; filename=report.pdf", "report.pdf"),
            ("attachment; filename=my report (1).pdf; size=3", "my report (1).pdf"),
            ("attachment; filename=\"my; report.pdf\"", "my; report.pdf"),
            ("attachment; filename=\"a \\\"b\\\" \\\\ c.pdf\"", "a \"b\" \\ c.pdf"),
            ("attachment; filename=\"C:\\docs\\a.pdf\"", "C:\\docs\\a.pdf"),
            ("attachment; filename=\"a \"b\".pdf\"", "a \"b\".pdf"),
            ("attachment; filename=\"a.pdf; size=3", "a.pdf"),
            ("attachment; filename=\"Größe.pdf\"", "Größe.pdf"),
            ("attachment; FileName = \"a.pdf\"", "a.pdf"),
            ("attachment filename=\"a.pdf\"", "a.pdf"),
            ("filename=\"a.pdf\"", "a.pdf"),
            ("attachment; filename=\"long\r\n name.pdf\"", "long name.pdf"),
            // Encoded words, which do not belong there, and come nevertheless.
            ("attachment; filename=\"=?utf-8?Q?Gr=C3=BC=C3=9Fe.pdf?=\"", "Grüße.pdf"),
            ("attachment; filename==?utf-8?Q?Gr=C3=BC=C3=9Fe.pdf?=", "Grüße.pdf"),
            (
                "attachment; filename=\"=?iso-2022-jp?B?GyRCQ20bKEI=?=\r\n =?iso-2022-jp?B?GyRCSjgbKEIucGRm?=\"",
                "注文.pdf",
            ),
            ("attachment; filename*0=\"=?utf-8?B?R3LD\"; filename*1=\"vMOfZQ==?=\"", "Grüße"),
            // RFC 2231.
            ("attachment; filename*=utf-8''Gr%C3%BC%c3%9fe%20.pdf", "Grüße .pdf"),
            ("attachment; filename*=\"utf-8'de'Gr%C3%BC%C3%9Fe.pdf\"", "Grüße.pdf"),
            ("attachment; filename*=iso-8859-1'en'Gr%FC%DFe.pdf", "Grüße.pdf"),
            ("attachment; filename*=ISO-2022-JP''%1B$BCmJ8%1B(B.pdf", "注文.pdf"),
            ("attachment; filename*=shift_jis''%92%8D%95%B6.pdf", "注文.pdf"),
            ("attachment; filename*=''Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf"),
            ("attachment; filename*=Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf"),
            ("attachment; filename*=it's%20bob's.pdf", "it's bob's.pdf"),
            ("attachment; filename=utf-8''Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf"),
            ("attachment; filename=\"100%25 Bob's 'x'.pdf\"", "100%25 Bob's 'x'.pdf"),
            ("attachment; filename*=utf-8''100%.pdf%2", "100%.pdf%2"),
            ("attachment; filename*=utf-8''a%ZZb%20c", "a%ZZb c"),
            (
                "attachment; filename=\"plain.pdf\"; filename*=utf-8''Gr%C3%BC%C3%9Fe.pdf",
                "Grüße.pdf",
            ),
            ("attachment; filename*=utf-8''%; filename=\"plain.pdf\"", "%"),
            ("attachment; filename*=utf-8''; filename=\"plain.pdf\"", "plain.pdf"),
            ("attachment; filename*1*=%9Fe; filename*0*=utf-8''Gr%C3%BC%C3", "Grüße"),
            ("attachment; filename*0*=utf-8''Gr%C3%BC%C; filename*1*=3%9Fe", "Grüße"),
            ("attachment; filename*0=\"a b\"; filename*1*=%20c; filename*2=\"%20d\"", "a b c%20d"),
            (
                "attachment; filename*0*=utf-8''a%20; filename*2*=b; filename*10*=d; filename*4*=c",
                "a bcd",
            ),
            ("attachment; filename*0=one; filename*0=two; filename*1=.pdf", "one.pdf"),
        ] {
            let read = Structured::read(value.as_bytes()).expect("something");
            assert_eq!(read.attribute("filename"), Some(name), "{value:?}");
        }
        let raw = Structured::read(b"attachment; filename=\"Gr\xfc\xdfe aus K\xf6ln.pdf\"");
        assert_eq!(raw.expect("something").attribute("filename"), Some("Grüße aus Köln.pdf"));
    }

    #[test]
    fn types_are_read_as_programs_write_them() {
        for (value, kind, subtype, charset) in [
            ("text/plain", "text", Some("plain"), None),
            ("TEXT / Plain ; Charset = \"UTF-8\"", "text", Some("plain"), Some("UTF-8")),
            ("text/plain charset=utf-8 format=flowed", "text", Some("plain"), Some("utf-8")),
            (
                "text/plain; charset=utf-8 (a comment; x=y); format=flowed",
                "text",
                Some("plain"),
                Some("utf-8"),
            ),
            ("text/plain (a (nested) one); charset=utf-8", "text", Some("plain"), Some("utf-8")),
            ("text/plain;; charset=utf-8;", "text", Some("plain"), Some("utf-8")),
            ("\"text/plain\"; charset='utf-8'", "text", Some("plain"), Some("'utf-8'")),
            ("text/plain; charset*=us-ascii''utf-8", "text", Some("plain"), Some("utf-8")),
            ("text; charset=utf-8", "text", None, Some("utf-8")),
            ("charset=utf-8", "", None, Some("utf-8")),
            ("text/plain; (charset=utf-8", "text", Some("plain"), None),
        ] {
            let read = Structured::read(value.as_bytes()).expect("something");
            assert_eq!((read.ctype(), read.subtype()), (kind, subtype), "{value:?}");
            assert_eq!(read.attribute("charset"), charset, "{value:?}");
        }
        for boundary in ["----=_Part_1 (x)", "=?a?Q?b?=", "a;b", "a'b'%20"] {
            let value = format!("multipart/mixed; boundary=\"{boundary}\"");
            let read = Structured::read(value.as_bytes()).expect("something");
            assert_eq!(read.attribute("boundary"), Some(boundary));
        }
        let bare = Structured::read(b"multipart/mixed; boundary==_x; type=a").expect("something");
        assert_eq!(bare.attribute("boundary"), Some("=_x"));
        assert!(Structured::read(b"").is_none() && Structured::read(b" ; ").is_none());
        assert_eq!(charset_of(b"text/plain; charset=koi8-r").as_deref(), Some("koi8-r"));
        let disposition = b"form-data; name=a; filename*=utf-8''Gr%C3%BC%C3%9Fe.pdf";
        assert_eq!(filename_of(disposition).as_deref(), Some("Grüße.pdf"));
        assert_eq!(filename_of(b"form-data; name=a; filename=\"\""), None);
    }

    proptest! {
        #[test]
        fn no_value_is_too_strange(value in "([a-z*0-9'\"=;%() /\\\\]|=\\?utf-8\\?Q\\?|\\PC){0,80}") {
            Structured::read(value.as_bytes());
        }

        #[test]
        fn no_bytes_are_too_strange(value: Vec<u8>) {
            Structured::read(&value);
        }

        #[test]
        fn a_name_that_is_encoded_is_read(name in "[^\\pC\\pZ]{1,20}") {
            let letters: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let value = format!("attachment; filename*=utf-8''{letters}");
            let read = Structured::read(value.as_bytes());
            prop_assert_eq!(read.as_ref().and_then(|read| read.attribute("filename")), Some(&*name));
        }
    }
}
