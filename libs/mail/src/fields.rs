//! The headers of a mail and of its parts.

use hatch_domain::mailbox::Mailbox;
use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};

use super::addresses::mailboxes;
use super::delivered::delivered_to;
use super::ids::{ids, thread};
use super::{Cut, FIELD_BYTES_MAX, HEADERS_BYTES_MAX, clean};

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
}

impl Headers {
    /// Reads a block of headers. Of a header that is there twice the last one counts.
    pub fn read(block: &[u8], cut: &mut Cut) -> Self {
        let read = &block[..block.len().min(HEADERS_BYTES_MAX)];
        cut.count("header_bytes", block.len() - read.len());
        let found = last_of(
            read,
            ["from", "to", "cc", "reply-to", "subject", "message-id", "in-reply-to", "references"],
        );
        let [from, to, cc, reply_to, subject, mail_id, in_reply_to, references] = found;
        let mut list = |name: &str, value: Option<&[u8]>| {
            let text = String::from_utf8_lossy(value.unwrap_or_default());
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
            subject: subject.and_then(|value| unstructured(value, cut)),
            mail_id: ids(mail_id).pop(),
            in_reply_to: (!answered.is_empty()).then(|| answered.swap_remove(0)),
            references,
            delivered_to: delivered_to(block),
        }
    }
}

/// A text, out of its encoded words.
fn unstructured(value: &[u8], cut: &mut Cut) -> Option<String> {
    let read = &value[..value.len().min(FIELD_BYTES_MAX)];
    cut.count("header_bytes", value.len() - read.len());
    let value = with_line_end(read);
    let text = match MessageStream::new(&value).parse_unstructured() {
        HeaderValue::Text(text) => clean(&text),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

/// A text out of its encoded words, where it has some.
pub fn decoded(text: &str) -> String {
    if !text.contains("=?") {
        return text.to_owned();
    }
    // A line that is not at its end would be read as the next header.
    let line = with_line_end(text.replace(['\r', '\n'], " ").as_bytes());
    match MessageStream::new(&line).parse_unstructured() {
        HeaderValue::Text(text) => text.into_owned(),
        _ => text.to_owned(),
    }
}

/// The library reads a header up to the end of its line.
fn with_line_end(value: &[u8]) -> Vec<u8> {
    [value.trim_ascii(), b"\n"].concat()
}

/// The values of the named headers, each of its last occurrence.
fn last_of<'m, const N: usize>(block: &'m [u8], names: [&str; N]) -> [Option<&'m [u8]>; N] {
    let mut found = [None; N];
    let mut start = 0;
    while start < block.len() {
        let end = field_end(block, start);
        let field = &block[start..end];
        start = end;
        let Some(colon) = memchr::memchr(b':', field) else { continue };
        let name = field[..colon].trim_ascii();
        if let Some(n) = names.iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        {
            found[n] = Some(&field[colon + 1..]);
        }
    }
    found
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

/// Whose headers they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Mail,
    Part,
}

/// The headers of a part that hatch uses.
pub(super) struct MimeFields {
    kind: Kind,
    content_type: Option<ContentType<'static>>,
    disposition: Option<ContentType<'static>>,
    encoding: TransferEncoding,
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
    pub(super) fn read(
        block: &[u8],
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
        let names = ["content-type", "content-disposition", "content-transfer-encoding"];
        let [content_type, disposition, encoding] = last_of(block, names);
        let mut structured = |value: Option<&[u8]>| {
            let value = value?;
            if value.len() > FIELD_BYTES_MAX || value.len() > *left {
                cut.count("header_bytes", value.len());
                return None;
            }
            *left -= value.len();
            let value = with_line_end(value);
            match MessageStream::new(&value).parse_content_type().into_owned() {
                HeaderValue::ContentType(said) => Some(said),
                _ => None,
            }
        };
        let encoding = first_word(encoding.unwrap_or_default());
        Self {
            kind: if of_digest { Kind::OfDigest } else { Kind::Said },
            content_type: structured(content_type),
            disposition: structured(disposition),
            encoding: if encoding.eq_ignore_ascii_case(b"base64") {
                TransferEncoding::Base64
            } else if encoding.eq_ignore_ascii_case(b"quoted-printable") {
                TransferEncoding::QuotedPrintable
            } else {
                TransferEncoding::None
            },
        }
    }

    /// The same content, taken for a plain text.
    pub(super) fn into_text(self) -> Self {
        Self { kind: Kind::Text, ..self }
    }

    /// The same content, taken for a file.
    pub(super) fn into_file(self) -> Self {
        Self { kind: Kind::File, ..self }
    }

    /// The boundary between its parts, if it is a multipart.
    pub(super) fn boundary(&self) -> Option<&str> {
        let said = self.content_type.as_ref().filter(|said| said.ctype() == "multipart")?;
        said.attribute("boundary").filter(|boundary| !boundary.is_empty())
    }

    pub(super) fn is_digest(&self) -> bool {
        self.said() == ("multipart", "digest")
    }

    /// Type and subtype.
    fn said(&self) -> (&str, &str) {
        match (self.kind, &self.content_type) {
            (Kind::Text, _) | (Kind::Said, None) => ("text", "plain"),
            (Kind::OfDigest, None) => ("message", "rfc822"),
            (Kind::File, None) => ("application", "octet-stream"),
            (_, Some(said)) => match (said.ctype(), said.subtype().unwrap_or_default()) {
                // Some programs leave half of it out, or the semicolon after it (RFC 2045, section 5.2).
                ("text" | "plain", "") => ("text", "plain"),
                (kind, subtype) => (kind, subtype.split_whitespace().next().unwrap_or_default()),
            },
        }
    }

    pub(super) fn is_text(&self) -> bool {
        self.said().0 == "text"
    }

    pub(super) fn is_inline_text(&self, kind: &str) -> bool {
        let attached = self.disposition.as_ref().is_some_and(ContentType::is_attachment);
        self.said() == ("text", kind) && !attached && self.filename().is_none()
    }

    pub(super) fn charset(&self) -> Option<&str> {
        self.content_type.as_ref()?.attribute("charset")
    }

    pub(super) fn filename(&self) -> Option<&str> {
        let disposition = self.disposition.as_ref().and_then(|said| said.attribute("filename"));
        disposition.or_else(|| self.content_type.as_ref()?.attribute("name"))
    }

    /// The media type as the part says it.
    pub(super) fn media_type(&self) -> Option<String> {
        let said = self.content_type.as_ref()?;
        Some(match said.subtype() {
            Some(subtype) => clean(&format!("{}/{subtype}", said.ctype())),
            None => clean(said.ctype()),
        })
    }

    pub(super) const fn encoding(&self) -> TransferEncoding {
        self.encoding
    }
}
