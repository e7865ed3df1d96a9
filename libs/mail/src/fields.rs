//! The headers of a mail and of its parts.

use hatch_domain::mailbox::Mailbox;
use memchr::memmem;

use super::addresses::mailboxes;
use super::delivered::delivered_to;
use super::ids::{ids, thread};
use super::params::{Structured, charset_of};
use super::signs::Signs;
use super::{
    Cut, FIELD_BYTES_MAX, HEADERS_BYTES_MAX, ID_BYTES_MAX, PART_FIELDS_BYTES_MAX, charset, clean,
    words,
};

/// The headers of a mail that hatch uses.
#[derive(Debug, Default)]
pub struct Headers {
    /// The sender.
    pub from: Option<Mailbox>,
    /// The recipients.
    pub to: Vec<Mailbox>,
    /// Who gets a copy.
    pub cc: Vec<Mailbox>,
    /// Who is to be answered.
    pub reply_to: Option<Mailbox>,
    /// The subject.
    pub subject: Option<String>,
    /// The Message-ID, without angle brackets.
    pub mail_id: Option<String>,
    /// The Message-ID of the mail that it answers.
    pub in_reply_to: Option<String>,
    /// The Message-IDs of the thread, the oldest first.
    pub references: Vec<String>,
    /// The mailboxes that it was brought to on its way, as the servers say that brought it.
    pub delivered_to: Vec<Mailbox>,
    /// What they say of whether a person wrote it.
    pub signs: Signs,
}

impl Headers {
    /// Reads a block of headers. Of a header that is there twice the first one that says something counts.
    pub fn read(block: &[u8], cut: &mut Cut) -> Self {
        let read = &block[..block.len().min(HEADERS_BYTES_MAX)];
        cut.count("header_bytes", block.len() - read.len());
        let found = first_of(
            read,
            ["from", "to", "cc", "reply-to", "subject", "message-id", "in-reply-to", "references"],
        );
        let [from, to, cc, reply_to, subject, mail_id, in_reply_to, references] = found;
        let hint = charset_hint(read);
        let hint = hint.as_deref();
        let mut list = |name: &str, value: Option<&[u8]>| {
            let text = charset::decode(value.unwrap_or_default(), hint).text;
            mailboxes(&text, name, cut)
        };
        let from = list("from", from).into_iter().next();
        let (to, cc) = (list("to", to), list("cc", cc));
        let reply_to = list("reply_to", reply_to).into_iter().next();
        let mut answered = ids(in_reply_to);
        let references = thread(ids(references), &answered, cut);
        Self {
            from,
            to,
            cc,
            reply_to,
            subject: subject.and_then(|value| unstructured(value, hint, cut)),
            mail_id: ids(mail_id).pop(),
            in_reply_to: (!answered.is_empty()).then(|| answered.swap_remove(0)),
            references,
            delivered_to: delivered_to(block),
            signs: Signs::read(read),
        }
    }
}

/// A text in one line, out of its charset and its encoded words.
fn unstructured(value: &[u8], hint: Option<&str>, cut: &mut Cut) -> Option<String> {
    let read = &value[..value.len().min(FIELD_BYTES_MAX)];
    cut.count("header_bytes", value.len() - read.len());
    let text = charset::decode(read, hint).text;
    let text = words::decoded(&words::unfolded(&text));
    Some(clean(text.trim())).filter(|text| !text.is_empty())
}

/// The charset that the mail declares for its text, in which headers are that are in none (RFC 5322 allows but ASCII).
fn charset_hint(block: &[u8]) -> Option<String> {
    if block.is_ascii() {
        return None;
    }
    let [content_type] = first_of(block, ["content-type"]);
    charset_of(content_type?)
}

/// The headers of a block, each with its name and its value as they are written.
pub(super) fn headers(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut start = 0;
    std::iter::from_fn(move || {
        while start < block.len() {
            let end = field_end(block, start);
            let field = &block[start..end];
            start = end;
            if let Some(colon) = memchr::memchr(b':', field) {
                return Some((field[..colon].trim_ascii(), &field[colon + 1..]));
            }
        }
        None
    })
}

