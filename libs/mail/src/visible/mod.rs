//! A mail as people read it: what its sender wrote for it, apart from what it repeats of other mails and from
//! signatures.
//!
//! Nothing is lost: every line of the text is in one piece, in order, and what is not visible is folded. In doubt a
//! line is visible. So a mail of which nothing would be visible is visible whole, and so is a forwarded mail, and so
//! are the quoted lines that somebody answers one by one.

mod html;
mod openings;
mod signature;
mod text;
mod words;

use std::borrow::Cow;
use std::ops::Range;

/// Bytes of a text or of HTML that are looked at. What is beyond goes with what is right before it.
pub const LOOKED_AT_BYTES_MAX: usize = 512 * 1024;

/// Lines of a text that are looked at. What is beyond goes with what is right before it.
pub const LOOKED_AT_LINES_MAX: usize = 20_000;

/// Elements of HTML within elements that are told apart.
pub const ELEMENTS_DEPTH_MAX: usize = 200;

/// What a mail says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written<'m> {
    /// Its subject, by which a mail that is passed on is told from an answer.
    pub subject: Option<&'m str>,
    /// Its text.
    pub text: Option<&'m str>,
    /// Its HTML.
    pub html: Option<&'m str>,
}

/// What a piece of a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PieceKind {
    /// Its sender wrote it for this mail.
    Visible,
    /// It repeats another mail, or says which one.
    Quoted,
    /// It says who or what sent the mail.
    Signature,
}

impl PieceKind {
    /// The kind's name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Visible => "visible",
            Self::Quoted => "quoted",
            Self::Signature => "signature",
        }
    }
}

/// Lines of a text that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    kind: PieceKind,
    bytes: Range<usize>,
}

/// A mail in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<'m> {
    text: Cow<'m, str>,
    /// In order, without a gap.
    pieces: Vec<Piece>,
}

impl<'m> Reading<'m> {
    /// Reads the text of a mail, or its HTML where it has no text of its own.
    #[must_use]
    pub fn of(mail: &Written<'m>) -> Self {
        let text = mail.text.unwrap_or_default();
        if let Some(html) = mail.html.filter(|_| is_for_nobody(text)) {
            let shown = html::shown(clipped(html));
            if !text::is_blank(&shown.text) {
                let pieces = text::pieces(&shown.text, &shown.hints, mail.subject);
                return Self { text: shown.text.into(), pieces };
            }
        }
        Self { text: text.into(), pieces: text::pieces(text, &[], mail.subject) }
    }

    /// What its sender wrote for it; none where that is nothing.
    #[must_use]
    pub fn visible(&self) -> Option<String> {
        let visible = self.pieces().filter(|(kind, _)| *kind == PieceKind::Visible);
        let joined: String = visible.map(|(_, text)| text).collect();
        let trimmed = joined.trim();
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    }

    /// What is not visible, in order.
    pub fn folded(&self) -> impl Iterator<Item = (PieceKind, &str)> {
        self.pieces().filter(|(kind, _)| *kind != PieceKind::Visible)
    }

    /// All of it, in order: put together again, it is the text.
    pub fn pieces(&self) -> impl Iterator<Item = (PieceKind, &str)> {
        self.pieces.iter().map(|piece| (piece.kind, &self.text[piece.bytes.clone()]))
    }
}

/// The part of a text that is looked at.
fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(LOOKED_AT_BYTES_MAX)]
}

/// Whether a text is none that its sender wrote: it is blank, or stands there for programs that show no HTML.
fn is_for_nobody(text: &str) -> bool {
    let text = text.trim();
    if text.len() > words::PLACEHOLDER_BYTES_MAX {
        return false;
    }
    let lower = text.to_lowercase();
    text::is_blank(text) || words::PLACEHOLDERS.iter().any(|known| lower.contains(known))
}

#[cfg(test)]
mod tests;
