//! The events of a body that should be a JSON array, also where one of them breaks it.
//!
//! A provider cuts a text in the middle of a character, or hands on what another server wrote, and the whole body is no
//! JSON any more. So the events are told apart by quotes and brackets alone, in one pass, and each is read alone.

use std::fmt::Write;

use serde_json::{Map, Value};

/// An event of a body: the JSON that it is, or none where it cannot be read.
pub(super) type Event = Option<Value>;

/// A space, as a unit of UTF-16.
const SPACE: u16 = 0x20;

/// Keys of an event that stand for a text. What stands there and is none costs that key.
const TEXTS: [&str; 7] =
    ["email", "sg_event_id", "sg_message_id", "reason", "status", "type", "bounce_classification"];

/// Keys of an event that stand for yes or no.
const FLAGS: [&str; 1] = ["sg_machine_open"];

/// The events of `body`, as many as `max` and one; none for a body that has no such thing.
pub(super) fn events(body: &[u8], max: usize) -> Option<Vec<Event>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match serde_json::from_slice(body) {
        Ok(Value::Array(events)) => {
            Some(events.into_iter().take(max + 1).map(tidied).map(Some).collect())
        }
        Ok(event @ Value::Object(_)) => Some(vec![Some(tidied(event))]),
        Ok(_) => None,
        Err(_) => {
            let parts = parts(body, max)?;
            Some(parts.into_iter().map(|part| read(part).map(tidied)).collect())
        }
    }
}

/// The event with texts where they belong.
fn tidied(event: Value) -> Value {
    let Value::Object(mut fields) = event else { return event };
    let is_text = |value: &Value| value.is_string() || value.is_null();
    for key in TEXTS {
        // Nearly every event is as it should be, and is not touched.
        if fields.get(key).is_none_or(is_text) {
            continue;
        }
        replace(&mut fields, key, |value| match value {
            Value::String(_) | Value::Null => Some(value),
            Value::Number(number) => Some(Value::String(number.to_string())),
            Value::Bool(flag) => Some(Value::String(flag.to_string())),
            Value::Array(_) | Value::Object(_) => None,
        });
    }
    for key in FLAGS {
        if fields.get(key).is_none_or(Value::is_boolean) {
            continue;
        }
        replace(&mut fields, key, |value| match value {
            Value::Bool(_) => Some(value),
            Value::String(text) => Some(Value::Bool(text.eq_ignore_ascii_case("true"))),
            Value::Number(number) => Some(Value::Bool(number.as_i64() == Some(1))),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        });
    }
    Value::Object(fields)
}

/// Puts another value in place of the one at `key`, or leaves the key out.
fn replace(fields: &mut Map<String, Value>, key: &str, by: impl Fn(Value) -> Option<Value>) {
    if let Some(value) = fields.remove(key).and_then(by) {
        fields.insert(key.to_owned(), value);
    }
}

/// Where the scan of a body is.
#[derive(Default)]
struct Scan {
    /// Brackets that are open within the event.
    depth: usize,
    /// Of the last 64 of them, the innermost last, whether it is a brace.
    braces: u64,
    quoted: bool,
    escaped: bool,
    /// Where the event begins.
    from: usize,
}

impl Scan {
    fn open(&mut self, brace: bool) {
        self.depth += 1;
        self.braces = self.braces << 1 | u64::from(brace);
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.braces >>= 1;
    }

    /// Whether the brace that closes here may be that of one object of a list within the event.
    const fn is_in_list(&self) -> bool {
        !self.quoted && self.depth > 1 && self.braces & 0b11 == 0b01
    }
}

