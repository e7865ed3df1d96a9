//! From HTML to plain text and back: for a mail that has some of its texts in one form and some in the other.

use html5gum::{Token, Tokenizer};

/// Bytes of a character reference, such as `&hellip;`, with its ends. HTML has none that is longer.
const REFERENCE_BYTES_MAX: usize = 34;

/// The end of a tag that is in no quotes.
const QUOTED_END: &str = "\">";

/// What is shown of HTML, in lines. Scripts, styles and comments are not shown. It reads each byte a few times at most,
/// however the HTML is broken.
pub fn html_to_text(html: &str) -> String {
    let mut reader = Reader { rest: html, text: Text::default(), missing: Vec::new() };
    while !reader.rest.is_empty() {
        let next = memchr::memchr2(b'<', b'&', reader.rest.as_bytes());
        let (before, rest) = reader.rest.split_at(next.unwrap_or(reader.rest.len()));
        reader.text.push(before);
        reader.rest = rest;
        match rest.as_bytes().first() {
            Some(b'<') => reader.markup(),
            Some(_) => reader.reference(),
            None => {}
        }
    }
    reader.text.finish()
}

/// The text as HTML that shows the same.
pub fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    html.push_str("<pre>");
    for c in text.chars() {
        match c {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            c => html.push(c),
        }
    }
    html.push_str("</pre>");
    html
}

struct Reader<'h> {
    rest: &'h str,
    text: Text,
    /// What was looked for to the end of the HTML and is not there: nobody looks for it again.
    missing: Vec<&'static str>,
}

impl<'h> Reader<'h> {
    /// Reads what begins with `<`.
    fn markup(&mut self) {
        let rest = self.rest;
        if rest.starts_with("<!--") {
            match self.position(4, "-->") {
                Some(end) => self.rest = &rest[end + 3..],
                None => self.character(),
            }
            return;
        }
        let begins = rest.as_bytes().get(1).copied().unwrap_or_default();
        if !begins.is_ascii_alphabetic() && !matches!(begins, b'/' | b'!' | b'?') {
            return self.character();
        }
        let Some(end) = self.tag_end() else { return self.character() };
        let name = tag_name(&rest[1..]);
        self.rest = &rest[end + 1..];
        match name.as_str() {
            "script" => self.skip_to("</script"),
            "style" => self.skip_to("</style"),
            "title" => self.skip_to("</title"),
            "br" | "/tr" | "hr" | "li" => self.text.end_line(),
            "td" | "th" => self.text.space(),
            _ if is_block(name.trim_start_matches('/')) => self.text.begin_block(),
            _ => {}
        }
    }

    /// Takes one character for a part of the text.
    fn character(&mut self) {
        let length = self.rest.chars().next().map_or(0, char::len_utf8);
        let (one, rest) = self.rest.split_at(length);
        self.text.push(one);
        self.rest = rest;
    }

    /// Where the tag ends. A `>` in quotes does not end it, unless the quotes never do.
    fn tag_end(&mut self) -> Option<usize> {
        if self.missing.contains(&QUOTED_END) {
            return self.position(1, ">");
        }
        let bytes = self.rest.as_bytes();
        let mut quote = None;
        let end = bytes.iter().position(|&byte| match quote {
            Some(open) => {
                quote = (byte != open).then_some(open);
                false
            }
            None => {
                quote = matches!(byte, b'"' | b'\'').then_some(byte);
                byte == b'>'
            }
        });
        if end.is_none() {
            self.missing.push(QUOTED_END);
            return self.position(1, ">");
        }
        end
    }

    /// Where `wanted`, in lower case, is in the rest, from a place on, in any case.
    fn position(&mut self, from: usize, wanted: &'static str) -> Option<usize> {
        if self.missing.contains(&wanted) {
            return None;
        }
        let bytes = self.rest.as_bytes().get(from..).unwrap_or_default();
        let (first, length) = (wanted.as_bytes()[0], wanted.len());
        let mut places = memchr::memchr_iter(first, bytes);
        let found = places.find(|&n| {
            bytes.get(n..n + length).is_some_and(|one| one.eq_ignore_ascii_case(wanted.as_bytes()))
        });
        if found.is_none() {
            self.missing.push(wanted);
        }
        found.map(|n| n + from)
    }

    /// Leaves out everything up to the end tag, if there is one.
    fn skip_to(&mut self, end_tag: &'static str) {
        if let Some(n) = self.position(0, end_tag) {
            self.rest = &self.rest[n..];
        }
    }

    /// Reads what begins with `&`.
    fn reference(&mut self) {
        let rest: &'h str = self.rest;
        let end = rest.bytes().take(REFERENCE_BYTES_MAX).position(|byte| byte == b';');
        match end.and_then(|end| Some((end, referred(&rest[..=end])?))) {
            Some((end, text)) => {
                // A space that does not break is one of the text.
                self.text.push(if text == "\u{a0}" { " " } else { &text });
                self.rest = &rest[end + 1..];
            }
            None => self.character(),
        }
    }
}

