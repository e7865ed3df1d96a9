//! Lines that say: what follows is another mail.

use super::text::Line;
use super::words::{self, Label};

/// Bytes of a line that an opening may consist of.
const LINE_BYTES_MAX: usize = 300;

/// Lines that one opening is wrapped over.
const LINES_MAX: usize = 4;

/// Bytes of the word before the colon of a header.
const LABEL_BYTES_MAX: usize = 40;

/// Different headers that another mail has at least.
const HEADERS_MIN: usize = 3;

/// Lines of a block of headers that are looked at.
const HEADERS_LINES_MAX: usize = 16;

/// How many of its lines stand between two headers; a list of recipients has more than one line.
const CONTINUED_LINES_MAX: usize = 4;

/// How many signs the line of an opening has to have that stands above something that is not marked as quoted.
const SIGNS_MIN: usize = 2;

/// Words before the word of writing, where nothing but a name stands there.
const NAME_WORDS_MAX: usize = 5;

/// How surely an opening is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// Only if what follows is marked as quoted.
    Likely,
    /// Whatever follows.
    Certain,
}

/// `text` as openings are compared: in lower case, with plain spaces, without what no reader sees.
pub(super) fn plain(text: &str) -> String {
    let shown = text.chars().filter(|c| !is_unseen(*c) && *c != '*');
    let spaced = shown.map(|c| match c {
        '\u{2019}' => '\'',
        c if c.is_whitespace() => ' ',
        '\u{660}'..='\u{669}' => digit(c, '\u{660}'),
        '\u{6f0}'..='\u{6f9}' => digit(c, '\u{6f0}'),
        '\u{ff10}'..='\u{ff19}' => digit(c, '\u{ff10}'),
        c => c,
    });
    spaced.collect::<String>().to_lowercase()
}

/// The digit that `c` is in a script whose zero is `zero`.
fn digit(c: char, zero: char) -> char {
    char::from_digit(u32::from(c) - u32::from(zero), 10).unwrap_or(c)
}

/// Marks of direction and joiners, which programs put around names and dates.
pub(super) const fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The opening whose last line is `end`: its first line, not before `from`, and how sure it is.
pub(super) fn attribution(
    lines: &[Line<'_>],
    end: usize,
    from: usize,
) -> Option<(usize, Certainty)> {
    if lines[end].text.len() > LINE_BYTES_MAX || !may_end_attribution(lines[end].text) {
        return None;
    }
    let mut best: Option<(usize, Certainty)> = None;
    let mut joined = String::new();
    for start in (from..=end).rev().take(LINES_MAX) {
        let line = &lines[start];
        if start < end && !may_be_continued(line) {
            break;
        }
        let text = plain(line.text);
        joined = format!("{text} {joined}");
        let begins = begins_attribution(&text);
        let Some(certainty) = certainty(&joined, begins, line.text) else { continue };
        let is_sure = start < end || certainty == Certainty::Certain;
        if begins && is_sure && has_date(&joined) {
            return Some((start, certainty));
        }
        let is_better = best.is_none_or(|(_, before)| {
            before == Certainty::Likely && certainty == Certainty::Certain
        });
        // The rest of a line that was wrapped may look like a beginning, too.
        if is_better || (begins && has_digit(&text)) {
            best = Some((start, certainty));
        }
    }
    best.map(|(start, certainty)| (with_name(lines, start, from), certainty))
}

/// The line `start`, or the one above it, where the name stands to an address that was wrapped.
fn with_name(lines: &[Line<'_>], start: usize, from: usize) -> usize {
    let is_address = lines[start].text.starts_with('<');
    let above = start.checked_sub(1).filter(|above| *above >= from && is_address);
    above.filter(|above| may_be_continued(&lines[*above])).unwrap_or(start)
}

/// Whether an opening may go on after the line: it is one of text, and no sentence ends there.
fn may_be_continued(line: &Line<'_>) -> bool {
    let text = line.text;
    !text.is_empty()
        && text.len() <= LINE_BYTES_MAX
        && !line.is_marked()
        && !text.ends_with(['!', '?', ':', '：', ';'])
}

fn may_end_attribution(text: &str) -> bool {
    let text = text.trim_end_matches(|c: char| c == '*' || c == ' ' || is_unseen(c));
    text.ends_with([':', '：'])
        || text.ends_with("写道")
        || text.ends_with("寫道")
        || (text.ends_with("--") && !is_rule(text))
}

/// How sure it is that `joined`, whose first line is `written`, is an opening; none if it is none.
fn certainty(joined: &str, begins: bool, written: &str) -> Option<Certainty> {
    let core =
        joined.trim_matches(|c: char| c == '-' || c == ' ').trim_end_matches([':', '：', ' ']);
    let (time, date, address) = (has_time(core), has_date(core), has_address(core));
    let signs = usize::from(time) + usize::from(date) + usize::from(address);
    let Some(before) = before_wrote(core) else {
        // Some programs say neither "wrote" nor "on".
        let ends_with_address = core.rsplit(' ').next().is_some_and(has_address);
        return (ends_with_address && date).then_some(if time {
            Certainty::Certain
        } else {
            Certainty::Likely
        });
    };
    let words = before.split_whitespace().count();
    let has_beginning = begins || core.starts_with(|c: char| c.is_ascii_digit());
    let is_plausible = has_beginning || address || words <= NAME_WORDS_MAX;
    if signs >= SIGNS_MIN && is_plausible {
        return Some(Certainty::Certain);
    }
    // Words in lower case are a sentence: what is in doubt stays visible.
    let is_name = words > 0 && words <= NAME_WORDS_MAX && !has_small_words(written, words);
    ((signs > 0 && is_plausible) || is_name).then_some(Certainty::Likely)
}

/// Whether one of the first `count` words of `text` begins with a small letter.
fn has_small_words(text: &str, count: usize) -> bool {
    text.split_whitespace().take(count).any(|word| word.starts_with(char::is_lowercase))
}

/// What stands before the word of writing; none where there is no such word.
fn before_wrote(core: &str) -> Option<&str> {
    let last = words::WROTE_LAST.iter().filter_map(|word| {
        let before = core.strip_suffix(word)?;
        let is_word = !before.ends_with(|c: char| c.is_alphanumeric())
            || !word.is_ascii() && !has_spaces(word);
        is_word.then_some(before)
    });
    let inside = words::WROTE_BEFORE_NAME
        .iter()
        .filter_map(|word| core.split_once(word).map(|(before, _)| before));
    last.chain(inside).next()
}

/// Whether words of the script of `word` stand apart from each other.
fn has_spaces(word: &str) -> bool {
    !word.chars().all(|c| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}'))
}

fn begins_attribution(text: &str) -> bool {
    let text = text.trim_start_matches(['-', ' ', '"', '>']);
    words::BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
        || (text.starts_with(['在', '於', '于']) && has_digit(text))
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
}

/// The numbers of `text`, each with the byte before it and after it.
fn numbers(text: &str) -> impl Iterator<Item = (&str, Option<u8>, Option<u8>)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + bytes[at..].iter().position(u8::is_ascii_digit)?;
        let end = bytes[start..]
            .iter()
            .position(|b| !b.is_ascii_digit())
            .map_or(bytes.len(), |n| start + n);
        at = end;
        let before = start.checked_sub(1).map(|n| bytes[n]);
        Some((&text[start..end], before, bytes.get(end).copied()))
    })
}

