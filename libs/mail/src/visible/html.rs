//! HTML as lines of text, as far as a reader sees them: what is quoted begins with `>`, as in a text.

use html5gum::{DefaultEmitter, HtmlString, StartTag, Token, Tokenizer};

use super::ELEMENTS_DEPTH_MAX;
use super::text::Hint;

/// How deep a line is shown as quoted.
const MARKS_MAX: usize = 10;

/// Line ends after which a blank line stands.
const PARAGRAPH: usize = 2;

/// The lines of HTML, with a hint for each.
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) hints: Vec<Hint>,
}

/// What an element says of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// Nothing.
    Content,
    /// Another mail.
    Quoted,
    /// Nothing that anybody sees.
    Hidden,
    /// Lines as they are written.
    Preformatted,
    /// What its lines are.
    Hint(Hint),
}

/// Elements without an end.
const VOID: [&[u8]; 14] = [
    b"area", b"base", b"br", b"col", b"embed", b"hr", b"img", b"input", b"link", b"meta", b"param",
    b"source", b"track", b"wbr",
];

/// Elements that another one ends, so that their ends may be missing.
const WITHOUT_END: [&[u8]; 14] = [
    b"p", b"li", b"td", b"th", b"tr", b"dt", b"dd", b"thead", b"tbody", b"tfoot", b"option",
    b"html", b"body", b"head",
];

/// Elements that begin a line.
const BLOCKS: [&[u8]; 25] = [
    b"div",
    b"tr",
    b"li",
    b"dt",
    b"dd",
    b"section",
    b"article",
    b"header",
    b"footer",
    b"main",
    b"aside",
    b"nav",
    b"address",
    b"center",
    b"form",
    b"fieldset",
    b"figure",
    b"details",
    b"summary",
    b"pre",
    b"body",
    b"tbody",
    b"caption",
    b"option",
    b"legend",
];

/// Elements with a blank line around them.
const PARAGRAPHS: [&[u8]; 13] = [
    b"p",
    b"blockquote",
    b"table",
    b"ul",
    b"ol",
    b"dl",
    b"hr",
    b"h1",
    b"h2",
    b"h3",
    b"h4",
    b"h5",
    b"h6",
];

/// Elements whose content is not shown.
const UNSHOWN: [&[u8]; 6] = [b"style", b"script", b"title", b"template", b"object", b"iframe"];

