//! What of a mail is read, and in which order: its texts, one after the other, and of several forms of one text each
//! in its place.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use hatch_domain::Attachment;

use super::body::Part;
use super::cid::Shown;
use super::fields::Form;
use super::plain::{escaped, html_to_text};
use super::walk::{Child, Node, Walked};

/// What a mail says.
pub(super) struct Reading {
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    pub(super) files: Vec<Attachment>,
}

/// A text of the mail.
struct Leaf {
    is_html: bool,
    text: String,
    /// Its words, where they were compared.
    words: Option<Arc<str>>,
}

/// A piece of the reading, by the numbers of the texts that it shows as plain text and as HTML. Where it has one of
/// both only, that is shown in the other form as well.
#[derive(Default)]
struct Piece {
    plain: Vec<usize>,
    html: Vec<usize>,
}

impl Piece {
    /// What of it is shown as plain text.
    fn as_plain(&self) -> &[usize] {
        if self.plain.is_empty() { &self.html } else { &self.plain }
    }

    /// What of it is shown as HTML.
    fn as_html(&self) -> &[usize] {
        if self.html.is_empty() { &self.plain } else { &self.html }
    }
}

/// Reads what the walk found.
pub(super) fn read(walked: &Walked<'_>) -> Reading {
    let mut reader = Reader::of(walked);
    let mut pieces: Vec<Vec<Piece>> = walked.nodes.iter().map(|_| Vec::new()).collect();
    // What is in a node comes after it.
    for (n, node) in walked.nodes.iter().enumerate().rev() {
        let branches = node.children.iter().map(|child| match *child {
            Child::Part(part) => reader.pieces(part),
            Child::Node(node) => std::mem::take(&mut pieces[node]),
        });
        let branches: Vec<Vec<Piece>> = branches.collect();
        let read = if node.is_alternative {
            reader.alternative(node, branches)
        } else {
            branches.into_iter().flatten().collect()
        };
        pieces[n] = read;
    }
    let pieces = pieces.into_iter().next().unwrap_or_default();
    let plain = pieces.iter().flat_map(Piece::as_plain).any(|leaf| !reader.leaves[*leaf].is_html);
    let html = pieces.iter().flat_map(Piece::as_html).any(|leaf| reader.leaves[*leaf].is_html);
    let text = plain.then(|| reader.text(&pieces));
    let html = html.then(|| reader.html(&pieces));
    let files = reader.files(html.as_deref());
    Reading { text, html, files }
}

struct Reader<'w, 'm> {
    parts: &'w [Part<'m>],
    /// How each part is shown.
    forms: Vec<Option<Form>>,
    leaves: Vec<Leaf>,
}

impl<'w, 'm> Reader<'w, 'm> {
    fn of(walked: &'w Walked<'m>) -> Self {
        let mut forms = vec![None; walked.parts.len()];
        for (number, node) in walked.nodes.iter().enumerate() {
            for child in &node.children {
                if let Child::Part(n) = *child {
                    forms[n] = walked.parts[n].fields.form(number == 0, node.is_alternative);
                }
            }
        }
        Self { parts: &walked.parts, forms, leaves: Vec::new() }
    }

    /// What a part shows: its text, and what somebody wrote after it on the way. Nothing of one that is blank.
    fn pieces(&mut self, n: usize) -> Vec<Piece> {
        let part = &self.parts[n];
        let mut pieces = Vec::new();
        if let Some(form @ (Form::Plain | Form::Html)) = self.forms[n] {
            let text = part.text();
            let is_html =
                form == Form::Html || (!part.fields.is_declared() && looks_like_html(&text));
            pieces.extend(self.piece(is_html, text));
        }
        if let Some(footer) = part.footer() {
            pieces.extend(self.piece(false, footer));
        }
        pieces
    }

    fn piece(&mut self, is_html: bool, text: String) -> Option<Piece> {
        if text.chars().all(|c| c.is_whitespace() || c == '\u{feff}') {
            return None;
        }
        let n = self.leaves.len();
        self.leaves.push(Leaf { is_html, text, words: None });
        Some(if is_html {
            Piece { html: vec![n], ..Piece::default() }
        } else {
            Piece { plain: vec![n], ..Piece::default() }
        })
    }

