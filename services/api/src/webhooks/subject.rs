//! Whether two mails are about the same thing, as far as their subjects say it.

/// What programs put before the subject of an answer or of a forwarded mail, in lower case and without the colon.
const PREFIXES: &[&str] = &[
    // Answers.
    "re",
    "r",
    "ref",
    "réf",
    "rép",
    "res",
    "resp",
    "rif",
    "aw",
    "antw",
    "antwort",
    "antwoord",
    "sv",
    "vs",
    "ang",
    "bls",
    "odp",
    "ynt",
    "va",
    "vá",
    "atb",
    "ats",
    "hà",
    "trả lời",
    "απ",
    "σχετ",
    "отв",
    "ответ",
    "на",
    "回复",
    "回覆",
    "答复",
    "返信",
    "回信",
    "답장",
    "رد",
    "השב",
    // Forwarded mails.
    "fw",
    "fwd",
    "wg",
    "wtr",
    "i",
    "inoltro",
    "tr",
    "rv",
    "enc",
    "vb",
    "vl",
    "fs",
    "doorst",
    "pd",
    "ilt",
    "i\u{307}lt",
    "tov",
    "továbbítás",
    "πρθ",
    "пересл",
    "转发",
    "轉寄",
    "転送",
    "전달",
    "إعادة توجيه",
    "הועבר",
];

/// What servers put before the subject of a mail from outside.
const MARKS: [&str; 3] = ["[external]", "[extern]", "[ext]"];

/// Prefixes and tags that are looked at.
const STEPS_MAX: usize = 50;

/// Characters before the colon of a prefix, or within the brackets of a tag.
const PREFIX_CHARACTERS_MAX: usize = 24;
const TAG_CHARACTERS_MAX: usize = 80;

/// Whether the subjects are one but for what programs put before them. One that is empty says nothing else.
pub(super) fn is_same(one: Option<&str>, other: Option<&str>) -> bool {
    let (one, other) = (topic(one.unwrap_or_default()), topic(other.unwrap_or_default()));
    one.is_empty() || other.is_empty() || one == other
}

/// Whether a subject names a thing.
pub(super) fn is_named(subject: Option<&str>) -> bool {
    subject.is_some_and(|subject| !topic(subject).is_empty())
}

/// The subject in lower case and without prefixes. Tags such as those of lists stay, each once.
fn topic(subject: &str) -> String {
    let lower = subject.to_lowercase();
    let (mut words, mut rest) = (Vec::new(), lower.trim_start());
    for _ in 0..STEPS_MAX {
        if let Some((tag, after)) = tag(rest) {
            if !MARKS.contains(&tag) && !words.contains(&tag) {
                words.push(tag);
            }
            rest = after.trim_start();
        } else if let Some(after) = after_prefix(rest) {
            rest = after.trim_start();
        } else {
            break;
        }
    }
    words.extend(rest.split_whitespace());
    words.join(" ")
}

/// The tag in brackets that a subject begins with, and what follows it.
fn tag(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('[')?;
    let (end, _) = inner.char_indices().take(TAG_CHARACTERS_MAX).find(|(_, c)| *c == ']')?;
    // The brackets are a byte each.
    text.split_at_checked(end + 2)
}

/// What follows the prefix that a subject begins with, such as `re:`, `re[2]:`, `aw (3) :` or `回复：`.
fn after_prefix(text: &str) -> Option<&str> {
    let is_colon = |c: char| matches!(c, ':' | '\u{ff1a}' | '\u{fe55}');
    let mut start = text.char_indices().take(PREFIX_CHARACTERS_MAX);
    let (end, colon) = start.find(|(_, c)| is_colon(*c))?;
    let is_number = |c: char| c.is_ascii_digit() || "[]()^*. ".contains(c);
    let prefix = text[..end].trim_end_matches(is_number);
    PREFIXES.contains(&prefix).then(|| &text[end + colon.len_utf8()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_subject_of_what_it_answers() {
        for subject in [
            "Your order",
            "Re: Your order",
            "RE: your  ORDER",
            "re:Your order",
            "Re[2]: Your order",
            "RE (3): Your order",
            "Re^2: Your order",
            "RE : Your order",
            "AW: WG: Fwd: Your order",
            "SV: VS: Your order",
            "TR: Your order",
            "Antw: Your order",
            "Odp: Your order",
            "Vá: Your order",
            "Ynt: Your order",
            "İLT: Your order",
            "RIF: R: I: Your order",
            "回复：Your order",
            "答复: Your order",
            "转发：回复: Your order",
            "返信: Your order",
            "НА: Your order",
            "Ответ: Your order",
            "ΑΠ: Your order",
            "رد: Your order",
            "[EXTERNAL] Re: Your order",
            "Re: [EXT] Your order",
            " Your order ",
            "Re: Re: Re: Your order",
        ] {
            assert!(is_same(Some(subject), Some("Your order")), "{subject}");
            assert!(!is_same(Some(subject), Some("Another order")), "{subject}");
        }
        assert!(is_same(Some("[list] Re: Hello"), Some("Re: [list] Hello")));
        assert!(is_same(Some("[list] Re: [list] Hello"), Some("[list] Hello")));
    }

    #[test]
    fn what_is_no_prefix_belongs_to_the_subject() {
        for (one, other) in [
            ("[ticket 5] Hello", "Hello"),
            ("[a] Hello", "[b] Hello"),
            ("Order: 5", "5"),
            ("Rechnung: Hello", "Hello"),
            ("Re", "Hello"),
            ("1: Hello", "Hello"),
            ("Note to all of us here: Re: Hello", "Hello"),
        ] {
            assert!(!is_same(Some(one), Some(other)), "{one}");
        }
    }

    #[test]
    fn no_subject_is_no_other_one() {
        for none in [None, Some(""), Some(" "), Some("Re:"), Some("Fwd: AW:")] {
            assert!(is_same(none, Some("Hello")), "{none:?}");
        }
        let many = "re: ".repeat(100_000);
        assert!(!is_same(Some(&many), Some("Hello")), "beyond the limit they are a subject");
    }
}
