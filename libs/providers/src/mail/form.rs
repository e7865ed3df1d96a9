//! The form by which a provider posts a mail that came in.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use futures::{FutureExt, stream};
use hatch_domain::mailbox::Mailbox;
use hatch_mail::{Cut, PARTS_MAX, charset_of, clean, decode, decode_html, filename_of, mailboxes};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use memchr::memmem;
use multer::Multipart;
use serde::Deserialize;
use uuid::Uuid;

use super::files::Described;
use crate::webhook::{NotUnderstood, RawRequest};

const FORM: NotUnderstood = NotUnderstood::ContentType { expected: "a multipart form" };

/// The parts of the form.
pub(crate) struct Form {
    pub(crate) parts: HashMap<String, Part>,
    /// The charsets of the parts, as another part says.
    pub(crate) charsets: HashMap<String, String>,
    /// The names of the parts that are files, in the order in which they came.
    pub(crate) files: Vec<String>,
}

/// A part of the form.
pub(crate) struct Part {
    pub(crate) bytes: Bytes,
    pub(crate) filename: Option<String>,
    pub(crate) content_type: Option<String>,
}

impl Form {
    /// Reads the form of a request. A part whose name begins with `files`, followed by a number, is a file.
    pub(crate) fn read(
        request: &RawRequest,
        files: &str,
        cut: &mut Cut,
    ) -> Result<Self, NotUnderstood> {
        let content_type = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary =
            multer::parse_boundary(content_type.unwrap_or_default()).map_err(|_| FORM)?;
        let read = |body: Bytes| {
            let parts = read_parts(body, boundary.clone());
            // The whole body is there, so there is nothing to wait for.
            parts.now_or_never().and_then(Result::ok)
        };
        let parts = read(request.body.clone());
        let parts = parts.or_else(|| read(without_controls(&request.body, &boundary)?));
        let parts = parts.ok_or(FORM)?;
        Ok(Self::of(parts.into_iter(), files, cut))
    }

    /// The form of these parts, as far as the limits go.
    pub(crate) fn of(
        parts: impl Iterator<Item = (String, Part)>,
        files: &str,
        cut: &mut Cut,
    ) -> Self {
        let mut form = Self { parts: HashMap::new(), charsets: HashMap::new(), files: Vec::new() };
        for (name, part) in parts {
            if form.parts.len() == PARTS_MAX {
                cut.count("parts", 1);
            } else if let Entry::Vacant(vacant) = form.parts.entry(name) {
                if part.filename.is_some() || Described::is_file(files, vacant.key()) {
                    form.files.push(vacant.key().clone());
                }
                vacant.insert(part);
            } else {
                // A name stands for its first part.
                cut.count("parts", 1);
            }
        }
        form
    }

    /// A text, from the charset that the form or the part names for it. What cannot be read in any, and NUL,
    /// which no text has, becomes U+FFFD.
    pub(crate) fn text(&self, field: &str) -> Option<String> {
        let part = self.parts.get(field)?;
        let of_part = || charset_of(part.content_type.as_ref()?.as_bytes());
        let label = self.charsets.get(field).cloned().or_else(of_part);
        let read = if field == "html" { decode_html } else { decode };
        Some(clean(&read(&part.bytes, label.as_deref()).text))
    }

    /// The content of a part.
    pub(crate) fn bytes(&self, field: &str) -> Option<&[u8]> {
        self.parts.get(field).map(|part| &*part.bytes)
    }

    pub(crate) fn json<T: for<'de> Deserialize<'de>>(&self, field: &str) -> Option<T> {
        serde_json::from_slice(self.bytes(field)?).ok()
    }

    /// The mailboxes of a field that is written as in a mail. What is none is left out.
    pub(crate) fn mailboxes(&self, field: &str, cut: &mut Cut) -> Vec<Mailbox> {
        mailboxes(&self.text(field).unwrap_or_default(), field, cut)
    }

    /// An id of what `fields` hold, in that namespace: the same again for the same mail.
    pub(crate) fn content_id(&self, namespace: &Uuid, fields: &[&str]) -> Uuid {
        let mut content = Vec::new();
        for field in fields {
            let bytes = self.bytes(field).unwrap_or_default();
            content.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            content.extend_from_slice(bytes);
        }
        Uuid::new_v5(namespace, &content)
    }
}

/// The form without the control characters in what says what its parts are, such as a NUL in the name of a file, for
/// which nothing of it could be read. None where there are none.
fn without_controls(body: &Bytes, boundary: &str) -> Option<Bytes> {
    let is_control = |byte: &u8| byte.is_ascii_control() && !b"\r\n\t".contains(byte);
    let delimiter = format!("--{boundary}\r\n");
    let (mut kept, mut end) = (Vec::new(), 0);
    for begin in memmem::find_iter(body, delimiter.as_bytes()) {
        let head = &body[begin..];
        let head = &head[..memmem::find(head, b"\r\n\r\n").unwrap_or(head.len())];
        if begin < end || !head.iter().any(is_control) {
            continue;
        }
        kept.extend_from_slice(&body[end..begin]);
        kept.extend(head.iter().filter(|byte| !is_control(byte)));
        end = begin + head.len();
    }
    kept.extend_from_slice(&body[end..]);
    (end > 0).then(|| kept.into())
}

async fn read_parts(body: Bytes, boundary: String) -> Result<Vec<(String, Part)>, multer::Error> {
    let body = stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(body)));
    let mut form = Multipart::new(body, boundary);
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        let disposition = field.headers().get(CONTENT_DISPOSITION);
        let filename = disposition.and_then(|value| filename_of(value.as_bytes()));
        let filename = filename.or_else(|| field.file_name().map(str::to_owned));
        let content_type = field.content_type().map(ToString::to_string);
        parts.push((name, Part { bytes: field.bytes().await?, filename, content_type }));
    }
    Ok(parts)
}