/// The values of the named headers, each of the first occurrence that says something.
fn first_of<'m, const N: usize>(block: &'m [u8], names: [&str; N]) -> [Option<&'m [u8]>; N] {
    let mut found = [None; N];
    for (name, value) in headers(block) {
        let n = names.iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        if let Some(n) = n.filter(|n| found[*n].is_none() && !value.trim_ascii().is_empty()) {
            found[n] = Some(value);
        }
    }
    found
}

/// The subject of a mail, of which little is read.
pub(super) fn subject(mail: &[u8]) -> Option<String> {
    let read = &mail[..mail.len().min(PART_FIELDS_BYTES_MAX)];
    let end = [&b"\n\r\n"[..], b"\n\n"].into_iter().filter_map(|end| memmem::find(read, end)).min();
    let [subject] = first_of(&read[..end.map_or(read.len(), |end| end + 1)], ["subject"]);
    unstructured(subject?, charset_hint(read).as_deref(), &mut Cut::default())
}

/// A header's value without what some programs write around or after it: quotes, parameters, comments.
fn first_word(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let end =
        value.iter().position(|b| matches!(b, b'"' | b';' | b'(' | b' ' | b'\t' | b'\r' | b'\n'));
    &value[..end.unwrap_or(value.len())]
}

/// Where the header that begins at `start` ends: before the next line that does not begin with a space.
fn field_end(block: &[u8], start: usize) -> usize {
    let mut from = start;
    while let Some(n) = memchr::memchr(b'\n', &block[from..]) {
        from += n + 1;
        if !matches!(block.get(from), Some(b' ' | b'\t')) {
            return from;
        }
    }
    block.len()
}

/// How the content of a part is written.
#[derive(Clone, Copy)]
pub(super) enum TransferEncoding {
    None,
    Base64,
    QuotedPrintable,
}

impl TransferEncoding {
    /// By its name, which some write in other ways.
    fn of(name: &[u8]) -> Self {
        let letters = name.iter().filter(|b| b.is_ascii_alphanumeric());
        let letters: Vec<u8> = letters.take(20).map(u8::to_ascii_lowercase).collect();
        match &letters[..] {
            b"base64" => Self::Base64,
            b"quotedprintable" => Self::QuotedPrintable,
            _ => Self::None,
        }
    }
}

/// The boundary in a header that is written as no library reads it, such as one without the semicolon before it.
fn written_boundary(value: &[u8]) -> Option<String> {
    let n = value.windows(9).position(|name| name.eq_ignore_ascii_case(b"boundary="))?;
    let rest = value[n + 9..].trim_ascii_start();
    let rest = rest.strip_prefix(b"\"").unwrap_or(rest);
    let end = rest.iter().position(|b| b"\"; \t\r\n".contains(b)).unwrap_or(rest.len());
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

/// A Content-ID without what stands around it.
pub(super) fn bare_id(value: &[u8]) -> Option<String> {
    let text = clean(&String::from_utf8_lossy(value.trim_ascii()));
    let id = text.trim_matches(|c: char| matches!(c, '<' | '>' | '"') || c.is_whitespace());
    (!id.is_empty() && id.len() <= ID_BYTES_MAX).then(|| id.to_owned())
}

/// Whose headers they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Mail,
    Part,
}

/// The headers of a part that hatch uses.
pub(super) struct MimeFields {
    kind: Kind,
    content_type: Option<Structured>,
    disposition: Option<Structured>,
    encoding: TransferEncoding,
    content_id: Option<String>,
    location: Option<String>,
    /// The boundary of a multipart whose header is written so that it has none.
    boundary: Option<String>,
}

/// How a text is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Html,
    /// It is shown as HTML where nothing else says the same.
    OtherHtml,
}

/// What the part is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What it says, else a plain text.
    Said,
    /// What it says, else a mail.
    OfDigest,
    /// A plain text, whatever it says.
    Text,
    /// A file, whatever it says.
    File,
}