/// Reads all of `html`.
pub(super) fn shown(html: &str) -> Shown {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut writer = Writer::default();
    for token in Tokenizer::new_with_emitter(html, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => writer.start(&tag),
            Token::EndTag(tag) => writer.end(&tag.name),
            Token::String(text) => writer.write(&String::from_utf8_lossy(&text)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    writer.finished()
}

#[derive(Debug, Default)]
struct Writer {
    out: String,
    hints: Vec<Hint>,
    /// The elements that are open, and what they mean.
    open: Vec<(HtmlString, Means)>,
    /// How many more are open than are told apart.
    beyond: usize,
    /// Line ends before what comes next.
    line_ends: usize,
    has_space: bool,
    /// Whether the paragraph at hand is a line to its reader.
    has_line_paragraphs: bool,
    /// What the next line begins.
    next: Option<Hint>,
}

impl Writer {
    fn start(&mut self, tag: &StartTag<()>) {
        let name = tag.name.as_slice();
        if name == b"p" {
            // Word gives each line a paragraph of its own.
            self.has_line_paragraphs = has_class(tag, &["MsoNormal", "MsoPlainText"]);
        }
        self.part(name, name == b"p" && self.has_line_paragraphs);
        if matches!(name, b"br") {
            self.line_ends = (self.line_ends + 1).min(PARAGRAPH);
        } else if matches!(name, b"td" | b"th") {
            self.has_space = true;
        }
        let means = means(tag);
        let is_open = !VOID.contains(&name) && !WITHOUT_END.contains(&name);
        match means {
            Means::Hint(hint @ (Hint::Mail | Hint::Headers)) => self.next = Some(hint),
            Means::Hint(hint) if !is_open => self.next = Some(hint),
            _ => {}
        }
        if !is_open {
            return;
        }
        if self.open.len() < ELEMENTS_DEPTH_MAX {
            self.open.push((tag.name.clone(), means));
        } else {
            self.beyond += 1;
        }
    }

    fn end(&mut self, name: &HtmlString) {
        self.part(name, name.as_slice() == b"p" && self.has_line_paragraphs);
        if self.beyond > 0 {
            self.beyond -= 1;
        } else if let Some(at) = self.open.iter().rposition(|(open, _)| open == name) {
            self.open.truncate(at);
        }
    }

    /// Parts what follows from what is before it, as the element asks for.
    fn part(&mut self, name: &[u8], is_line: bool) {
        if is_line || BLOCKS.contains(&name) {
            self.line_ends = self.line_ends.max(1);
        } else if PARAGRAPHS.contains(&name) {
            self.line_ends = PARAGRAPH;
        }
    }

    fn has(&self, means: Means) -> bool {
        self.open.iter().any(|(_, open)| *open == means)
    }

    fn write(&mut self, text: &str) {
        if self.has(Means::Hidden) {
            return;
        }
        let is_preformatted = self.has(Means::Preformatted);
        for c in text.chars() {
            if c == '\n' && is_preformatted {
                self.line_ends = (self.line_ends + 1).min(PARAGRAPH);
                self.has_space = false;
            } else if c.is_whitespace() {
                self.has_space = true;
            } else if c != '\0' {
                self.put(c);
            }
        }
    }

    /// Writes what is not a space, after what has to be before it.
    fn put(&mut self, c: char) {
        if self.out.is_empty() || self.line_ends > 0 {
            self.begin_line();
        } else if self.has_space {
            self.out.push(' ');
        }
        self.has_space = false;
        self.out.push(c);
    }

    fn begin_line(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
            for _ in 1..self.line_ends {
                self.hints.push(Hint::None);
                self.out.push('\n');
            }
        }
        self.line_ends = 0;
        let marks =
            self.open.iter().filter(|(_, means)| *means == Means::Quoted).count().min(MARKS_MAX);
        if marks > 0 {
            self.out.push_str(&">".repeat(marks));
            self.out.push(' ');
        }
        let around = self.open.iter().rev().find_map(|(_, means)| match means {
            Means::Hint(hint @ (Hint::Attribution | Hint::Forward | Hint::Signature)) => {
                Some(*hint)
            }
            _ => None,
        });
        let hint = self.next.take().or(around).unwrap_or(Hint::None);
        self.hints.push(hint);
    }

    fn finished(self) -> Shown {
        Shown { text: self.out, hints: self.hints }
    }
}

/// The value of an attribute.
fn attribute(tag: &StartTag<()>, name: &[u8]) -> String {
    tag.attributes
        .get(name)
        .map_or_else(String::new, |value| String::from_utf8_lossy(value).into_owned())
}

fn has_class(tag: &StartTag<()>, known: &[&str]) -> bool {
    attribute(tag, b"class").split_ascii_whitespace().any(|class| known.contains(&class))
}

/// Classes, ids and names around a mail that is answered.
const AROUND_QUOTED: [&str; 10] = [
    "yahoo_quoted",
    "zmail_extra",
    "protonmail_quote",
    "tutanota_quote",
    "ntes-mailmaster-quote",
    "front-blockquote",
    "mail-editor-reference-message-container",
    "isReplyContent",
    "messageReplySection",
    "hs_reply",
];

/// Those around a signature.
const AROUND_SIGNATURE: [&str; 12] = [
    "gmail_signature",
    "gmail_signature_prefix",
    "moz-signature",
    "protonmail_signature_block",
    "tutanota_signature",
    "AppleMailSignature",
    "ms-outlook-mobile-signature",
    "messageSignatureSection",
    "ymail_android_signature",
    "composer_signature",
    "Signature",
    "signature",
];

/// Those around the line that says when and by whom a quoted mail was written.
const AROUND_ATTRIBUTION: [&str; 3] = ["gmail_attr", "moz-cite-prefix", "reply-intro"];

/// Those below which another mail stands.
const ABOVE_MAIL: [&str; 3] = ["divRplyFwdMsg", "appendonsend", "OutlookMessageHeader"];

/// What an element means, by what mail programs call it.
fn means(tag: &StartTag<()>) -> Means {
    let name = tag.name.as_slice();
    let style = attribute(tag, b"style").to_ascii_lowercase().replace([' ', '\n', '\r', '\t'], "");
    if UNSHOWN.contains(&name) || style.contains("display:none") || style.contains("mso-hide:all") {
        return Means::Hidden;
    }
    let class = attribute(tag, b"class");
    let names = [attribute(tag, b"id"), attribute(tag, b"name"), attribute(tag, b"data-smartmail")];
    let all = || class.split_ascii_whitespace().chain(names.iter().map(String::as_str));
    let is = |known: &[&str]| all().any(|name| known.contains(&name));
    if is(&ABOVE_MAIL) {
        return Means::Hint(Hint::Mail);
    }
    if is(&AROUND_QUOTED) || names[1] == "quote" {
        return Means::Quoted;
    }
    if name == b"blockquote" {
        // Some programs indent by it.
        let is_cited = !class.is_empty() || attribute(tag, b"type").eq_ignore_ascii_case("cite");
        let is_indented = style.contains("border:none") || style.contains("border:0");
        return if is_indented && !is_cited { Means::Content } else { Means::Quoted };
    }
    match name {
        _ if is(&["moz-forward-container"]) => Means::Hint(Hint::Forward),
        _ if is(&AROUND_ATTRIBUTION) => Means::Hint(Hint::Attribution),
        _ if is(&AROUND_SIGNATURE) => Means::Hint(Hint::Signature),
        b"div" if style.contains("border-top:solid") => Means::Hint(Hint::Headers),
        b"pre" => Means::Preformatted,
        _ if style.contains("white-space:pre") => Means::Preformatted,
        _ => Means::Content,
    }
}
