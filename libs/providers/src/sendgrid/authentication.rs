//! What Inbound Parse says of a mail's sender, in its fields `SPF`, `dkim`, `spam_score` and `envelope`.
//!
//! An `Authentication-Results` header is not read: whoever wrote the mail may have written it, too.

use hatch_domain::address::Address;
use hatch_domain::authentication::{Findings, Signature, Verdict};
use serde_json::Number;

/// Bytes of a field at most; a longer one says nothing.
const FIELD_BYTES_MAX: usize = 4 * 1024;

/// Reads them, given what a field of the form holds.
pub(super) fn findings(
    text: impl Fn(&str) -> Option<String>,
    envelope_from: Option<&str>,
) -> Findings {
    let field = |name| text(name).filter(|text| text.len() <= FIELD_BYTES_MAX);
    Findings {
        spf: field("SPF").and_then(|text| Verdict::parse(&text)),
        signatures: field("dkim").and_then(|text| signatures(&text)),
        envelope_from: envelope_from.and_then(|text| Address::email(text).ok()),
        spam_score: field("spam_score").and_then(|text| score(&text)),
    }
}

/// Reads `{@example.com : pass, @other.com : fail}`, or `none`.
fn signatures(text: &str) -> Option<Vec<Signature>> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("none") {
        return Some(Vec::new());
    }
    let list = text.strip_prefix('{')?.strip_suffix('}')?;
    let signature = |one: &str| {
        let (domain, verdict) = one.rsplit_once(':')?;
        let domain = domain.trim().trim_start_matches('@').to_owned();
        Some(Signature { domain, verdict: Verdict::parse(verdict)? })
    };
    Some(list.split(',').filter_map(signature).collect())
}

fn score(text: &str) -> Option<Number> {
    Number::from_f64(text.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_told_by_the_domain_that_signed() {
        let signature = |domain: &str, verdict| Signature { domain: domain.to_owned(), verdict };
        let two = [signature("a.example", Verdict::Pass), signature("b.example", Verdict::Fail)];
        assert_eq!(signatures("{@a.example : pass, @b.example : fail}").as_deref(), Some(&two[..]));
        assert_eq!(signatures("none"), Some(Vec::new()));
        assert_eq!(signatures("{}"), Some(Vec::new()));
        for text in ["", "pass", "{@a.example : pass"] {
            assert_eq!(signatures(text), None, "{text}");
        }
    }

    #[test]
    fn a_score_is_a_number_that_json_has() {
        assert_eq!(score(" 0.5 "), Number::from_f64(0.5));
        for text in ["", "NaN", "inf", "1e999", "high"] {
            assert_eq!(score(text), None, "{text}");
        }
    }
}
