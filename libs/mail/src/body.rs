//! The content of a part, decoded from its transfer encoding and its charset.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine};
use hatch_domain::Attachment;

use super::charset::decode_html;
use super::fields::{MimeFields, TransferEncoding, subject};
use super::names::{file_name, usual_name};
use super::walk::is_text;
use super::{clean, transfer};

/// A part that is no multipart.
pub(super) struct Part<'m> {
    pub(super) fields: MimeFields,
    pub(super) body: &'m [u8],
}

impl Part<'_> {
    /// Whether it brings nothing at all.
    pub(super) fn is_nothing(&self) -> bool {
        self.body.is_empty() && self.fields.filename().is_none()
    }

    pub(super) fn text(&self) -> String {
        clean(&decode_text(self.bytes(), self.fields.charset()))
    }

    /// The text that somebody on the way wrote after the encoded content.
    pub(super) fn footer(&self) -> Option<String> {
        let TransferEncoding::Base64 = self.fields.encoding() else { return None };
        let (_, footer) = transfer::base64(self.body)?;
        is_text(footer).then(|| clean(&decode_text(footer.into(), None)))
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
            filename: self.filename(),
            content: Some(content),
            content_id: self.fields.content_id().map(str::to_owned),
            ..Attachment::default()
        }
    }

    /// Its name, else the usual one of its kind.
    fn filename(&self) -> Option<String> {
        let named = self.fields.filename().and_then(file_name);
        named.or_else(|| match self.fields.said() {
            ("message", "rfc822" | "global") => Some(self.name_of_mail()),
            said => usual_name(said).map(str::to_owned),
        })
    }

    /// The name of a mail within the mail, by its subject.
    fn name_of_mail(&self) -> String {
        let subject = subject(&self.bytes());
        let name = subject.map(|subject| subject.replace(['/', '\\'], "_"));
        let name = name.and_then(|name| file_name(&format!("{name}.eml")));
        name.unwrap_or_else(|| "message.eml".to_owned())
    }

    /// Out of its encoding. What is not encoded as it says is taken as it came.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match self.fields.encoding() {
            TransferEncoding::None => self.body.into(),
            TransferEncoding::Base64 => match transfer::base64(self.body) {
                Some((bytes, _)) => bytes.into(),
                None => self.body.into(),
            },
            TransferEncoding::QuotedPrintable => transfer::quoted_printable(self.body),
        }
    }
}

/// Out of the charset. One that is not declared may be in the text, where that is HTML.
fn decode_text<'b>(bytes: Cow<'b, [u8]>, charset: Option<&str>) -> Cow<'b, str> {
    match bytes {
        Cow::Borrowed(bytes) => decode_html(bytes, charset).text,
        Cow::Owned(bytes) => decode_html(&bytes, charset).text.into_owned().into(),
    }
}
