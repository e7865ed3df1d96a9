//! What commands print for people and programs.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;

/// `text` with each control character as an escape (`\\u001b`): what comes from outside is shown by a terminal, and
/// does not command it. An escape is JSON's, so that a JSON text stays the same JSON. Line ends and tabs stay.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_control(c) && !matches!(c, '\n' | '\t'))
}

/// As [`visible`], for a part of a line: a line end in it is an escape too, so that it cannot pass for another line.
#[must_use]
pub fn field(text: &str) -> Cow<'_, str> {
    escaped(text, is_control)
}

/// As [`visible`], for a line that may have colours: what sets those stays.
#[must_use]
pub fn colored(line: &str) -> Cow<'_, str> {
    if !line.contains(COLOR) {
        return visible(line);
    }
    let mut parts = line.split(COLOR);
    let mut shown = visible(parts.next().unwrap_or_default()).into_owned();
    for part in parts {
        let is_parameter = |c: char| c.is_ascii_digit() || c == ';';
        let ends = part.trim_start_matches(is_parameter).starts_with('m');
        shown += if ends { COLOR } else { "\\u001b[" };
        shown += &visible(part);
    }
    Cow::Owned(shown)
}

/// How a terminal is told to change its colour, before the parameters and an `m`.
const COLOR: &str = "\u{1b}[";

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_escaped(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// What commands a terminal (C0, DEL, C1), turns the direction of text, ends a line, or is no character.
const fn is_control(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
    ) || (c as u32) & 0xfffe == 0xfffe
}

/// Prints one line to the standard output, which shows control characters.
///
/// # Errors
/// When it cannot be written, such as to a pipe whose reader is gone.
pub fn line(text: impl std::fmt::Display) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", visible(&text.to_string()))?;
    out.flush()
}

/// Tells the person who waits how things stand, on the standard error.
pub fn note(text: impl std::fmt::Display) {
    // A closed output is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{}", visible(&text.to_string()));
}

/// How many there are of what `one` is the singular of.
#[must_use]
pub fn counted(count: i64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_everything_else_is_as_it_was() {
        let text = "Zwei\nZeilen\tund \u{e4}\u{f6}\u{fc} \u{1f468}\u{200d}\u{1f469} \u{5e9}\u{5dc}";
        assert!(matches!(visible(text), Cow::Borrowed(same) if same == text));
        let hostile =
            "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\r\u{7f}\0\u{202e}txt\u{2066}\u{fffe}\u{1fffe}";
        let shown = "\\u001b[2J\\u001b]0;owned\\u0007\\u009b31m\\u000d\\u007f\\u0000\\u202etxt\\u2066\\ufffe\\ud83f\\udffe";
        assert_eq!(visible(hostile), shown);
        assert_eq!(field("a\nb\tc"), "a\\u000ab\\u0009c");
        for c in ('\0'..=char::MAX).filter(|c| c.is_control()) {
            assert!(!field(&format!("a{c}b")).contains(c), "{c:?}");
        }
    }

    #[test]
    fn json_says_the_same_when_its_control_characters_are_escapes() {
        let text = "\u{1b}[2J\u{9b}\u{202e}\u{7f}\u{1fffe}\n";
        let json = serde_json::json!({"text": text}).to_string();
        let shown = visible(&json);
        assert!(!shown.chars().any(is_control), "{shown}");
        let read: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(read["text"], text);
    }

    #[test]
    fn colours_stay_and_nothing_else_does() {
        let line =
            "\u{1b}[2m12:00\u{1b}[0m \u{1b}[33mWARN\u{1b}[0m text \u{1b}[2J\u{1b}]0;x\u{7}\u{9b}1m";
        let shown = "\u{1b}[2m12:00\u{1b}[0m \u{1b}[33mWARN\u{1b}[0m text \\u001b[2J\\u001b]0;x\\u0007\\u009b1m";
        assert_eq!(colored(line), shown);
    }
}