/// Whether a time of day stands there: two numbers of two digits at most with a colon, an `h` or a dot between them,
/// and nothing like it around.
fn has_time(text: &str) -> bool {
    let all: Vec<_> = numbers(text).collect();
    all.windows(2).any(|pair| {
        let [(hour, before, between), (minute, joint, after)] = pair else { return false };
        let is_joined = between == joint && matches!(between, Some(b':' | b'h' | b'.'));
        let is_alone = *between != Some(b'.') || (*before != Some(b'.') && *after != Some(b'.'));
        is_joined && is_alone && hour.len() <= 2 && minute.len() == 2
    })
}

/// Whether a date stands there: a year, or three numbers with dots, strokes or hyphens between them.
fn has_date(text: &str) -> bool {
    let all: Vec<_> = numbers(text).collect();
    let is_year =
        |number: &str| number.len() == 4 && (number.starts_with("19") || number.starts_with("20"));
    all.iter().any(|(number, ..)| is_year(number))
        || all.windows(3).any(|three| {
            let is_joint = |mark: Option<u8>| matches!(mark, Some(b'.' | b'/' | b'-'));
            is_joint(three[0].2)
                && is_joint(three[1].2)
                && three[0].2 == three[1].1
                && three[1].2 == three[2].1
        })
}

fn has_address(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| {
        let is_part = |c: char| c.is_alphanumeric() || "._-+".contains(c);
        text[..at].ends_with(is_part) && text[at + 1..].starts_with(is_part)
    })
}

/// Whether the line stands above a mail that is answered, such as `-----Original Message-----`.
pub(super) fn is_original_mark(text: &str) -> bool {
    between_marks(text).is_some_and(|inner| {
        words::ORIGINAL.contains(&&*inner) || words::ORIGINAL_RIGHT_TO_LEFT.contains(&&*inner)
    })
}

