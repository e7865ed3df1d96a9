//! Encoded words (RFC 2047), as programs write them: glued to text, in quotes, split inside a character, without
//! padding or end. Each byte of a text is looked at a fixed number of times.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};

use super::charset::{self, LABEL_BYTES_MAX};

/// A question mark that is not encoded ends a word for many programs. What follows it is looked at so far.
const REST_BYTES_MAX: usize = 200;

/// A text out of its encoded words, where it has some.
pub fn decoded(text: &str) -> String {
    if !text.contains("=?") {
        return text.to_owned();
    }
    let text = unfolded(text);
    let mut plain = String::with_capacity(text.len());
    for piece in Pieces::of(&text) {
        match piece {
            Piece::Text(text) => plain.push_str(text),
            Piece::Words(words) => plain.push_str(&words),
        }
    }
    plain
}

/// A list of mailboxes out of its encoded words, where what was encoded keeps meaning no more than itself: a comma
/// of a name separates nothing.
pub(super) fn decoded_in_list(text: &str) -> Cow<'_, str> {
    if !text.contains("=?") {
        return text.into();
    }
    let text = unfolded(text);
    let has_address =
        Pieces::of(&text).any(|piece| matches!(piece, Piece::Text(text) if text.contains('@')));
    let mut plain = String::with_capacity(text.len());
    let mut place = Place::default();
    for piece in Pieces::of(&text) {
        match piece {
            Piece::Text(text) => {
                text.chars().for_each(|c| place.pass(c));
                plain.push_str(text);
            }
            // Some programs encode the address, too.
            Piece::Words(words) if place.in_brackets || !has_address => plain.push_str(&words),
            Piece::Words(words) => place.push(&words, &mut plain),
        }
    }
    plain.into()
}

/// Where in a list of mailboxes a word stands.
#[derive(Default)]
struct Place {
    escaped: bool,
    quoted: bool,
    comments: usize,
    in_brackets: bool,
}

impl Place {
    const fn pass(&mut self, c: char) {
        if self.escaped {
            self.escaped = false;
            return;
        }
        match c {
            '\\' if self.quoted || self.comments > 0 => self.escaped = true,
            '(' if !self.quoted => self.comments += 1,
            ')' if !self.quoted => self.comments = self.comments.saturating_sub(1),
            '"' if self.comments == 0 => self.quoted = !self.quoted,
            '<' if !self.quoted && self.comments == 0 => self.in_brackets = true,
            '>' | ',' if !self.quoted && self.comments == 0 => self.in_brackets = false,
            _ => {}
        }
    }

    /// Adds what a word says, quoted or escaped as its place needs it.
    fn push(&self, words: &str, plain: &mut String) {
        let is_special = |c: char| "()<>[]:;@\\,\"".contains(c);
        let quotes = !self.quoted && self.comments == 0 && words.contains(is_special);
        if quotes {
            plain.push('"');
        }
        for c in words.chars() {
            let escapes = match c {
                '\\' => quotes || self.quoted || self.comments > 0,
                '"' => quotes || self.quoted,
                '(' | ')' => self.comments > 0,
                _ => false,
            };
            if escapes {
                plain.push('\\');
            }
            plain.push(c);
        }
        if quotes {
            plain.push('"');
        }
    }
}

/// The lines of a header in one.
pub(super) fn unfolded(text: &str) -> Cow<'_, str> {
    if !text.contains(['\r', '\n']) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len());
    for (n, part) in text.split(['\r', '\n']).enumerate() {
        let part = if n == 0 { part } else { part.trim_start_matches([' ', '\t']) };
        if n > 0 && !part.is_empty() && !line.ends_with(' ') {
            line.push(' ');
        }
        line.push_str(part);
    }
    line.into()
}

/// A piece of a text that has encoded words.
enum Piece<'t> {
    Text(&'t str),
    /// What encoded words that follow each other say.
    Words(String),
}

/// The text between two places, or the words that begin there.
struct Pieces<'t> {
    text: &'t str,
    at: usize,
    /// Words that were read, to be told after the text before them.
    words: Option<String>,
    /// The last `?=` that was looked for, and from where.
    end: Option<(usize, Option<usize>)>,
    /// The last `?=` from which a word was followed beyond question marks, and where that led.
    beyond: Option<(usize, usize)>,
}

struct Word<'t> {
    label: &'t str,
    bytes: Vec<u8>,
    end: usize,
}

impl<'t> Iterator for Pieces<'t> {
    type Item = Piece<'t>;

    fn next(&mut self) -> Option<Piece<'t>> {
        if let Some(words) = self.words.take() {
            return Some(Piece::Words(words));
        }
        let start = self.at;
        let mut from = start;
        while let Some(begin) = self.text[from..].find("=?").map(|n| from + n) {
            let Some(word) = self.word(begin) else {
                from = begin + 2;
                continue;
            };
            let words = self.run(word);
            if begin == start {
                return Some(Piece::Words(words));
            }
            self.words = Some(words);
            return Some(Piece::Text(&self.text[start..begin]));
        }
        self.at = self.text.len();
        Some(Piece::Text(&self.text[start..])).filter(|_| start < self.text.len())
    }
}

impl<'t> Pieces<'t> {
    const fn of(text: &'t str) -> Self {
        Self { text, at: 0, words: None, end: None, beyond: None }
    }

    /// The word and those that follow it with nothing but spaces between. Of those in one charset the bytes are
    /// joined first: a character may be in two words.
    fn run(&mut self, first: Word<'t>) -> String {
        let mut said = String::new();
        let mut last = first;
        self.at = last.end;
        loop {
            let rest = &self.text[self.at..];
            let next = self.at + rest.len() - rest.trim_start().len();
            let next = self.text[next..].starts_with("=?").then(|| self.word(next)).flatten();
            let Some(next) = next else { break };
            self.at = next.end;
            if is_joined(last.label, next.label) {
                last.bytes.extend_from_slice(&next.bytes);
            } else {
                push_word(&last, &mut said);
                last = next;
            }
        }
        push_word(&last, &mut said);
        said
    }

