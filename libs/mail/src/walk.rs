//! The parts of a mail: each line is looked at once, and nothing is looked for further ahead than in the line after it.

use super::body::Part;
use super::fields::{MimeFields, Which};
use super::{BOUNDARY_BYTES_MAX, Cut, DEPTH_MAX, PART_FIELDS_BYTES_MAX, PARTS_MAX};

/// Bytes of the line after a delimiter that are looked at.
const PEEKED_BYTES_MAX: usize = 200;

/// What the walk found.
pub(super) struct Walked<'m> {
    /// The mail's own headers.
    pub(super) head: &'m [u8],
    /// The parts that are not multiparts, in their order.
    pub(super) parts: Vec<Part<'m>>,
    /// What holds them: the mail first, then its multiparts, each after the one that it is in.
    pub(super) nodes: Vec<Node>,
}

/// The mail, or a multipart in it.
#[derive(Default)]
pub(super) struct Node {
    /// Whether its parts say the same in several forms.
    pub(super) is_alternative: bool,
    /// What is in it, in order.
    pub(super) children: Vec<Child>,
}

/// What is in a node, by its number among those of its kind.
#[derive(Clone, Copy)]
pub(super) enum Child {
    Part(usize),
    Node(usize),
}

/// Reads the structure of the mail.
pub(super) fn walk<'m>(mail: &'m [u8], cut: &mut Cut) -> Walked<'m> {
    let mut walk = Walk {
        mail,
        head: None,
        at: At::Headers { from: 0 },
        open: Vec::new(),
        begun: 0,
        parts: Vec::new(),
        nodes: vec![Node::default()],
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
    Walked { head: walk.head.unwrap_or(mail), parts: walk.parts, nodes: walk.nodes }
}

/// Whether the line is a header: a name, perhaps with spaces after it, and a colon.
pub(super) fn is_header(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    let name = line[..colon].trim_ascii_end();
    !name.is_empty() && name.iter().all(|b| b.is_ascii_graphic() || *b >= 0x80)
}

/// Where the walk is.
#[derive(Clone, Copy)]
enum At {
    /// In the headers of a part, or of the mail.
    Headers { from: usize },
    /// In what the part holds.
    Body { from: usize },
    /// Before the first part of a multipart, or in a part beyond the limit.
    Between,
    /// After the end of a multipart, in what others wrote there.
    After { from: usize },
}

/// A multipart that has begun. One that has ended stays until what it is in goes on: some go on after their end.
struct Multipart {
    /// Empty where it did not say one.
    boundary: Vec<u8>,
    /// What tells its parts apart where that is not what it said.
    guess: Vec<u8>,
    /// Its parts are mails where they do not say otherwise.
    digest: bool,
    has_ended: bool,
    /// Where its content begins.
    from: usize,
    /// What it said of itself, until its boundary comes for the first time.
    unseen: Option<MimeFields>,
    node: usize,
}