/// The name of a tag, in lower case, with the slash of an end tag.
fn tag_name(text: &str) -> String {
    let end = text.bytes().take(12).skip(1).position(|b| !b.is_ascii_alphanumeric());
    let name = &text[..end.map_or(0, |end| end + 1)];
    name.to_ascii_lowercase()
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "table"
            | "ul"
            | "ol"
            | "blockquote"
            | "pre"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "section"
            | "article"
            | "header"
            | "footer"
            | "form"
            | "body"
            | "address"
            | "center"
            | "dl"
            | "dt"
            | "dd"
    )
}

/// What a character reference stands for, such as `&hellip;`; none of what is no reference, or stands for a control
/// character.
fn referred(reference: &str) -> Option<String> {
    let mut text = String::new();
    for token in Tokenizer::new(reference) {
        let Ok(token) = token;
        if let Token::String(part) = token {
            text.push_str(&String::from_utf8_lossy(&part));
        }
    }
    let is_odd = |c: char| c.is_control() && c != '\n';
    (text != reference && !text.contains(is_odd)).then_some(text)
}

/// A text in lines, with one space between words and one empty line between blocks.
#[derive(Default)]
struct Text {
    text: String,
    /// Line ends that stand before the next word.
    line_ends: usize,
    space: bool,
}

impl Text {
    fn push(&mut self, text: &str) {
        if text.starts_with(|c: char| c.is_ascii_whitespace()) {
            self.space = true;
        }
        let mut words = text.split_ascii_whitespace();
        if let Some(first) = words.next() {
            self.word(first);
        }
        for word in words {
            self.space = true;
            self.word(word);
        }
        if text.ends_with(|c: char| c.is_ascii_whitespace()) {
            self.space = true;
        }
    }

    fn word(&mut self, word: &str) {
        match (self.text.is_empty(), self.line_ends) {
            (true, _) => {}
            (false, 0) => self.text.extend(self.space.then_some(' ')),
            (false, ends) => self.text.extend(std::iter::repeat_n('\n', ends)),
        }
        (self.line_ends, self.space) = (0, false);
        self.text.push_str(word);
    }

    const fn space(&mut self) {
        self.space = true;
    }

    fn end_line(&mut self) {
        self.line_ends = (self.line_ends + 1).min(2);
    }

    fn begin_block(&mut self) {
        self.line_ends = self.line_ends.max(1);
    }

    fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_becomes_what_it_shows() {
        for (html, text) in [
            ("<p>Hello <b>Ann</b>,</p><p>see&nbsp;you</p>", "Hello Ann,\nsee you"),
            ("a<br>b<br/><br>c", "a\nb\n\nc"),
            ("<style>p { color: red }</style><script>alert(1)</script>x<!-- no -->y", "xy"),
            (
                "<html><head><title>t</title></head><body>1 &lt; 2 &amp;&amp; &#52;&#x32;</body>",
                "1 < 2 && 42",
            ),
            ("<a title=\"a > b\" href='x'>here</a>", "here"),
            ("1 < 2 and a<b", "1 < 2 and a<b"),
            ("<ul><li>one<li>two</ul>", "one\ntwo"),
            ("<table><tr><td>a<td>b</tr><tr><td>c</table>", "a b\nc"),
            ("<!-- never closed", "<!-- never closed"),
            ("<style>never closed", "never closed"),
            ("AT&T &unknown; &", "AT&T &unknown; &"),
            ("Gr&uuml;&szlig;e", "Grüße"),
            ("", ""),
        ] {
            assert_eq!(html_to_text(html), text, "{html:?}");
        }
    }

    #[test]
    fn text_becomes_html_that_shows_it() {
        assert_eq!(escaped("1 < 2 & 3\n<b>"), "<pre>1 &lt; 2 &amp; 3\n&lt;b&gt;</pre>");
        assert_eq!(html_to_text(&escaped("1 < 2 & 3 <b>")), "1 < 2 & 3 <b>");
    }

    #[test]
    fn broken_html_costs_no_more_than_its_length() {
        for piece in [
            "<",
            "<!--",
            "<a ",
            "<a '",
            "<a \">",
            "<style>",
            "<script><",
            "&",
            "&#",
            "<a '\"",
            "<a \">\"",
            "</",
            "<p>",
        ] {
            let html = piece.repeat(256 * 1024 / piece.len());
            let began = std::time::Instant::now();
            html_to_text(&html);
            assert!(began.elapsed().as_secs() < 30, "{piece:?}");
        }
    }
}
