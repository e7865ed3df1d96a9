//! Whether a program said what a page shows.
//!
//! These match whatever stands in their place: ids (UUIDs and 32 hexadecimal digits), times of day and dates,
//! a number after the word position, positions, version or content-length, and a number before a unit or the
//! name of an event. `...` matches the rest of a word or line, and as a line of its own any lines.
//! How many spaces there are between words does not count.

const HEX: &str = "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh";
const UUID: &str = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh";
/// `h` is a hexadecimal digit, `d` a digit, `w` a letter, and everything else itself. The longest stands first.
const PATTERNS: [(&str, &str); 6] = [
    (UUID, "<id>"),
    (HEX, "<id>"),
    ("www, dd www dddd dd:dd:dd GMT", "<time>"),
    ("dddd-dd-ddTdd:dd:dd", "<time>"),
    ("dddd-dd-dd dd:dd:dd", "<time>"),
    ("dd:dd:dd", "<time>"),
];
const BEFORE_A_NUMBER: [&str; 5] =
    ["position", "positions", "hatch-position", "version", "content-length"];
const UNITS: [&str; 10] = ["ms", "s", "min", "h", "days", "KiB", "MiB", "GiB", "events", "files"];

/// The first difference between what a page shows and what was said.
pub(super) fn difference(shown: &[String], said: &[String]) -> Option<String> {
    let all = |lines: &[String]| {
        let mut lines: Vec<String> = lines.iter().map(|line| normal(line)).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    };
    let (shown, said) = (all(shown), all(said));
    (!lines_match(&shown, &said)).then(|| {
        let differs = |(shown, said): &(&String, &String)| !line_matches(shown, said);
        let first = shown.iter().zip(&said).find(differs);
        let (first, instead) = first.map_or_else(
            || (shown.last().cloned(), said.last().cloned()),
            |(shown, said)| (Some(shown.clone()), Some(said.clone())),
        );
        format!(
            "the page shows, at first: {}\n  it was said: {}\n  all that was said:\n{}",
            first.unwrap_or_default(),
            instead.unwrap_or_default(),
            said.join("\n")
        )
    })
}

fn lines_match(shown: &[String], said: &[String]) -> bool {
    match shown.split_first() {
        None => said.is_empty(),
        Some((line, rest)) if line == "..." => {
            (0..=said.len()).any(|skipped| lines_match(rest, &said[skipped..]))
        }
        Some((line, rest)) => said
            .split_first()
            .is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others)),
    }
}

fn line_matches(shown: &str, said: &str) -> bool {
    let mut parts = shown.split("...");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = said.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last.is_some_and(|part| said.ends_with(part))
}

/// The line with names in the place of what differs from run to run.
fn normal(line: &str) -> String {
    let line: Vec<char> = line.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    let (mut normal, mut at) = (String::new(), 0);
    while at < line.len() {
        let fresh = at == 0 || !line[at - 1].is_alphanumeric() || provider_prefix(&line[..at]);
        let found = PATTERNS.iter().find(|(pattern, _)| fresh && fits(pattern, &line[at..]));
        if let Some((pattern, name)) = found {
            normal.push_str(name);
            at += pattern.chars().count();
            if *name == "<time>" {
                at += fraction_and_zone(&line[at..]);
            }
        } else if fresh && line[at].is_ascii_digit() {
            let number = number(&line[at..]);
            let (number, after) = (&line[at..at + number], at + number);
            if varies(&normal, &line[after..]) {
                normal.push_str("<number>");
            } else {
                normal.extend(number);
            }
            at = after;
        } else {
            normal.push(line[at]);
            at += 1;
        }
    }
    normal
}

/// Whether the text ends with two capitals, by which ids of Twilio's begin.
fn provider_prefix(before: &[char]) -> bool {
    let [head @ .., first, second] = before else { return false };
    first.is_ascii_uppercase()
        && second.is_ascii_uppercase()
        && head.last().is_none_or(|last| !last.is_alphanumeric())
}

fn fits(pattern: &str, text: &[char]) -> bool {
    pattern.chars().count() <= text.len()
        && pattern.chars().zip(text).all(|(kind, character)| match kind {
            'h' => character.is_ascii_hexdigit(),
            'd' => character.is_ascii_digit(),
            'w' => character.is_ascii_alphabetic(),
            other => *character == other,
        })
}

