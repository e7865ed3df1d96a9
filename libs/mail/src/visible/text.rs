//! The lines of a text, each with what it is.

use std::ops::Range;

use super::openings::{self, Certainty, is_unseen};
use super::{LOOKED_AT_LINES_MAX, Piece, PieceKind, clipped, signature};

/// Blank lines between an opening and what it opens.
const BLANK_LINES_MAX: usize = 4;

/// Lines of one opening that HTML marks as such.
const MARKED_LINES_MAX: usize = 8;

/// Lines at the end of a text in which the footer of a list is looked for.
const FOOTER_LINES_MAX: usize = 16;

/// Lines right above a quoted part or the end that a program may have signed with.
const DEVICE_LINES_MAX: usize = 3;

/// What HTML says of a line, beyond its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Nothing.
    None,
    /// It says when and by whom what follows was written.
    Attribution,
    /// A mail that is passed on follows.
    Forward,
    /// A mail that is answered follows.
    Mail,
    /// A mail that is answered follows, if these are its headers.
    Headers,
    /// It is part of a signature.
    Signature,
}

/// A line of a text.
#[derive(Debug)]
pub(super) struct Line<'t> {
    /// Its place, with its end.
    bytes: Range<usize>,
    /// As it came, with its end.
    raw: &'t str,
    /// What there is to read.
    pub(super) text: &'t str,
}

impl Line<'_> {
    /// Whether it is marked as quoted.
    pub(super) fn is_marked(&self) -> bool {
        self.text.starts_with(['>', '＞'])
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Blank,
    Text,
    Quoted,
    Signature,
}

/// What a line begins.
enum Beginning {
    Nothing,
    /// Lines that belong to what is quoted below them; the first one.
    Lines(usize),
    /// Another mail, down to the end; its first line, and whether a mail that is passed on begins so, too.
    Mail {
        start: usize,
        may_be_forward: bool,
    },
}

/// Whether there is nothing to read in `text`.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_unseen(c))
}

/// The pieces of `text`, whose lines have these hints, if any.
pub(super) fn pieces(text: &str, hints: &[Hint], subject: Option<&str>) -> Vec<Piece> {
    let mut reader = Reader {
        lines: lines(text),
        hints,
        is_forward: subject.is_some_and(openings::is_forward_subject),
        roles: Vec::new(),
        first_text: None,
    };
    let tail = reader.read();
    reader.find_footer();
    reader.find_signatures();
    reader.find_devices();
    reader.keep_answered_lines();
    reader.pieces(text.len(), tail)
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut at = 0;
    let all = clipped(text).split_inclusive('\n').take(LOOKED_AT_LINES_MAX);
    all.map(|raw| {
        let bytes = at..at + raw.len();
        at = bytes.end;
        Line { bytes, raw, text: raw.trim_matches(|c: char| c.is_whitespace() || is_unseen(c)) }
    })
    .collect()
}

struct Reader<'t> {
    lines: Vec<Line<'t>>,
    hints: &'t [Hint],
    /// Whether the subject is that of a mail that is passed on.
    is_forward: bool,
    /// Those of the lines before the tail.
    roles: Vec<Role>,
    first_text: Option<usize>,
}

