//! Mail from outside, read within limits.
//!
//! A mail may be made to hang its reader, to fill its memory or to crash it. So the structure is walked line by line,
//! once, without recursion; one header or one part at a time goes to the library that knows what it means;
//! and there is a limit for everything that a mail can have many of. What is beyond a limit is left out
//! and counted in [`Cut`]: the rest of the mail is shown.

mod addresses;
mod body;
mod delivered;
mod fields;
mod ids;
mod walk;

use std::collections::BTreeMap;

use hatch_domain::Attachment;

pub use addresses::mailboxes;
pub use fields::{Headers, decoded};

/// Multiparts within multiparts. What is deeper is kept as a file, as it came.
pub const DEPTH_MAX: usize = 50;

/// Parts of a mail, or of a form that brings one, files among them.
pub const PARTS_MAX: usize = 500;

/// Bytes of a mail's own headers.
pub const HEADERS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a header that is neither a list of addresses nor one of references.
pub const FIELD_BYTES_MAX: usize = 4 * 1024;

/// Bytes of all headers that say what the parts are.
pub const PART_FIELDS_BYTES_MAX: usize = 64 * 1024;

/// Addresses of one header or field.
pub const ADDRESSES_MAX: usize = 500;

/// Bytes of the addresses, or of the references, of one header or field.
pub const LIST_BYTES_MAX: usize = 32 * 1024;

/// References to other mails. Of a longer thread, the first one and the last ones are kept.
pub const REFERENCES_MAX: usize = 100;

/// A longer id is none: a line of a mail has no more room (RFC 5322, section 2.1.1).
pub const ID_BYTES_MAX: usize = 998;

/// Bytes of the line that parts are told apart by, which RFC 2046 limits to 70.
const BOUNDARY_BYTES_MAX: usize = 200;

/// What was left out of a mail, by what it is: `to`, `references`, `parts`, `depth`, `header_bytes`.
#[derive(Debug, Default)]
pub struct Cut(BTreeMap<String, u64>);

impl Cut {
    /// Counts `number` more of `of`.
    pub fn count(&mut self, of: &str, number: usize) {
        if number > 0 {
            *self.0.entry(of.to_owned()).or_default() += number as u64;
        }
    }

    /// Adds what another counted of the things that are named.
    pub fn take(&mut self, other: &Self, named: &[&str]) {
        for (of, number) in &other.0 {
            if named.contains(&of.as_str()) {
                *self.0.entry(of.clone()).or_default() += number;
            }
        }
    }

    /// What was counted.
    pub fn into_counts(self) -> BTreeMap<String, u64> {
        self.0
    }
}

/// A mail as it was carried (RFC 5322, RFC 2045).
#[derive(Debug)]
pub struct Mail {
    /// What its headers say.
    pub headers: Headers,
    /// Its first plain text.
    pub text: Option<String>,
    /// Its first HTML.
    pub html: Option<String>,
    /// Everything else that it brings, a mail within it among them.
    pub files: Vec<Attachment>,
}

impl Mail {
    /// Reads the mail as far as the limits go.
    pub fn read(bytes: &[u8], cut: &mut Cut) -> Self {
        let (head, parts) = walk::walk(bytes, cut);
        let headers = Headers::read(head, cut);
        let mut mail = Self { headers, text: None, html: None, files: Vec::new() };
        for part in parts {
            if mail.text.is_none() && part.is_inline("plain") {
                mail.text = Some(part.text());
            } else if mail.html.is_none() && part.is_inline("html") {
                mail.html = Some(part.text());
            } else if !part.is_nothing() {
                mail.files.push(part.file());
            }
        }
        mail
    }
}

/// `text` as far as a header that is no list is read; what is beyond is counted.
pub fn clipped(mut text: String, cut: &mut Cut) -> String {
    let end = text.floor_char_boundary(FIELD_BYTES_MAX);
    cut.count("header_bytes", text.len() - end);
    text.truncate(end);
    text
}

/// `text` as PostgreSQL can keep it: without NUL, which no text has.
pub fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
