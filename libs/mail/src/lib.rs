//! Mail from outside, read within limits.
//!
//! A mail may be made to hang its reader, to fill its memory or to crash it. So the structure is walked line by line,
//! once, without recursion; one header or one part at a time goes to the library that knows what it means;
//! and there is a limit for everything that a mail can have many of. What is beyond a limit is left out
//! and counted in [`Cut`]: the rest of the mail is shown.

mod addresses;
mod body;
mod bounce;
mod charset;
mod cid;
mod delivered;
mod fields;
mod ids;
mod kind;
mod names;
mod params;
mod plain;
mod reading;
mod signs;
mod subjects;
#[cfg(test)]
mod tests;
mod transfer;
pub mod visible;
mod walk;
mod words;

use std::borrow::Cow;
use std::collections::BTreeMap;

use hatch_domain::Attachment;

pub use addresses::mailboxes;
pub use bounce::{BOUNCE_BYTES_MAX, REPORTED_MAX};
pub use charset::{DETECTED_BYTES_MAX, Decoded, META_BYTES_MAX, Reading, decode, decode_html};
pub use cid::Shown;
pub use fields::Headers;
pub use kind::{Facts, Kind, kind_of};
pub use names::{FILENAME_BYTES_MAX, file_name};
pub use params::{charset_of, filename_of};
pub use plain::{escaped, html_to_text};
pub use signs::Signs;
pub use words::decoded;

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
    /// Its plain texts in their order, with an empty line between them. Where some are HTML only, what those show is
    /// among them; where all are, there is none.
    pub text: Option<String>,
    /// Its HTML in its order. Where some of the mail is plain text only, that is in it as well; where all is, there is
    /// none.
    pub html: Option<String>,
    /// Everything else that it brings, a mail within it among them.
    pub files: Vec<Attachment>,
}

impl Mail {
    /// Reads the mail as far as the limits go.
    pub fn read(bytes: &[u8], cut: &mut Cut) -> Self {
        let bytes = with_line_ends(bytes);
        let walked = walk::walk(from_begin(&bytes), cut);
        let headers = Headers::read(walked.head, cut);
        let reading::Reading { text, html, files } = reading::read(&walked);
        Self { headers, text, html, files }
    }
}

/// The mail with line ends that others read, where it has only carriage returns.
fn with_line_ends(mail: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\n', mail).is_some() || memchr::memchr(b'\r', mail).is_none() {
        return mail.into();
    }
    mail.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect()
}

/// The mail without what programs leave before its headers: a byte order mark, empty lines, the line by which a file
/// of mails tells them apart.
fn from_begin(mail: &[u8]) -> &[u8] {
    let marked = mail.strip_prefix(b"\xef\xbb\xbf").unwrap_or(mail);
    let begin = marked.trim_ascii_start();
    let end = memchr::memchr(b'\n', begin).map_or(begin.len(), |n| n + 1);
    let (line, rest) = begin.split_at(end);
    let is_separator = line.starts_with(b"From ") || line.starts_with(b">From ");
    if is_separator && !line[4..].trim_ascii_start().starts_with(b":") {
        rest
    } else if walk::is_header(line) {
        begin
    } else {
        marked
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