impl Reader<'_> {
    fn hint(&self, at: usize) -> Hint {
        self.hints.get(at).copied().unwrap_or(Hint::None)
    }

    /// Gives each line its role, down to where another mail begins. Then that is the tail, and what it is.
    fn read(&mut self) -> Role {
        for at in 0..self.lines.len() {
            if self.lines[at].text.is_empty() {
                self.roles.push(Role::Blank);
            } else if self.begins_forward(at) {
                return Role::Text;
            } else if self.is_quoted(at) {
                self.roles.push(Role::Quoted);
            } else if self.hint(at) == Hint::Signature {
                self.roles.push(Role::Signature);
            } else {
                match self.begins(at) {
                    Beginning::Nothing => {
                        self.first_text.get_or_insert(at);
                        self.roles.push(Role::Text);
                    }
                    Beginning::Lines(start) => self.quote(start, at),
                    Beginning::Mail { start, may_be_forward } => {
                        self.roles.truncate(start);
                        let has_text = self.first_text.is_some_and(|first| first < start);
                        let is_shown = !has_text || (may_be_forward && self.is_forward);
                        return if is_shown { Role::Text } else { Role::Quoted };
                    }
                }
            }
        }
        Role::Blank
    }

    /// The lines from `start` to `end` are quoted.
    fn quote(&mut self, start: usize, end: usize) {
        self.roles.truncate(start);
        self.roles.resize(end + 1, Role::Quoted);
        self.first_text = self.first_text.filter(|first| *first < start);
    }

    fn last_role(&self) -> Option<Role> {
        // More blank lines than that part what is quoted.
        let near = self.roles.iter().rev().take(BLANK_LINES_MAX + 1);
        near.copied().find(|role| *role != Role::Blank)
    }

    fn begins_forward(&self, at: usize) -> bool {
        let text = self.lines[at].text;
        if openings::is_forward_mark(text) || self.hint(at) == Hint::Forward {
            return true;
        }
        // Some programs mark a mail that is passed on as quoted.
        let inner = text.strip_prefix('>').map(str::trim_start);
        inner.is_some_and(openings::is_forward_mark) && self.last_role() != Some(Role::Quoted)
    }

    fn is_quoted(&self, at: usize) -> bool {
        let is_marked = |at: usize| self.lines.get(at).is_some_and(Line::is_marked);
        if !is_marked(at) {
            return false;
        }
        // Mailboxes in files mark a line that begins with this word.
        let is_escaped = self.lines[at].text.starts_with(">From ");
        !is_escaped || is_marked(at + 1) || at.checked_sub(1).is_some_and(is_marked)
    }

    /// Whether the next line that is not blank belongs to a quoted mail.
    fn is_followed_by_quoted(&self, at: usize) -> bool {
        let below = self.lines.iter().skip(at + 1).take(BLANK_LINES_MAX + 1);
        below.map(|line| line.text).find(|text| !text.is_empty()).is_some_and(|text| {
            text.starts_with(['>', '＞'])
                || openings::is_reply_above(text)
                || openings::is_original_mark(text)
        })
    }

    fn begins(&self, at: usize) -> Beginning {
        let text = self.lines[at].text;
        let hint = self.hint(at);
        if hint == Hint::Attribution {
            let is_same = |line: &usize| self.hint(*line) == hint;
            let last = (at..at + MARKED_LINES_MAX).take_while(is_same).last().unwrap_or(at);
            return match self.is_followed_by_quoted(last) {
                true => Beginning::Lines(at),
                false => Beginning::Mail { start: at, may_be_forward: true },
            };
        }
        if hint == Hint::Mail
            || (hint == Hint::Headers && openings::looks_like_headers(&self.lines, at))
        {
            return Beginning::Mail { start: self.with_rule(at), may_be_forward: true };
        }
        if openings::is_reply_above(text) {
            return match self.first_text {
                Some(_) => Beginning::Mail { start: at, may_be_forward: false },
                None => Beginning::Lines(at),
            };
        }
        if openings::is_original_mark(text) || openings::are_headers(&self.lines, at) {
            return Beginning::Mail { start: self.with_rule(at), may_be_forward: true };
        }
        match openings::attribution(&self.lines, at, self.after_quoted(at)) {
            Some((start, _)) if self.is_followed_by_quoted(at) => Beginning::Lines(start),
            Some((start, Certainty::Certain)) => Beginning::Mail { start, may_be_forward: false },
            _ => Beginning::Nothing,
        }
    }

    /// The first line right above `at` that is not known to be something else than text.
    fn after_quoted(&self, at: usize) -> usize {
        let above = self.roles.iter().rev().take(MARKED_LINES_MAX);
        at - above.take_while(|role| **role == Role::Text).count()
    }

    /// The line `at`, or the row of dashes right above it.
    fn with_rule(&self, at: usize) -> usize {
        let above =
            (0..at).rev().take(BLANK_LINES_MAX).find(|line| !self.lines[*line].text.is_empty());
        above.filter(|line| openings::is_rule(self.lines[*line].text)).unwrap_or(at)
    }

    /// What a list adds to each mail, below a row of underscores, is a signature.
    fn find_footer(&mut self) {
        if self.roles.len() < self.lines.len() {
            return;
        }
        let first = self.roles.len().saturating_sub(FOOTER_LINES_MAX);
        let rule =
            (first..self.roles.len()).find(|at| signature::is_list_rule(self.lines[*at].text));
        let Some(rule) = rule else { return };
        let names_list = |line: &Line<'_>| line.text.contains('@') || line.text.contains("://");
        if self.lines[rule..].iter().any(names_list) {
            self.sign(rule..self.roles.len());
        }
    }

    fn sign(&mut self, lines: Range<usize>) {
        for role in self.roles[lines].iter_mut().filter(|role| **role == Role::Text) {
            *role = Role::Signature;
        }
    }

    /// What stands below the delimiter of signatures is one, down to what is quoted.
    fn find_signatures(&mut self) {
        let (mut below, mut end) = (0, self.roles.len());
        let mut delimiter = None;
        for at in (0..self.roles.len()).rev() {
            match self.roles[at] {
                Role::Quoted => {
                    if let Some(start) = delimiter.take() {
                        self.sign(start..end);
                    }
                    (below, end) = (0, at);
                }
                Role::Text => {
                    let found = signature::delimiter(self.lines[at].raw);
                    if found.is_some_and(|found| {
                        below <= found.lines_max && (found.is_sure || delimiter.is_none())
                    }) {
                        delimiter = Some(at);
                    }
                    below += 1;
                }
                Role::Blank | Role::Signature => {}
            }
        }
        if let Some(start) = delimiter {
            self.sign(start..end);
        }
    }

    /// What a program or a telephone adds right above what is quoted, a signature or the end.
    fn find_devices(&mut self) {
        let mut left = DEVICE_LINES_MAX;
        for at in (0..self.roles.len()).rev() {
            match self.roles[at] {
                Role::Text if left > 0 && self.is_signed_by_device(at) => {
                    self.roles[at] = Role::Signature;
                    left -= 1;
                }
                Role::Text => left = 0,
                Role::Quoted | Role::Signature => left = DEVICE_LINES_MAX,
                Role::Blank => {}
            }
        }
    }

    fn is_signed_by_device(&self, at: usize) -> bool {
        let text = self.lines[at].text;
        let above = || {
            (0..at).rev().take(2).map(|line| self.lines[line].text).find(|text| !text.is_empty())
        };
        signature::is_device(text)
            || (signature::is_link(text) && above().is_some_and(signature::is_device))
    }

    /// Somebody who answers between quoted lines needs them; only one quoted part above all of the answer, and
    /// those below it, need nobody.
    fn keep_answered_lines(&mut self) {
        let is_text = |role: &Role| *role == Role::Text;
        let (Some(first), Some(last)) =
            (self.roles.iter().position(is_text), self.roles.iter().rposition(is_text))
        else {
            return;
        };
        if self.roles[first..last].contains(&Role::Quoted) {
            for role in self.roles[..last].iter_mut().filter(|role| **role == Role::Quoted) {
                *role = Role::Text;
            }
        }
    }

    /// The pieces of the text, which has so many bytes. A blank line belongs to what is above it.
    fn pieces(&self, length: usize, tail: Role) -> Vec<Piece> {
        let tails = std::iter::repeat(tail);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut has_visible = false;
        for (line, role) in self.lines.iter().zip(self.roles.iter().copied().chain(tails)) {
            let before = pieces.last().map_or(PieceKind::Visible, |piece| piece.kind);
            let kind = match role {
                Role::Blank => before,
                Role::Text => PieceKind::Visible,
                Role::Quoted => PieceKind::Quoted,
                Role::Signature => PieceKind::Signature,
            };
            has_visible |= kind == PieceKind::Visible && !line.text.is_empty();
            match pieces.last_mut() {
                Some(piece) if piece.kind == kind => piece.bytes.end = line.bytes.end,
                _ => pieces.push(Piece { kind, bytes: line.bytes.clone() }),
            }
        }
        if !has_visible {
            pieces = vec![Piece { kind: PieceKind::Visible, bytes: 0..length }];
        }
        if let Some(last) = pieces.last_mut() {
            last.bytes.end = length;
        }
        pieces
    }
}
