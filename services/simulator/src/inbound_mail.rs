//! What webhooks of mails that come in have in common: their form, their headers, their files.

use crate::control::{InboundFile, InboundRequest};
use crate::{Clock, clock};

/// A form with files, as `multipart/form-data`.
pub(crate) struct Form {
    boundary: String,
    body: String,
}

impl Form {
    pub(crate) fn new() -> Self {
        Self { boundary: format!("xYzZY{}", clock::new_id().simple()), body: String::new() }
    }

    pub(crate) fn field(&mut self, name: &str, value: &str) {
        let boundary = &self.boundary;
        self.body += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
    }

    pub(crate) fn file(&mut self, name: &str, file: &File) {
        let (boundary, File { filename, media_type, content }) = (&self.boundary, file);
        self.body += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; \
             filename=\"{filename}\"\r\nContent-Type: {media_type}\r\n\r\n{content}\r\n"
        );
    }

    /// Its content type and its bytes.
    pub(crate) fn finish(self) -> (String, Vec<u8>) {
        let Self { boundary, mut body } = self;
        body += &format!("--{boundary}--\r\n");
        (format!("multipart/form-data; boundary={boundary}"), body.into_bytes())
    }
}

/// A file. Its content stands for what would be at its URL.
pub(crate) struct File {
    pub(crate) filename: String,
    pub(crate) media_type: String,
    content: String,
}

impl File {
    pub(crate) fn of(file: &InboundFile) -> Self {
        let (url, media_type) = match file {
            InboundFile::Url(url) => (url, None),
            InboundFile::Typed { url, content_type } => (url, content_type.as_ref()),
        };
        let one_line = |text: &str| text.replace(['"', '\r', '\n'], "_");
        Self {
            filename: one_line(url.rsplit('/').next().unwrap_or_default()),
            media_type: one_line(media_type.map_or("application/octet-stream", String::as_str)),
            content: format!("the file of {url}"),
        }
    }
}

/// The mail's Message-ID, without its angle brackets: the one that is asked for, or a new one.
pub(crate) fn message_id(request: &InboundRequest) -> String {
    let given = request.provider_message_id.as_deref();
    given.map_or_else(
        || format!("{}@mail.example.com", clock::new_id().simple()),
        |id| id.trim_matches(['<', '>']).to_owned(),
    )
}

/// The mail's own headers, in order.
pub(crate) fn headers(
    request: &InboundRequest,
    id: &str,
    clock: &Clock,
) -> Vec<(&'static str, String)> {
    let date = clock.now().format("%a, %d %b %Y %H:%M:%S +0000");
    let one_line = |text: &str| text.replace(['\r', '\n'], " ");
    let mut headers = vec![
        ("MIME-Version", "1.0".to_owned()),
        ("From", one_line(&request.from)),
        ("To", one_line(&request.to)),
        ("Date", date.to_string()),
        ("Message-ID", bracketed(id)),
    ];
    if let Some(answered) = &request.in_reply_to {
        headers.push(("In-Reply-To", bracketed(answered)));
    }
    if !request.references.is_empty() {
        let ids: Vec<String> = request.references.iter().map(|id| bracketed(id)).collect();
        headers.push(("References", ids.join("\r\n ")));
    }
    headers
}

pub(crate) fn bracketed(id: &str) -> String {
    format!("<{}>", id.trim_matches(['<', '>']))
}

/// The address of `Name <address>`.
pub(crate) fn bare(mailbox: &str) -> &str {
    let address = mailbox.rsplit_once('<').map_or(mailbox, |(_, rest)| rest);
    address.trim_end_matches('>').trim()
}