/// The texts between the brackets of the array and the commas of it, also of one that never ends. A body that is one
/// object is one event.
fn parts(body: &[u8], max: usize) -> Option<Vec<&[u8]>> {
    let start = body.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let array = match body[start] {
        b'[' => &body[start + 1..],
        b'{' => return Some(vec![&body[start..]]),
        _ => return None,
    };
    let mut parts = Vec::new();
    let mut scan = Scan::default();
    let mut at = 0;
    while at < array.len() && parts.len() <= max {
        let byte = array[at];
        // Within a text it would be `},{\"`, and in no other place of an object: a quote or a bracket too many, or too
        // few, is before it.
        if byte == b'}'
            && !scan.is_in_list()
            && let Some(next) = next_event(array, at)
        {
            add(&mut parts, &array[scan.from..=at]);
            scan = Scan { from: next, ..Scan::default() };
            at = next;
            continue;
        }
        match byte {
            _ if scan.escaped => scan.escaped = false,
            b'\\' if scan.quoted => scan.escaped = true,
            b'"' => scan.quoted = !scan.quoted,
            _ if scan.quoted => {}
            b'[' | b'{' => scan.open(byte == b'{'),
            b']' if scan.depth == 0 => {
                add(&mut parts, &array[scan.from..at]);
                return Some(parts);
            }
            b']' | b'}' => scan.close(),
            b',' if scan.depth == 0 => {
                add(&mut parts, &array[scan.from..at]);
                scan.from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if at >= array.len() {
        add(&mut parts, &array[scan.from..]);
    }
    Some(parts)
}

/// Where the event after the one that ends at `end` begins: `},{"`, with spaces or without.
fn next_event(array: &[u8], end: usize) -> Option<usize> {
    let comma = after_spaces(array, end + 1).filter(|at| array[*at] == b',')?;
    let next = after_spaces(array, comma + 1).filter(|at| array[*at] == b'{')?;
    after_spaces(array, next + 1).filter(|at| array[*at] == b'"').map(|_| next)
}

/// The next byte that is no space. So many of them are none that a program writes, and are looked at once.
fn after_spaces(array: &[u8], from: usize) -> Option<usize> {
    const SPACES_MAX: usize = 64;
    let spaces = array.get(from..)?.iter().take(SPACES_MAX);
    let at = from + spaces.take_while(|byte| byte.is_ascii_whitespace()).count();
    (at < array.len()).then_some(at)
}

/// After a last comma there is nothing, and that is no event.
fn add<'b>(parts: &mut Vec<&'b [u8]>, part: &'b [u8]) {
    let part = part.trim_ascii();
    if !part.is_empty() {
        parts.push(part);
    }
}

/// The event, as it is or as it was meant.
fn read(part: &[u8]) -> Event {
    let event = serde_json::from_slice(part).or_else(|_| serde_json::from_str(&mended(part)));
    event.ok().filter(Value::is_object)
}

/// The text with what programs write carelessly in JSON written as JSON has it: control characters and halves of
/// characters in a text, words that are no values, a comma before a closing bracket.
fn mended(part: &[u8]) -> String {
    let text = String::from_utf8_lossy(part);
    let mut mended = String::with_capacity(text.len() + 16);
    let mut quoted = false;
    let mut rest = text.as_ref();
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '"' => {
                quoted = !quoted;
                mended.push(c);
                after
            }
            '\\' if quoted => escape(after, &mut mended),
            c if quoted && c < ' ' => {
                unit(u8::try_from(c).map_or(SPACE, u16::from), &mut mended);
                after
            }
            c if quoted => {
                mended.push(c);
                after
            }
            ',' if after.trim_start().starts_with(['}', ']']) => after,
            c if c.is_ascii_alphanumeric() || c == '-' => word(rest, &mut mended),
            c => {
                mended.push(if c.is_control() { ' ' } else { c });
                after
            }
        };
    }
    mended
}

/// Writes the escape of a code unit of UTF-16.
fn unit(unit: u16, mended: &mut String) {
    // A text takes everything.
    let _ = write!(mended, "\\u{unit:04x}");
}