    /// The word that begins there, if one does.
    fn word(&mut self, begin: usize) -> Option<Word<'t>> {
        let (label, encoding, from) = self.head(begin)?;
        let is_q = encoding.eq_ignore_ascii_case(&b'q');
        let (to, end) = match self.next_end(from) {
            Some(to) => {
                let to = if is_q { self.beyond_question_marks(to) } else { to };
                (to, to + 2)
            }
            // It has no end: a space is none of its characters.
            None => {
                let to = self.unended(from);
                (to, to)
            }
        };
        // A word that begins before this one ends: this one has lost its end.
        let mut next = from;
        let mut lost = None;
        while let Some(begin) = self.text[next..to].find("=?").map(|n| next + n) {
            if self.head(begin).is_some() {
                lost = Some(begin);
                break;
            }
            next = begin + 2;
        }
        let (to, end) = lost.map_or((to, end), |begin| (begin, begin));
        let payload = &self.text[from..to];
        let payload = if end == to {
            let payload = payload.trim_end();
            payload.strip_suffix('?').unwrap_or(payload)
        } else {
            payload
        };
        let bytes = if is_q { of_q(payload) } else { of_b(payload) };
        Some(Word { label, bytes, end })
    }

    /// Where a word without an end is over: at a space, or where the next one begins. No byte beyond is looked at.
    fn unended(&self, from: usize) -> usize {
        let bytes = self.text.as_bytes();
        let is_over = |at: &usize| {
            bytes[*at].is_ascii_whitespace()
                || (bytes[*at..].starts_with(b"=?") && self.head(*at).is_some())
        };
        (from..bytes.len()).find(is_over).unwrap_or(bytes.len())
    }

    /// The charset and the encoding of the word that begins there, and where its content begins.
    fn head(&self, begin: usize) -> Option<(&'t str, u8, usize)> {
        let bytes = self.text.as_bytes();
        let from = begin + 2;
        let within = &bytes[from..bytes.len().min(from + LABEL_BYTES_MAX)];
        let to = from + memchr::memchr(b'?', within)?;
        let label = &self.text[from..to];
        let encoding = *bytes.get(to + 1)?;
        let is_head = matches!(encoding, b'q' | b'Q' | b'b' | b'B')
            && bytes.get(to + 2) == Some(&b'?')
            && !label.contains(['\r', '\n', '=']);
        is_head.then_some((label, encoding, to + 3))
    }

    /// Where the next `?=` is. It is looked for once.
    fn next_end(&mut self, from: usize) -> Option<usize> {
        match self.end {
            Some((since, found)) if since <= from && found.is_none_or(|found| found >= from) => {
                found
            }
            _ => {
                let found = self.text[from..].find("?=").map(|n| from + n);
                self.end = Some((from, found));
                found
            }
        }
    }

    /// Where a word ends whose first `?=` is `first`, which may be a question mark before an encoded character. Words
    /// that have lost their ends share one: it is followed once.
    fn beyond_question_marks(&mut self, first: usize) -> usize {
        if let Some((_, end)) = self.beyond.filter(|(from, _)| *from == first) {
            return end;
        }
        let mut to = first;
        let bytes = self.text.as_bytes();
        let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        while is_hex(to + 2) && is_hex(to + 3) {
            let within = &bytes[to + 2..bytes.len().min(to + REST_BYTES_MAX)];
            let ends = memchr::memmem::find(within, b"?=");
            match (ends, memchr::memmem::find(within, b"=?")) {
                // `?=?=` and `=?=` are ends, too.
                (Some(end), begins) if begins.is_none_or(|begin| begin + 1 >= end) => to += 2 + end,
                _ => break,
            }
        }
        self.beyond = Some((first, to));
        to
    }
}

fn is_joined(one: &str, other: &str) -> bool {
    match (charset::charset(one), charset::charset(other)) {
        (Some(one), Some(other)) => one == other && one.is_joined(),
        (None, None) => one.eq_ignore_ascii_case(other),
        _ => false,
    }
}

fn push_word(word: &Word<'_>, said: &mut String) {
    let text = charset::decode(&word.bytes, Some(word.label)).text;
    // A header is one line.
    said.extend(text.chars().map(|c| if matches!(c, '\r' | '\n' | '\t') { ' ' } else { c }));
}

/// Out of the encoding that is much like quoted-printable. What is not encoded as it says is taken as it is.
fn of_q(payload: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len());
    let mut rest = payload.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'_', _) => bytes.push(b' '),
            (b'=', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push((high << 4) | low);
                    rest = after;
                }
                _ => bytes.push(b'='),
            },
            (byte, _) => bytes.push(*byte),
        }
    }
    bytes
}

/// The value of a hexadecimal digit.
pub(super) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Out of base64, padded or not, whatever stands in between. Several may follow each other.
fn of_b(payload: &str) -> Vec<u8> {
    const FORGIVING: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let mut bytes = Vec::with_capacity(payload.len());
    for part in payload.split('=') {
        let letters = part.bytes().filter_map(|byte| match byte {
            b'-' => Some(b'+'),
            b'_' => Some(b'/'),
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') => Some(byte),
            _ => None,
        });
        let mut letters: Vec<u8> = letters.collect();
        if letters.len() % 4 == 1 {
            // One letter alone is less than a byte.
            letters.pop();
        }
        bytes.extend(FORGIVING.decode(&letters).unwrap_or_default());
    }
    bytes
}