impl Multipart {
    /// Whether the line `--name` delimits its parts.
    fn has(&self, name: &[u8]) -> bool {
        !name.is_empty() && (name == self.boundary || name == self.guess)
    }
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
    nodes: Vec<Node>,
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
        if self.delimit(line, start, next) {
            return;
        }
        let At::Headers { from } = self.at else { return };
        // A line of spaces continues a header.
        let continues = matches!(self.mail[start], b' ' | b'\t');
        if line.is_empty() && !continues {
            let fields = self.fields(from, start);
            self.begin_body(Begun { fields, body_from: next });
        } else if !continues && !is_header(line) && !self.is_stray(from, start, next) {
            // No empty line stands between the headers and the content.
            let fields = self.fields(from, start);
            self.begin_body(Begun { fields, body_from: start });
            self.delimit(line, start, next);
        }
    }

    /// Whether the line that is no header stands among headers: not at their begin, and another one follows.
    fn is_stray(&self, from: usize, start: usize, next: usize) -> bool {
        start > from && !self.mail[start..].starts_with(b"--") && is_header(self.peeked(next))
    }

    /// The line that begins there.
    fn peeked(&self, start: usize) -> &'m [u8] {
        let rest = &self.mail[start..];
        let rest = &rest[..rest.len().min(PEEKED_BYTES_MAX)];
        rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())].trim_ascii_end()
    }

    /// Ends what the line delimits, if it delimits something.
    fn delimit(&mut self, line: &[u8], start: usize, next: usize) -> bool {
        if !line.starts_with(b"--") {
            return false;
        }
        let Some((level, ends)) = self.delimiter(line).or_else(|| self.guessed(line, next)) else {
            return false;
        };
        self.end_part(before_line_end(self.mail, start));
        self.close_to(level + 1, start);
        if ends {
            self.end_multipart(level, start);
            self.at = At::After { from: next };
        } else {
            let open = &mut self.open[level];
            (open.unseen, open.has_ended) = (None, false);
            self.begin_part(next);
        }
        true
    }

    /// Which open multipart the line delimits, and whether it ends it. Of two alike the inner one that has not ended.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let name = line.strip_prefix(b"--").filter(|name| name.len() <= BOUNDARY_BYTES_MAX + 2)?;
        let closing = name.strip_suffix(b"--");
        let found = |ended: bool| {
            self.open.iter().enumerate().rev().find(|(_, open)| {
                open.has_ended == ended
                    && (open.has(name) || closing.is_some_and(|name| open.has(name)))
            })
        };
        let (level, open) = found(false).or_else(|| found(true))?;
        Some((level, !open.has(name)))
    }

    /// The innermost multipart, if none of its parts came yet and the line looks as if one begins.
    fn guessed(&mut self, line: &[u8], next: usize) -> Option<(usize, bool)> {
        let At::Between = self.at else { return None };
        let following = self.peeked(next);
        let level = self.open.len().checked_sub(1)?;
        let open = self.open.last_mut().filter(|open| open.unseen.is_some())?;
        let name = line.strip_prefix(b"--").filter(|name| name.len() <= BOUNDARY_BYTES_MAX)?;
        let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        let begins = if open.boundary.is_empty() {
            following.is_empty() || is_header(following)
        } else {
            let content = following.get(..8).unwrap_or_default();
            content.eq_ignore_ascii_case(b"content-") && is_header(following)
        };
        (is_name && begins).then(|| {
            open.guess = name.to_vec();
            (level, false)
        })
    }

    fn begin_part(&mut self, from: usize) {
        self.at = if self.has_room() { At::Headers { from } } else { At::Between };
    }

    /// Counts one more part, if there is room for it.
    fn has_room(&mut self) -> bool {
        self.begun += 1;
        if self.begun > PARTS_MAX {
            self.cut.count("parts", 1);
        }
        self.begun <= PARTS_MAX
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
        if !fields.is_multipart() {
            return self.begin_leaf(fields, body_from);
        }
        if self.open.len() == DEPTH_MAX {
            self.cut.count("depth", 1);
            return self.begin_leaf(fields.into_file(), body_from);
        }
        let boundary = fields.boundary().filter(|boundary| boundary.len() <= BOUNDARY_BYTES_MAX);
        let boundary = boundary.unwrap_or_default().as_bytes();
        let unquoted = boundary.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'"));
        let (boundary, unquoted) = (boundary.to_vec(), unquoted.unwrap_or_default().to_vec());
        let node = self.nodes.len();
        let parent = self.node();
        self.nodes[parent].children.push(Child::Node(node));
        self.nodes.push(Node { is_alternative: fields.is_alternative(), children: Vec::new() });
        self.open.push(Multipart {
            boundary,
            // Some write it in quotes that are none.
            guess: unquoted,
            digest: fields.is_digest(),
            has_ended: false,
            from: body_from,
            unseen: Some(fields),
            node,
        });
        self.at = At::Between;
    }

    /// The node of the innermost multipart, or of the mail.
    fn node(&self) -> usize {
        self.open.last().map_or(0, |open| open.node)
    }

    fn begin_leaf(&mut self, fields: MimeFields, from: usize) {
        self.push(self.node(), Part { fields, body: &[] });
        self.at = At::Body { from };
    }

    fn push(&mut self, node: usize, part: Part<'m>) {
        self.nodes[node].children.push(Child::Part(self.parts.len()));
        self.parts.push(part);
    }

    /// Ends the part that is under way, if one is.
    fn end_part(&mut self, to: usize) {
        match self.at {
            At::Headers { from } => {
                let to = to.max(from);
                let is_part = self.head.is_some();
                let fields = self.fields(from, to);
                // A part that says nothing of itself is all text.
                let body = if is_part && fields.say_nothing() { from } else { to };
                self.push(self.node(), Part { fields, body: &self.mail[body..to] });
            }
            At::Body { from } => {
                if let Some(part) = self.parts.last_mut() {
                    part.body = &self.mail[from..to.max(from)];
                }
            }
            At::After { from } => self.end_epilogue(&self.mail[from..to.max(from)]),
            At::Between => {}
        }
        self.at = At::Between;
    }

    /// Keeps what stands after the end of a multipart, if it is a text. It belongs to what the multipart is in, and to
    /// none of several forms of the same.
    fn end_epilogue(&mut self, text: &'m [u8]) {
        if !is_text(text) || !self.has_room() {
            return;
        }
        let outer = self.open.iter().rev().skip(1).map(|open| open.node);
        let node = outer.chain([0]).find(|node| !self.nodes[*node].is_alternative);
        self.push(node.unwrap_or_default(), Part { fields: MimeFields::text(), body: text });
    }

    /// Closes the multiparts from `level` on.
    fn close_to(&mut self, level: usize, to: usize) {
        while self.open.len() > level {
            self.end_multipart(self.open.len() - 1, to);
            self.open.pop();
        }
    }

    /// One whose boundary never came is a text.
    fn end_multipart(&mut self, level: usize, to: usize) {
        let open = &mut self.open[level];
        open.has_ended = true;
        let (from, node) = (open.from, open.node);
        if let Some(fields) = open.unseen.take() {
            let to = before_line_end(self.mail, to).max(from);
            self.push(node, Part { fields: fields.into_text(), body: &self.mail[from..to] });
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

/// Whether somebody wrote it to be read: not what is left of another structure.
pub(super) fn is_text(text: &[u8]) -> bool {
    let is_control = |b: &u8| b.is_ascii_control() && !b"\r\n\t\x1b".contains(b);
    let mut lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    let has_words = |line: &[u8]| !line.starts_with(b"--") && line.iter().any(u8::is_ascii_graphic);
    !text.iter().any(is_control)
        && lines.any(|line| has_words(line) || line.iter().any(|b| *b >= 0x80))
}
