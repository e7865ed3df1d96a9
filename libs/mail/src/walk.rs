//! The parts of a mail: each line is looked at once, and nothing is looked for ahead.

use super::body::Part;
use super::fields::{MimeFields, Which};
use super::{BOUNDARY_BYTES_MAX, Cut, DEPTH_MAX, PART_FIELDS_BYTES_MAX, PARTS_MAX};

/// The mail's own headers, and its parts that are not multiparts, in their order.
pub(super) fn walk<'m>(mail: &'m [u8], cut: &mut Cut) -> (&'m [u8], Vec<Part<'m>>) {
    let mut walk = Walk {
        mail,
        head: None,
        at: At::Headers { from: 0 },
        open: Vec::new(),
        begun: 0,
        parts: Vec::new(),
        fields_left: PART_FIELDS_BYTES_MAX,
        cut,
    };
    let mut start = 0;
    while start < mail.len() {
        let next = memchr::memchr(b'\n', &mail[start..]).map_or(mail.len(), |n| start + n + 1);
        walk.line(start, next);
        start = next;
    }
    walk.end_part(mail.len());
    walk.close_to(0, mail.len());
    (walk.head.unwrap_or(mail), walk.parts)
}

/// Where the walk is.
#[derive(Clone, Copy)]
enum At {
    /// In the headers of a part, or of the mail.
    Headers { from: usize },
    /// In what the part holds.
    Body { from: usize },
    /// Before the first part of a multipart, after its last one, or in a part beyond the limit.
    Between,
}

/// A multipart that has begun and not ended.
struct Multipart {
    boundary: Vec<u8>,
    /// Its parts are mails where they do not say otherwise.
    digest: bool,
    /// Where its content begins.
    from: usize,
    /// What it said of itself, until its boundary comes for the first time.
    unseen: Option<MimeFields>,
}

struct Walk<'m, 'c> {
    mail: &'m [u8],
    head: Option<&'m [u8]>,
    at: At,
    /// The outermost first.
    open: Vec<Multipart>,
    /// Parts that have begun.
    begun: usize,
    parts: Vec<Part<'m>>,
    fields_left: usize,
    cut: &'c mut Cut,
}

/// The headers of the part whose content begins.
struct Begun {
    fields: MimeFields,
    body_from: usize,
}

impl<'m> Walk<'m, '_> {
    fn line(&mut self, start: usize, next: usize) {
        let line = self.mail[start..next].trim_ascii_end();
        if let Some((level, closes)) = self.delimiter(line) {
            self.end_part(before_line_end(self.mail, start));
            if closes {
                self.close_to(level, start);
            } else {
                self.close_to(level + 1, start);
                self.open[level].unseen = None;
                self.begin_part(next);
            }
        } else if let At::Headers { from } = self.at {
            // A line of spaces continues a header.
            if line.is_empty() && !matches!(self.mail[start], b' ' | b'\t') {
                let fields = self.fields(from, start);
                self.begin_body(Begun { fields, body_from: next });
            }
        }
    }

    /// Which open multipart the line delimits, and whether it closes it. Of two alike the inner one.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let name = line.strip_prefix(b"--").filter(|name| name.len() <= BOUNDARY_BYTES_MAX + 2)?;
        let closing = name.strip_suffix(b"--");
        let (level, open) = self
            .open
            .iter()
            .enumerate()
            .rev()
            .find(|(_, open)| name == open.boundary || closing == Some(&open.boundary))?;
        Some((level, name != open.boundary))
    }

    fn begin_part(&mut self, from: usize) {
        self.begun += 1;
        self.at = if self.begun <= PARTS_MAX {
            At::Headers { from }
        } else {
            self.cut.count("parts", 1);
            At::Between
        };
    }

    /// The headers between two places, the mail's own first.
    fn fields(&mut self, from: usize, to: usize) -> MimeFields {
        let block = &self.mail[from..to];
        let which = if self.head.is_none() { Which::Mail } else { Which::Part };
        self.head.get_or_insert(block);
        let digest = self.open.last().is_some_and(|open| open.digest);
        MimeFields::read(block, which, digest, &mut self.fields_left, self.cut)
    }

    fn begin_body(&mut self, Begun { fields, body_from }: Begun) {
        let boundary = fields.boundary().filter(|boundary| boundary.len() <= BOUNDARY_BYTES_MAX);
        let Some(boundary) = boundary else { return self.begin_leaf(fields, body_from) };
        if self.open.len() == DEPTH_MAX {
            self.cut.count("depth", 1);
            return self.begin_leaf(fields.into_file(), body_from);
        }
        let boundary = boundary.as_bytes().to_vec();
        let digest = fields.is_digest();
        self.open.push(Multipart { boundary, digest, from: body_from, unseen: Some(fields) });
        self.at = At::Between;
    }

    fn begin_leaf(&mut self, fields: MimeFields, from: usize) {
        self.parts.push(Part { fields, body: &[] });
        self.at = At::Body { from };
    }

    /// Ends the part that is under way, if one is.
    fn end_part(&mut self, to: usize) {
        match self.at {
            At::Headers { from } => {
                let fields = self.fields(from, to.max(from));
                self.begin_leaf(fields, to.max(from));
            }
            At::Body { from } => {
                if let Some(part) = self.parts.last_mut() {
                    part.body = &self.mail[from..to.max(from)];
                }
            }
            At::Between => {}
        }
        self.at = At::Between;
    }

    /// Closes the multiparts from `level` on. One whose boundary never came is a text.
    fn close_to(&mut self, level: usize, to: usize) {
        while self.open.len() > level {
            let Some(Multipart { from, unseen, .. }) = self.open.pop() else { return };
            if let Some(fields) = unseen {
                let to = before_line_end(self.mail, to).max(from);
                self.parts.push(Part { fields: fields.into_text(), body: &self.mail[from..to] });
            }
        }
    }
}

/// The line end before a delimiter belongs to it.
fn before_line_end(mail: &[u8], start: usize) -> usize {
    let text = &mail[..start];
    if start == mail.len() {
        return start;
    }
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text).len()
}