impl MimeFields {
    /// Reads a block of headers, as long as `left` bytes of such headers are enough.
    pub(super) fn read<'b>(
        block: &'b [u8],
        which: Which,
        of_digest: bool,
        left: &mut usize,
        cut: &mut Cut,
    ) -> Self {
        let block = match which {
            // What is beyond is counted where the mail's headers are read.
            Which::Mail => &block[..block.len().min(HEADERS_BYTES_MAX)],
            Which::Part => block,
        };
        let names = [
            "content-type",
            "content-disposition",
            "content-transfer-encoding",
            "content-id",
            "content-location",
        ];
        let [content_type, disposition, encoding, content_id, location] = first_of(block, names);
        let mut within = |value: Option<&'b [u8]>| {
            let value = value?;
            if value.len() > FIELD_BYTES_MAX || value.len() > *left {
                cut.count("header_bytes", value.len());
                return None;
            }
            *left -= value.len();
            Some(value)
        };
        let [content_type, disposition, content_id, location] =
            [content_type, disposition, content_id, location].map(&mut within);
        let structured = |value: Option<&[u8]>| Structured::read(value?);
        let said = structured(content_type);
        let boundary = said.as_ref().filter(|said| said.attribute("boundary").is_none());
        Self {
            kind: if of_digest { Kind::OfDigest } else { Kind::Said },
            boundary: boundary.and_then(|_| written_boundary(content_type?)),
            content_type: said,
            disposition: structured(disposition),
            encoding: TransferEncoding::of(first_word(encoding.unwrap_or_default())),
            content_id: content_id.and_then(bare_id),
            location: location.map(|value| clean(&String::from_utf8_lossy(value.trim_ascii()))),
        }
    }

    /// Those of a plain text that nothing is said of.
    pub(super) const fn text() -> Self {
        Self {
            kind: Kind::Text,
            content_type: None,
            disposition: None,
            encoding: TransferEncoding::None,
            content_id: None,
            location: None,
            boundary: None,
        }
    }

    /// Whether there is nothing that says what the part is.
    pub(super) const fn say_nothing(&self) -> bool {
        self.content_type.is_none() && self.disposition.is_none() && self.content_id.is_none()
    }

    /// The same content, taken for a plain text.
    pub(super) fn into_text(self) -> Self {
        Self { kind: Kind::Text, ..self }
    }

    /// The same content, taken for a file.
    pub(super) fn into_file(self) -> Self {
        Self { kind: Kind::File, ..self }
    }

    pub(super) fn is_multipart(&self) -> bool {
        self.content_type.as_ref().is_some_and(|said| said.ctype() == "multipart")
    }

    /// The boundary between its parts, if it says one.
    pub(super) fn boundary(&self) -> Option<&str> {
        let said =
            self.content_type.as_ref()?.attribute("boundary").or(self.boundary.as_deref())?;
        Some(said.trim_end()).filter(|boundary| !boundary.is_empty())
    }

    pub(super) fn is_alternative(&self) -> bool {
        self.said() == ("multipart", "alternative")
    }

    pub(super) fn is_digest(&self) -> bool {
        self.said() == ("multipart", "digest")
    }

    /// Type and subtype.
    pub(super) fn said(&self) -> (&str, &str) {
        match (self.kind, &self.content_type) {
            (Kind::Text, _) | (Kind::Said, None) => ("text", "plain"),
            (Kind::OfDigest, None) => ("message", "rfc822"),
            (Kind::File, None) => ("application", "octet-stream"),
            (_, Some(said)) => match (said.ctype(), said.subtype().unwrap_or_default()) {
                // Some programs leave half of it out, or the semicolon after it (RFC 2045, section 5.2).
                ("html", "") => ("text", "html"),
                ("text" | "plain" | "", "") => ("text", "plain"),
                // What is no type at all says nothing (RFC 2045, section 5.2).
                (kind, _) if !is_type(kind) => ("text", "plain"),
                (kind, subtype) => {
                    let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | '/' | ';');
                    (kind, subtype.split(is_end).next().unwrap_or_default())
                }
            },
        }
    }

    pub(super) fn is_text(&self) -> bool {
        self.said().0 == "text"
    }

    /// How it is shown; none of a file. A text is one if it has a name, unless it is the whole mail or one of several
    /// forms of a text.
    pub(super) fn form(&self, is_whole: bool, is_alternative: bool) -> Option<Form> {
        let (kind, subtype) = self.said();
        let may_have_name = is_whole || is_alternative;
        let is_file = self.is_attachment() || (self.filename().is_some() && !may_have_name);
        if kind != "text" || is_file {
            return None;
        }
        match subtype {
            "html" => Some(Form::Html),
            "x-amp-html" | "watch-html" | "enriched" | "richtext" => {
                is_alternative.then_some(Form::OtherHtml)
            }
            "calendar"
            | "csv"
            | "tab-separated-values"
            | "rtf"
            | "vcard"
            | "x-vcard"
            | "directory"
            | "xml"
            | "css"
            | "javascript"
            | "ecmascript"
            | "rfc822-headers" => None,
            // What nobody knows is read as it is (RFC 2046, section 4.1.4).
            _ => Some(Form::Plain),
        }
    }

    /// Whether somebody said that it is a text of any kind.
    pub(super) const fn is_declared(&self) -> bool {
        self.content_type.is_some()
    }

    pub(super) fn is_attachment(&self) -> bool {
        self.disposition.as_ref().is_some_and(Structured::is_attachment)
    }

    pub(super) fn is_inline(&self) -> bool {
        self.disposition.as_ref().is_some_and(Structured::is_inline)
    }

    /// The Content-ID, without angle brackets.
    pub(super) fn content_id(&self) -> Option<&str> {
        self.content_id.as_deref()
    }

    /// The Content-Location, by which HTML shows it as well.
    pub(super) fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    pub(super) fn charset(&self) -> Option<&str> {
        self.content_type.as_ref()?.attribute("charset")
    }

    pub(super) fn filename(&self) -> Option<&str> {
        let (disposition, content_type) = (self.disposition.as_ref(), self.content_type.as_ref());
        disposition
            .and_then(|said| said.attribute("filename"))
            .or_else(|| content_type?.attribute("name"))
            .or_else(|| content_type?.attribute("filename"))
            .or_else(|| disposition?.attribute("name"))
    }

    /// The media type as the part says it.
    pub(super) fn media_type(&self) -> Option<String> {
        let Some(said) = &self.content_type else {
            return (self.kind == Kind::OfDigest).then(|| "message/rfc822".to_owned());
        };
        Some(match said.subtype() {
            Some(subtype) => clean(&format!("{}/{subtype}", said.ctype())),
            None => clean(said.ctype()),
        })
    }

    pub(super) const fn encoding(&self) -> TransferEncoding {
        self.encoding
    }
}