/// Whether the line stands above a mail that is passed on.
pub(super) fn is_forward_mark(text: &str) -> bool {
    if text.len() > LINE_BYTES_MAX {
        return false;
    }
    if between_marks(text).is_some_and(|inner| words::FORWARDED.contains(&&*inner)) {
        return true;
    }
    let text = text.trim_end();
    let Some(before_colon) = text.strip_suffix(':').or_else(|| text.strip_suffix('：')) else {
        return false;
    };
    words::FORWARD_BEGINS.contains(&plain(before_colon).trim())
}

/// What stands between two rows of dashes or the like.
fn between_marks(text: &str) -> Option<String> {
    let is_mark = |c: char| matches!(c, '-' | '–' | '—' | '_' | '=' | '#' | '~');
    if text.len() > LINE_BYTES_MAX || !text.trim_start_matches('*').starts_with(is_mark) {
        return None;
    }
    let text = plain(text);
    let marks = text.chars().take_while(|c| is_mark(*c)).count();
    let inner = text.trim_matches(|c: char| is_mark(c) || c == ' ' || c == ':');
    // Some programs go on in the same line with the first header.
    let inner = inner.split("--").next().unwrap_or(inner).trim_end();
    (marks >= 2 && !inner.is_empty()).then(|| inner.to_owned())
}

/// Whether the line asks to answer above it. Without dashes around it, it says nothing else.
pub(super) fn is_reply_above(text: &str) -> bool {
    const AROUND_BYTES_MAX: usize = 40;
    if text.len() > LINE_BYTES_MAX {
        return false;
    }
    let is_marked = !text.starts_with(char::is_alphanumeric);
    if !is_marked && text.len() > AROUND_BYTES_MAX * 3 {
        return false;
    }
    let text = plain(text);
    let mut known = words::REPLY_ABOVE.iter().chain(&words::REPLY_ABOVE_RIGHT_TO_LEFT);
    let asks = known.any(|known| {
        text.contains(known) && (is_marked || text.len() <= known.len() + AROUND_BYTES_MAX)
    });
    asks && words::REPLY.iter().any(|reply| text.contains(reply))
}

/// Whether the line is a row of dashes or the like.
pub(super) fn is_rule(text: &str) -> bool {
    const RULE_BYTES_MIN: usize = 5;
    text.len() >= RULE_BYTES_MIN && text.bytes().all(|b| matches!(b, b'_' | b'-' | b'=' | b'*'))
}

/// Whether the headers of another mail begin at `start`.
pub(super) fn are_headers(lines: &[Line<'_>], start: usize) -> bool {
    if label(lines[start].text).is_none() {
        return false;
    }
    let mut found = [false; 5];
    let (mut has_at, mut end, mut others) = (false, start, 0);
    for (at, line) in lines.iter().enumerate().skip(start).take(HEADERS_LINES_MAX) {
        if line.text.is_empty() {
            continue;
        }
        match label(line.text) {
            Some(label) => {
                found[label as usize] = true;
                (end, others) = (at + 1, 0);
            }
            None if others == CONTINUED_LINES_MAX => break,
            None => others += 1,
        }
        has_at |= end == at + 1 && line.text.contains('@');
    }
    let count = found.iter().filter(|found| **found).count();
    let is_mail = found[Label::From as usize]
        && (found[Label::Date as usize] || found[Label::To as usize])
        && (found[Label::Subject as usize] || has_at);
    is_mail && count >= HEADERS_MIN
}

/// Which header the line is; none if it is none.
fn label(text: &str) -> Option<Label> {
    let text = text.trim_start_matches(|c: char| c == '*' || c == ' ' || is_unseen(c));
    let colon = text
        .char_indices()
        .take(LABEL_BYTES_MAX)
        .find(|(_, c)| matches!(c, ':' | '：'))
        .map(|(at, _)| at)?;
    let word = plain(&text[..colon]);
    let word = word.trim();
    let known = words::LABELS.iter().find(|(_, words)| words.contains(&word));
    known.map(|(label, _)| *label)
}

/// Whether the lines from `start` on look like headers in a language that we do not know.
pub(super) fn looks_like_headers(lines: &[Line<'_>], start: usize) -> bool {
    let near = lines[start..].iter().take(HEADERS_LINES_MAX);
    let filled = near.filter(|line| !line.text.is_empty()).take(HEADERS_MIN);
    filled
        .filter(|line| line.text.chars().take(LABEL_BYTES_MAX).any(|c| matches!(c, ':' | '：')))
        .count()
        == HEADERS_MIN
}

/// Whether `subject` is that of a mail that is passed on.
pub(super) fn is_forward_subject(subject: &str) -> bool {
    let subject = subject.trim_start();
    let colon = subject.char_indices().take(LABEL_BYTES_MAX).find(|(_, c)| matches!(c, ':' | '：'));
    colon.is_some_and(|(at, _)| words::FORWARD_SUBJECTS.contains(&plain(&subject[..at]).trim()))
}