/// Writes the escape that begins after a backslash, and answers what follows. Half of a pair of surrogates is no
/// character, and what is no escape is a backslash.
fn escape<'t>(after: &'t str, mended: &mut String) -> &'t str {
    let read = |text: &str| {
        let digits = text.strip_prefix('u')?.get(..4)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
    };
    match read(after) {
        Some(first @ 0xd800..=0xdbff) => {
            let second = after[5..].strip_prefix('\\').and_then(read);
            match second.filter(|second| (0xdc00..=0xdfff).contains(second)) {
                Some(second) => {
                    unit(first, mended);
                    unit(second, mended);
                    &after[11..]
                }
                None => {
                    mended.push('\u{fffd}');
                    &after[5..]
                }
            }
        }
        Some(0xdc00..=0xdfff) => {
            mended.push('\u{fffd}');
            &after[5..]
        }
        Some(other) => {
            unit(other, mended);
            &after[5..]
        }
        None => match after.chars().next() {
            Some(c @ ('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't')) => {
                mended.extend(['\\', c]);
                &after[1..]
            }
            _ => {
                mended.push_str("\\\\");
                after
            }
        },
    }
}

/// Writes the word that stands for a value, and answers what follows. One that JSON does not have, such as `NaN` or
/// `-Infinity`, is `null`. A number is no word.
fn word<'t>(rest: &'t str, mended: &mut String) -> &'t str {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    let is_number = word.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    let is_value = is_number || ["true", "false", "null"].contains(&word);
    mended.push_str(if is_value { word } else { "null" });
    after
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &[u8]) -> Option<Vec<Event>> {
        events(body, 100)
    }

    fn good() -> Event {
        Some(json!({"event": "delivered"}))
    }

    /// The bodies with a good event around one that says `broken`.
    fn around(broken: &[u8]) -> [Vec<u8>; 3] {
        let good = &br#"{"event":"delivered"}"#[..];
        [
            [b"[", good, b",", broken, b"]"].concat(),
            [b"[", broken, b",", good, b"]"].concat(),
            [b"\xef\xbb\xbf [ \r\n", good, b" ,\r\n ", broken, b" ,\n", good, b" ] \r\n"].concat(),
        ]
    }

    #[test]
    fn a_broken_text_is_read_and_costs_nothing() {
        for (broken, reason) in [
            (&br#""cut \ud83d""#[..], "cut \u{fffd}"),
            (br#""cut \udca9 here""#, "cut \u{fffd} here"),
            (br#""\ud83d\ud83d\udca9""#, "\u{fffd}\u{1f4a9}"),
            (br#""\ud83d\u0041""#, "\u{fffd}A"),
            (b"\"a\nb\tc\x01d\"", "a\nb\tc\u{1}d"),
            (b"\"cut \xff\xfe here\"", "cut \u{fffd}\u{fffd} here"),
            (b"\"gr\xfc\xdfe\"", "gr\u{fffd}\u{fffd}e"),
            (br#""\x41 \' C:\temp\q""#, "\\x41 \\' C:\temp\\q"),
            (br#""\u12 \uzzzz""#, "\\u12 \\uzzzz"),
            (br#""a } , { [ ] \" b \ud83d""#, "a } , { [ ] \" b \u{fffd}"),
        ] {
            let event = [br#"{"event":"bounce","reason":"#, broken, b"}"].concat();
            let expected = Some(json!({"event": "bounce", "reason": reason}));
            for body in around(&event) {
                let found = read(&body).expect("an array");
                let text = String::from_utf8_lossy(&body);
                assert!(found.contains(&expected), "{text}: {found:?}");
                assert!(found.iter().all(|one| *one == expected || *one == good()), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_json_beside_the_texts_is_read_as_it_is_meant() {
        for (broken, expected) in [
            (r#"{"event":"open","x":NaN}"#, json!({"event": "open", "x": null})),
            (r#"{"event":"open","x":-Infinity,}"#, json!({"event": "open", "x": null})),
            (r#"{"event":"open","x":[1,2,],}"#, json!({"event": "open", "x": [1, 2]})),
            (r#"{"event":"open","x":undefined}"#, json!({"event": "open", "x": null})),
            (
                r#"{"event":"open","x":-1.5e-3,"y":NaN}"#,
                json!({"event": "open", "x": -1.5e-3, "y": null}),
            ),
        ] {
            for body in around(broken.as_bytes()) {
                let found = read(&body).expect("an array");
                assert!(found.contains(&Some(expected.clone())), "{broken}: {found:?}");
                assert!(found.contains(&good()), "{broken}");
            }
        }
    }

    #[test]
    fn one_that_cannot_be_read_costs_itself() {
        for broken in [
            r#"{"event":"bounce","reason":"5" pipe"}"#,
            r#"{"event":"bounce","reason":"say "hi" now"}"#,
            r#"{"event":"bounce","reason":"no end}"#,
            r#"{"event":"bounce" "reason":1}"#,
            r#"{"event":"bounce"}}"#,
            r#"{"event":"bounce","x":{"a":1}"#,
            r#"{"event":"bounce","x":[1}"#,
            r#"{"event":"bounce","x":1]}"#,
            r#"{"event":"bounce","x":[{"a":1},{"b":NaN x}]}"#,
            r#"{event:'bounce'}"#,
            "bounce",
        ] {
            for body in around(broken.as_bytes()) {
                let found = read(&body).expect("an array");
                let text = String::from_utf8_lossy(&body);
                let goods = text.matches("delivered").count();
                assert_eq!(
                    found.iter().filter(|one| **one == good()).count(),
                    goods,
                    "{text}: {found:?}"
                );
                assert!(found.contains(&None), "{text}: {found:?}");
            }
        }
    }

    #[test]
    fn an_array_that_is_cut_or_ends_with_a_comma_has_the_events_before_it() {
        let good_one = r#"{"event":"delivered"}"#;
        for (tail, lost) in [
            (",]", 0),
            (",", 0),
            ("", 0),
            (" , ] ", 0),
            (r#",{"event":"bou"#, 1),
            (r#",{"event":"bounce","reason":"cut \"#, 1),
            (",{", 1),
            ("]]", 0),
        ] {
            let found = read(format!("[{good_one},{good_one}{tail}").as_bytes()).expect("an array");
            assert_eq!(found.iter().filter(|one| **one == good()).count(), 2, "{tail}: {found:?}");
            assert_eq!(found.len(), 2 + lost, "{tail}");
        }
        assert_eq!(read(b"["), Some(vec![]));
        assert_eq!(read(b"[]"), Some(vec![]));
    }

    #[test]
    fn one_object_is_one_event() {
        assert_eq!(read(br#" {"event":"delivered"}"#), Some(vec![good()]));
        let cut = json!({"event": "delivered", "reason": "\u{fffd}"});
        assert_eq!(read(br#"{"event":"delivered","reason":"\ud83d"}"#), Some(vec![Some(cut)]));
        for none in [&b""[..], b" ", b"1", b"null", b"\"x\"", b"event=delivered", b"\xff"] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_field_of_another_type_costs_that_field() {
        let event = r#"[{"event":"bounce","status":5.1,"reason":{"a":1},"type":null,"sg_machine_open":"true","x":[1]}]"#;
        let expected = json!({
            "event": "bounce", "status": "5.1", "type": null, "sg_machine_open": true, "x": [1],
        });
        assert_eq!(read(event.as_bytes()), Some(vec![Some(expected)]));
    }

    #[test]
    fn however_it_is_broken_it_is_read_in_one_pass() {
        for part in [
            "{",
            "[",
            "\"",
            "\\",
            "},{",
            "},{\"",
            "},",
            "}   ",
            ",",
            "{\"a\":\"",
            "\\ud83d",
            "NaN",
            "}\n",
        ] {
            let many = part.repeat(512 * 1024 / part.len());
            let body = format!("[{{\"a\":\"\\ud83d\"}},{many}");
            let found = events(body.as_bytes(), 1_000).expect("an array");
            assert!(found.len() <= 1_002, "{part}");
        }
        let many = "{\"a\":\"\\ud83d\"},".repeat(20_000);
        assert_eq!(
            events(format!("[{many}").as_bytes(), 10_000).map(|found| found.len()),
            Some(10_001)
        );
    }
}