/// How long `.123` and `Z` or ` UTC` are at the start of the text.
fn fraction_and_zone(text: &[char]) -> usize {
    let digits = |text: &[char]| text.iter().take_while(|c| c.is_ascii_digit()).count();
    let fraction = match text {
        ['.', rest @ ..] if digits(rest) > 0 => 1 + digits(rest),
        _ => 0,
    };
    let zone = match &text[fraction..] {
        ['Z', ..] => 1,
        [' ', 'U', 'T', 'C', ..] => 4,
        _ => 0,
    };
    fraction + zone
}

/// How long the number at the start of the text is: `7`, `1.5`, `15.14`, `1,000`.
fn number(text: &[char]) -> usize {
    let mut at = 0;
    while at < text.len() {
        let inside =
            matches!(text[at], '.' | ',') && text.get(at + 1).is_some_and(char::is_ascii_digit);
        if !text[at].is_ascii_digit() && !inside {
            break;
        }
        at += 1;
    }
    at
}

/// Whether a number between these texts differs from run to run.
fn varies(before: &str, after: &[char]) -> bool {
    let named = before.trim_end_matches(['"', ':', ' ']);
    let word = named.rsplit(|c: char| !(c.is_alphanumeric() || c == '-')).next();
    if word.is_some_and(|word| BEFORE_A_NUMBER.contains(&word)) {
        return true;
    }
    let [' ', after @ ..] = after else { return false };
    let next: String = after.iter().take_while(|c| c.is_alphanumeric()).collect();
    let is_event = before.is_empty() && next.starts_with(|c: char| c.is_ascii_uppercase());
    is_event || UNITS.contains(&next.as_str())
}

#[test]
fn what_differs_from_run_to_run_matches_and_nothing_else_does() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let differs = |shown: &str, said: &str| difference(&lines(shown), &lines(said)).is_some();
    let id = "01a1fc66-08af-740d-be36-7b7f1ec62c55";
    let other = "0198c0de-0000-7000-8000-000000000002";
    for (shown, said) in [
        (format!("location: /api/v1/messages/{id}"), format!("location: /api/v1/messages/{other}")),
        (
            "date: Sat, 21 Nov 2026 04:38:27 GMT".to_owned(),
            "date: Sun, 22 Nov 2026 05:00:01 GMT".to_owned(),
        ),
        (
            "\"at\":\"2026-11-21T04:38:27.759Z\"".to_owned(),
            "\"at\":\"2025-01-02T03:04:05Z\"".to_owned(),
        ),
        ("\"position\":1}".to_owned(), "\"position\":4711}".to_owned()),
        ("hatch-position: 1".to_owned(), "hatch-position: 23".to_owned()),
        ("delivered after 38 ms".to_owned(), "delivered   after 1.5 ms".to_owned()),
        ("   5  MessageRequested".to_owned(), "17  MessageRequested".to_owned()),
        (
            "SM01a1fc660a7472ab9df8593c5428c3c7".to_owned(),
            "SM51a1fc660a7472ab9df8593c5428c3c7".to_owned(),
        ),
        ("a\n...\nd".to_owned(), "a\nb\nc\nd".to_owned()),
        ("{\"a\":1,...}".to_owned(), "{\"a\":1,\"b\":2}".to_owned()),
    ] {
        assert!(!differs(&shown, &said), "{shown} / {said}");
    }
    for (shown, said) in [
        ("HTTP/1.1 202 Accepted", "HTTP/1.1 200 OK"),
        ("4 messages", "4 conversations"),
        ("  4 messages; the", "  5 messages; the"),
        ("+18045551234", "+18045551235"),
        ("a", "a\nb"),
        ("a\n...\nd", "a\nb"),
        ("{\"a\":1,...}", "{\"a\":2,\"b\":2}"),
    ] {
        assert!(differs(shown, said), "{shown} / {said}");
    }
}
/// The lines without a second `MessageSent` of a timeline: where a receipt overtakes the answer, that says it again, with
/// the parts of the message.
pub(super) fn sent_once(said: &[String]) -> Vec<String> {
    let mut sent = false;
    let kept = said.iter().filter(|line| {
        sent &= !line.starts_with("Timeline");
        let again = sent && line.contains(" MessageSent ");
        sent |= line.contains(" MessageSent ");
        !again
    });
    kept.cloned().collect()
}
