//! A mail as it is posted, a form with or without files, and what Mailgun finds wrong with it.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use futures::stream;
use multer::Multipart;
use url::form_urlencoded;
use uuid::Uuid;

use super::error::ApiError;
use crate::inbound_mail::bare;

const RECIPIENTS_MAX: usize = 1_000;

/// The names and values of options, headers and variables together.
const EXTRAS_BYTES_MAX: usize = 16 * 1024;

/// More parts than a mail ever has.
const PARTS_MAX: usize = 2_000;

/// The fields that matter here. Others are ignored.
#[derive(Default)]
pub(super) struct Form {
    pub(super) from: String,
    /// Everybody of `to`, `cc` and `bcc`, in this order, as they were written.
    to: Vec<String>,
    cc: Vec<String>,
    bcc: Vec<String>,
    pub(super) subject: String,
    text: String,
    html: String,
    template: bool,
    pub(super) files: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) is_test: bool,
    /// By their names in small letters.
    headers: BTreeMap<String, String>,
    pub(super) variables: BTreeMap<String, String>,
    extras_bytes: usize,
}

impl Form {
    /// Reads a form of either kind.
    pub(super) async fn read(headers: &HeaderMap, body: Bytes) -> Result<Self, ApiError> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default();
        let mut form = Self::default();
        if content_type.starts_with("application/x-www-form-urlencoded") {
            for (name, value) in form_urlencoded::parse(&body) {
                form.set(&name, value.into_owned());
            }
            return Ok(form);
        }
        let bad = |_| ApiError::invalid("expected a form, as multipart/form-data");
        let boundary = multer::parse_boundary(content_type).map_err(bad)?;
        let body = stream::once(std::future::ready(Ok::<_, Infallible>(body)));
        let mut parts = Multipart::new(body, boundary);
        let mut count = 0;
        while let Some(part) = parts.next_field().await.map_err(bad)? {
            count += 1;
            if count > PARTS_MAX {
                return Err(ApiError::invalid("too many parts"));
            }
            let name = part.name().unwrap_or_default().to_owned();
            if let Some(filename) = part.file_name().map(str::to_owned) {
                if matches!(name.as_str(), "attachment" | "inline") {
                    form.files.push(filename);
                }
                continue;
            }
            form.set(&name, part.text().await.map_err(bad)?);
        }
        Ok(form)
    }

    fn set(&mut self, name: &str, value: String) {
        match name {
            "from" => self.from = value,
            "to" => self.to.extend(mailboxes(&value)),
            "cc" => self.cc.extend(mailboxes(&value)),
            "bcc" => self.bcc.extend(mailboxes(&value)),
            "subject" => self.subject = value,
            "text" => self.text = value,
            "html" | "amp-html" => self.html = value,
            "template" => self.template = true,
            _ => self.set_extra(name, value),
        }
    }

    fn set_extra(&mut self, name: &str, value: String) {
        let Some((kind @ ("o" | "h" | "v" | "t"), of)) = name.split_once(':') else { return };
        self.extras_bytes += if kind == "t" { 0 } else { name.len() + value.len() };
        match (kind, of) {
            ("o", "tag") => self.tags.push(value),
            ("o", "testmode") => self.is_test = matches!(value.as_str(), "yes" | "true"),
            ("h", header) => drop(self.headers.insert(header.to_lowercase(), value)),
            ("v", variable) => drop(self.variables.insert(variable.to_owned(), value)),
            _ => {}
        }
    }

    /// Everybody whom it goes to, by their addresses, in order.
    pub(super) fn recipients(&self) -> Vec<String> {
        let all = self.to.iter().chain(&self.cc).chain(&self.bcc);
        all.map(|mailbox| bare(mailbox).to_owned()).collect()
    }

    /// The first recipient, after whom everything goes.
    pub(super) fn first(&self) -> &str {
        self.to.first().map_or("", |mailbox| bare(mailbox))
    }

    /// The header of those in `to`.
    pub(super) fn to_header(&self) -> String {
        self.to.join(", ")
    }

    /// The first of its texts.
    pub(super) fn text(&self) -> &str {
        if self.text.is_empty() { &self.html } else { &self.text }
    }

    /// The Message-ID that it brings, without its angle brackets.
    pub(super) fn message_id(&self) -> Option<&str> {
        self.headers.get("message-id").map(|id| id.trim().trim_matches(['<', '>']))
    }

    /// Hatch's id of the message, which it puts into the variables.
    pub(super) fn hatch_message_id(&self) -> Option<Uuid> {
        let ids = self.variables.iter().filter(|(name, _)| name.ends_with("message_id"));
        ids.filter_map(|(_, id)| id.parse().ok()).next()
    }

    /// Refuses what Mailgun refuses.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if self.from.is_empty() {
            return Err(ApiError::invalid("from parameter is missing"));
        }
        if !is_email(bare(&self.from)) {
            let message = "from parameter is not a valid address. please check documentation";
            return Err(ApiError::invalid(message));
        }
        if self.to.is_empty() {
            return Err(ApiError::invalid("to parameter is missing"));
        }
        for (name, list) in [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc)] {
            if !list.iter().all(|mailbox| is_email(bare(mailbox))) {
                let message =
                    format!("{name} parameter is not a valid address. please check documentation");
                return Err(ApiError::invalid(message));
            }
        }
        if self.to.len() + self.cc.len() + self.bcc.len() > RECIPIENTS_MAX {
            return Err(ApiError::invalid("too many recipients: expected no more than 1000"));
        }
        if self.text.is_empty() && self.html.is_empty() && !self.template {
            let message = "Need at least one of 'text', 'html', 'amp-html' or 'template' parameters specified";
            return Err(ApiError::invalid(message));
        }
        if self.extras_bytes > EXTRAS_BYTES_MAX {
            return Err(ApiError::invalid("o:, h: and v: parameters are limited to 16 KB"));
        }
        Ok(())
    }
}

/// The mailboxes of a list. A comma in quotes or in angle brackets does not end one.
fn mailboxes(list: &str) -> Vec<String> {
    let (mut found, mut begin) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped, mut is_address) = (false, false, false);
    for (at, c) in list.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '<' if !is_quoted => is_address = true,
            '>' if !is_quoted => is_address = false,
            ',' if !is_quoted && !is_address => {
                found.push(list[begin..at].trim().to_owned());
                begin = at + 1;
            }
            _ => {}
        }
    }
    found.push(list[begin..].trim().to_owned());
    found.retain(|mailbox| !mailbox.is_empty());
    found
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        let sane = |part: &str| !part.is_empty() && !part.contains([' ', '@', '<', '>', ',']);
        sane(local) && sane(domain) && domain.contains('.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_at_its_commas_and_at_no_others() {
        let cases: [(&str, &[&str]); 5] = [
            ("", &[]),
            ("a@x.example, b@x.example,", &["a@x.example", "b@x.example"]),
            (
                "\"Doe, Jane\" <a@x.example>,b@x.example",
                &["\"Doe, Jane\" <a@x.example>", "b@x.example"],
            ),
            (r#""A \", B" <a@x.example>"#, &[r#""A \", B" <a@x.example>"#]),
            ("Ö <a@x.example>", &["Ö <a@x.example>"]),
        ];
        for (list, expected) in cases {
            assert_eq!(mailboxes(list), expected, "{list}");
        }
    }
}
