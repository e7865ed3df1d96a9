//! The Message-IDs of a header, however badly it is written.

use super::{Cut, FIELD_BYTES_MAX, ID_BYTES_MAX, LIST_BYTES_MAX, REFERENCES_MAX, clean, decoded};

/// The Message-IDs of a header's value, without angle brackets, in their order. Some programs put words around them,
/// break their lines in the middle, write them as encoded words (RFC 2047) or leave the brackets out.
pub(super) fn ids(value: Option<&[u8]>) -> Vec<String> {
    let text = String::from_utf8_lossy(value.unwrap_or_default());
    // Nobody writes a longer one in encoded words, and reading them may take the square of its length.
    let text = if text.len() <= FIELD_BYTES_MAX { decoded(&text).into() } else { text };
    let between = between_brackets(&text);
    let found = if between.is_empty() { bare(&text) } else { between };
    found.into_iter().filter_map(kept).collect()
}

/// The Message-IDs of a thread, the oldest first: those of `References`, and the further ones of `In-Reply-To`. Of a
/// longer thread the first one is kept and the last ones; the others are counted.
pub(super) fn thread(references: Vec<String>, answered: &[String], cut: &mut Cut) -> Vec<String> {
    let mut references = limited(references, cut);
    for id in answered.iter().skip(1).take(REFERENCES_MAX) {
        if !references.contains(id) {
            references.push(id.clone());
        }
    }
    limited(references, cut)
}

fn limited(mut references: Vec<String>, cut: &mut Cut) -> Vec<String> {
    let mut bytes = references.first().map_or(0, String::len);
    let later = references.iter().skip(1).rev().take(REFERENCES_MAX - 1);
    let later = later.take_while(|id| {
        bytes += id.len();
        bytes <= LIST_BYTES_MAX
    });
    let left_out = references.len().saturating_sub(1) - later.count();
    cut.count("references", left_out);
    if left_out > 0 {
        references.drain(1..=left_out);
    }
    references
}

/// What is between angle brackets; of one that is not closed, its first word.
fn between_brackets(text: &str) -> Vec<&str> {
    let after_each = text.split('<').skip(1);
    let inner = after_each.map(|rest| match rest.split_once('>') {
        Some((inner, _)) => inner,
        None => rest.split_whitespace().next().unwrap_or_default(),
    });
    inner.filter(|inner| !inner.trim().is_empty()).collect()
}

/// The Message-IDs of a text without angle brackets: the words with an `@`, or else all of it as one.
fn bare(text: &str) -> Vec<&str> {
    let around = |c: char| c.is_whitespace() || ",;()\"'<>".contains(c);
    let words = text.split(|c: char| c.is_whitespace() || c == ',');
    let words = words.map(|word| word.trim_matches(around));
    let named: Vec<&str> = words.filter(|word| word.len() > 1 && word.contains('@')).collect();
    if named.is_empty() { vec![text.trim_matches(around)] } else { named }
}

/// An id in one line; none where nothing of it is left, or it is longer than any is.
fn kept(id: &str) -> Option<String> {
    let words: Vec<&str> = id.split_whitespace().collect();
    let mut id = clean(&words.join(" "));
    id.retain(|c| !c.is_control() && c != '<' && c != '>');
    (!id.is_empty() && id.len() <= ID_BYTES_MAX).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_however_they_are_written() {
        for (value, expected) in [
            ("<a@x.org>", &["a@x.org"][..]),
            (" <a@x.org>\r\n\t<b@x.org> ", &["a@x.org", "b@x.org"]),
            ("<a@x.org><b@x.org>,<c@x.org>", &["a@x.org", "b@x.org", "c@x.org"]),
            ("a@x.org", &["a@x.org"]),
            ("a@x.org b@x.org,c@x.org", &["a@x.org", "b@x.org", "c@x.org"]),
            ("a@x.org>", &["a@x.org"]),
            ("<a@x.org", &["a@x.org"]),
            ("<a@x.org <b@x.org>", &["a@x.org", "b@x.org"]),
            ("<<a@x.org>>", &["a@x.org"]),
            ("Message from Ann of Monday <a@x.org>", &["a@x.org"]),
            ("Your message of \"Mon, 01 Jan\" <a@x.org> (sfid-1234)", &["a@x.org"]),
            ("\"Mon, 01 Jan\", a@x.org", &["a@x.org"]),
            ("=?utf-8?Q?=3Ca=40x.org=3E?=", &["a@x.org"]),
            ("=?utf-8?Q?=3Ca=40x?=\r\n =?utf-8?Q?=2Eorg=3E?=", &["a@x.org"]),
            ("=?us-ascii?B?PGFAeC5vcmc+?=", &["a@x.org"]),
            ("<20260101005922.0000000004E@>", &["20260101005922.0000000004E@"]),
            ("<abc123>", &["abc123"]),
            ("abc123", &["abc123"]),
            ("<a b\r\n  c@x.org>", &["a b c@x.org"]),
            ("<a\0b@x.org>", &["a\u{fffd}b@x.org"]),
            ("<a\u{1b}b@x.org>", &["ab@x.org"]),
            ("a>b@x.org", &["ab@x.org"]),
            ("", &[]),
            ("<>", &[]),
            ("< >", &[]),
        ] {
            assert_eq!(ids(Some(value.as_bytes())), expected, "{value:?}");
        }
        assert_eq!(ids(None), [""; 0]);
        assert_eq!(ids(Some("<é@x.org>".as_bytes())), ["é@x.org"]);
        assert_eq!(ids(Some(format!("<{}@x.org>", "x".repeat(999)).as_bytes())), [""; 0]);
    }

    #[test]
    fn of_a_long_thread_the_first_and_the_last_are_kept() {
        let all: Vec<String> = (0..1_000).map(|n| format!("{n}@x.org")).collect();
        let mut cut = Cut::default();
        let kept = thread(all.clone(), &[], &mut cut);
        assert_eq!((kept.len(), kept[0].as_str()), (REFERENCES_MAX, "0@x.org"));
        assert_eq!(kept[1..], all[901..]);
        assert_eq!(cut.into_counts()["references"], 900);
        let long = |n: usize| format!("{n}{}", "x".repeat(900));
        let kept = thread((0..100).map(long).collect(), &[], &mut Cut::default());
        assert!(kept.iter().map(String::len).sum::<usize>() <= LIST_BYTES_MAX);
        assert_eq!((&kept[0], kept.last()), (&long(0), Some(&long(99))));
        assert_eq!(thread(Vec::new(), &[], &mut Cut::default()), [""; 0]);
    }

    #[test]
    fn whoever_answers_several_mails_goes_on_with_all_of_them() {
        let id = |text: &str| text.to_owned();
        let kept =
            thread(vec![id("a"), id("b")], &[id("b"), id("a"), id("c")], &mut Cut::default());
        assert_eq!(kept, ["a", "b", "c"]);
    }
}