/// Whether a Content-Type may begin so: with a type of IANA's list, or with one of a program's own.
fn is_type(kind: &str) -> bool {
    const TYPES: [&str; 11] = [
        "application",
        "audio",
        "example",
        "font",
        "haptics",
        "image",
        "message",
        "model",
        "multipart",
        "text",
        "video",
    ];
    TYPES.contains(&kind) || kind.starts_with("x-") || kind == "chemical"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(block: &[u8]) -> Headers {
        Headers::read(block, &mut Cut::default())
    }

    #[test]
    fn a_header_is_read_in_whatever_charset_it_is() {
        let of_subject = |value: &[u8]| {
            headers(&[b"Subject: ", value, b"\r\n"].concat()).subject.unwrap_or_default()
        };
        for (value, subject) in [
            (&b"Gr\xc3\xbc\xc3\x9fe"[..], "Grüße"),
            (b"Viele Gr\xfc\xdfe aus K\xf6ln", "Viele Grüße aus Köln"),
            (b"\x1b$BCmJ8\x1b(B4711", "注文4711"),
            (b"Gr\xc3\xbc\xc3\x9fe =?utf-8?Q?=C3=BC?=", "Grüße ü"),
            (b" a\r\n\tb  c ", "a b  c"),
            (b"=?utf-8?Q?a?=\r\n =?utf-8?Q?b?=", "ab"),
        ] {
            assert_eq!(of_subject(value), subject);
        }
    }

    #[test]
    fn headers_are_in_the_charset_of_the_text_where_they_say_none() {
        let read = headers(
            b"Content-Type: text/plain; charset=\"Shift_JIS\"\r\nSubject: \x92\x8d\x95\xb64711\r\n\
              From: \x92\x8d\x95\xb6 <ann@example.com>\r\n",
        );
        assert_eq!(read.subject.as_deref(), Some("注文4711"));
        assert_eq!(read.from.and_then(|from| from.name).as_deref(), Some("注文"));
    }
}