    /// One text in several forms. Of plain ones the first is shown, and of those with HTML the last, which its author
    /// prefers (RFC 2046, section 5.1.4). What another says and none of these is shown after them.
    fn alternative(&mut self, node: &Node, branches: Vec<Vec<Piece>>) -> Vec<Piece> {
        if branches.iter().all(Vec::is_empty) {
            return self.other_form(node);
        }
        let plain = branches.iter().position(|pieces| {
            !pieces.is_empty() && pieces.iter().all(|piece| !piece.plain.is_empty())
        });
        let html = branches.iter().rposition(|pieces| pieces.iter().any(|p| !p.html.is_empty()));
        let shown = |branch: Option<usize>, of: fn(&Piece) -> &[usize]| -> Vec<usize> {
            let pieces = branch.map_or(&[][..], |branch| &branches[branch]);
            pieces.iter().flat_map(of).copied().collect()
        };
        let chosen =
            Piece { plain: shown(plain, Piece::as_plain), html: shown(html, Piece::as_html) };
        // Of a branch that is shown in one form, the other form may say something else.
        let shown: HashSet<usize> = chosen.plain.iter().chain(&chosen.html).copied().collect();
        let left = |mut piece: Piece| {
            piece.plain.retain(|leaf| !shown.contains(leaf));
            piece.html.retain(|leaf| !shown.contains(leaf));
            (!piece.plain.is_empty() || !piece.html.is_empty()).then_some(piece)
        };
        let left: Vec<Piece> = branches.into_iter().flatten().filter_map(left).collect();
        if left.is_empty() {
            return vec![chosen];
        }
        let said = chosen.plain.iter().chain(&chosen.html);
        let mut said: HashSet<Arc<str>> = said.map(|leaf| self.words(*leaf)).collect();
        let mut pieces = vec![chosen];
        for piece in left {
            let leaves = piece.plain.iter().chain(&piece.html);
            let words: Vec<_> = leaves.map(|leaf| self.words(*leaf)).collect();
            if !words.iter().all(|words| said.contains(words)) {
                pieces.push(piece);
            }
            said.extend(words);
        }
        pieces
    }

    /// The form of a text that is shown where there is no other one.
    fn other_form(&mut self, node: &Node) -> Vec<Piece> {
        let mut parts = node.children.iter().filter_map(|child| match *child {
            Child::Part(n) => (self.forms[n] == Some(Form::OtherHtml)).then_some(n),
            Child::Node(_) => None,
        });
        let text = parts.next().map(|n| self.parts[n].text());
        text.and_then(|text| self.piece(true, text)).into_iter().collect()
    }

    /// The words of a text, whatever is between them.
    fn words(&mut self, leaf: usize) -> Arc<str> {
        let Leaf { is_html, text, words } = &mut self.leaves[leaf];
        let words = words.get_or_insert_with(|| {
            let text =
                if *is_html { Cow::Owned(html_to_text(text)) } else { Cow::Borrowed(&**text) };
            text.split_whitespace().collect::<Vec<_>>().join(" ").into()
        });
        Arc::clone(words)
    }

    /// All pieces as plain text.
    fn text(&self, pieces: &[Piece]) -> String {
        let leaves = pieces.iter().flat_map(Piece::as_plain).map(|leaf| &self.leaves[*leaf]);
        let texts: Vec<String> = leaves
            .map(|leaf| if leaf.is_html { html_to_text(&leaf.text) } else { leaf.text.clone() })
            .collect();
        joined(&texts, "\n\n")
    }

    /// All pieces as HTML.
    fn html(&self, pieces: &[Piece]) -> String {
        let leaves = pieces.iter().flat_map(Piece::as_html).map(|leaf| &self.leaves[*leaf]);
        let texts: Vec<String> = leaves
            .map(
                |leaf| if leaf.is_html { leaf.text.clone() } else { escaped(leaf.text.trim_end()) },
            )
            .collect();
        joined(&texts, "\n")
    }

    /// Everything that is not shown as a text.
    fn files(&self, html: Option<&str>) -> Vec<Attachment> {
        let shown = Shown::in_html(html);
        let files = self.parts.iter().zip(&self.forms);
        let files = files.filter(|(part, form)| form.is_none() && !part.is_nothing());
        let file = |part: &Part<'_>| {
            let mut file = part.file();
            let (id, kind) = (file.content_id.as_deref(), file.content_type.as_deref());
            let is_placed = part.fields.location().is_some_and(|place| shown.has_place(place));
            let is_attachment = part.fields.is_attachment();
            file.inline = part.fields.is_inline()
                || is_placed
                || id.is_some_and(|id| shown.has(id))
                || (!is_attachment && shown.is_inline(id, kind));
            file
        };
        files.map(|(part, _)| file(part)).collect()
    }
}

/// The texts, each without the line ends after it if another one follows.
fn joined(texts: &[String], between: &str) -> String {
    let Some((last, before)) = texts.split_last() else { return String::new() };
    let mut joined = String::with_capacity(texts.iter().map(|text| text.len() + 2).sum());
    for text in before {
        joined.push_str(text.trim_end());
        joined.push_str(between);
    }
    joined.push_str(last);
    joined
}

/// Whether a text that nothing is said of is HTML.
fn looks_like_html(text: &str) -> bool {
    let begin = text.trim_start().as_bytes();
    [&b"<!doctype html"[..], b"<html"]
        .iter()
        .any(|tag| begin.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag)))
}
