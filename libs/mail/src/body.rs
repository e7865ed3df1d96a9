//! The content of a part, decoded from its transfer encoding and its charset.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine};
use encoding_rs::Encoding;
use hatch_domain::Attachment;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;

use super::clean;
use super::fields::{MimeFields, TransferEncoding};

/// A part that is no multipart.
pub(super) struct Part<'m> {
    pub(super) fields: MimeFields,
    pub(super) body: &'m [u8],
}

impl Part<'_> {
    /// Whether it is a text of that kind for people to read, and not a file.
    pub(super) fn is_inline(&self, kind: &str) -> bool {
        self.fields.is_inline_text(kind) && !self.body.is_empty()
    }

    /// Whether it brings nothing at all.
    pub(super) fn is_nothing(&self) -> bool {
        self.body.is_empty() && self.fields.filename().is_none()
    }

    pub(super) fn text(&self) -> String {
        clean(&decode_text(self.bytes(), self.fields.charset()))
    }

    pub(super) fn file(&self) -> Attachment {
        // What is a text is kept as one, since its charset is not.
        let content = if self.fields.is_text() {
            BASE64_STANDARD.encode(&*decode_text(self.bytes(), self.fields.charset()))
        } else {
            BASE64_STANDARD.encode(&*self.bytes())
        };
        Attachment {
            url: None,
            content_type: self.fields.media_type(),
            filename: self.fields.filename().map(clean),
            content: Some(content),
            ..Attachment::default()
        }
    }

    /// Out of its encoding. What is not encoded as it says is taken as it came.
    fn bytes(&self) -> Cow<'_, [u8]> {
        let mut stream = MessageStream::new(self.body);
        let (end, bytes) = match self.fields.encoding() {
            TransferEncoding::None => return self.body.into(),
            TransferEncoding::Base64 => stream.decode_base64_mime(b""),
            TransferEncoding::QuotedPrintable => stream.decode_quoted_printable_mime(b""),
        };
        if end == usize::MAX { self.body.into() } else { bytes }
    }
}

/// Out of the charset; what cannot be read there becomes U+FFFD.
fn decode_text<'b>(bytes: Cow<'b, [u8]>, charset: Option<&str>) -> Cow<'b, str> {
    let label = charset.unwrap_or("utf-8");
    match (Encoding::for_label(label.as_bytes()), charset_decoder(label.as_bytes())) {
        (Some(encoding), _) => encoding.decode(&bytes).0.into_owned().into(),
        (None, Some(decode)) => decode(&bytes).into(),
        (None, None) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}
