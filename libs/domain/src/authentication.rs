//! Whether a mail comes from whom it says: what its carrier found, and what follows from that.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Number;
use utoipa::ToSchema;

use crate::address::{Address, domain_to_ascii};

/// The topic of mails that are proven to be somebody else's than they say. So they make a conversation of
/// their own beside the one of the same participants.
pub const UNPROVEN_TOPIC: &str = "unproven sender";

/// Second-level names that are registries of their country and nobody's own, as in `co.uk`.
const REGISTRIES: [&str; 8] = ["ac", "co", "com", "edu", "gov", "net", "or", "org"];

/// What a check of a mail came to (RFC 8601, section 2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is proven.
    Pass,
    /// It is disproven.
    Fail,
    /// It is likely to be false.
    SoftFail,
    /// The domain says nothing of it.
    Neutral,
    /// There was nothing to check.
    None,
    /// Its own policy keeps it from counting.
    Policy,
    /// It could not be checked this time.
    TempError,
    /// What the domain publishes cannot be read.
    PermError,
}

impl Verdict {
    /// Reads a verdict; none of a word that is not one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.trim();
        let named = [
            ("pass", Self::Pass),
            ("fail", Self::Fail),
            ("softfail", Self::SoftFail),
            ("neutral", Self::Neutral),
            ("none", Self::None),
            ("policy", Self::Policy),
            ("temperror", Self::TempError),
            ("permerror", Self::PermError),
        ];
        named
            .into_iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name))
            .map(|(_, verdict)| verdict)
    }
}

/// What is known of a mail's sender. What nobody said is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = EventAuthentication)]
pub struct Authentication {
    /// Whether the host that brought it may send for the domain of the envelope's sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spf: Option<Verdict>,
    /// Whether a domain signed it; the best of several signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dkim: Option<Verdict>,
    /// Whether one of the two proves the address that it says it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dmarc: Option<Verdict>,
    /// How much it looks like advertising, by the provider's measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub spam_score: Option<Number>,
    /// The envelope's sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_from: Option<Address>,
}

/// A signature, by the domain that signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The domain.
    pub domain: String,
    /// What its check came to.
    pub verdict: Verdict,
}

/// What a carrier found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// What the check of the envelope's sender came to.
    pub spf: Option<Verdict>,
    /// The signatures; empty when there was none, absent when nobody looked.
    pub signatures: Option<Vec<Signature>>,
    /// The envelope's sender.
    pub envelope_from: Option<Address>,
    /// The provider's measure of advertising.
    pub spam_score: Option<Number>,
}

impl Authentication {
    /// Judges a mail whose `From` is `from`, by these findings.
    ///
    /// DMARC (RFC 7489) is passed by one proof of the sender's own domain, and subdomains of one
    /// organisation speak for each other. It is failed when the sender has a proof of another domain only,
    /// or none and one was disproven. A domain that publishes nothing is neither.
    #[must_use]
    pub fn of(from: &Address, findings: Findings) -> Self {
        let Findings { spf, signatures, envelope_from, spam_score } = findings;
        let best = |list: &Vec<Signature>| {
            let of = |verdict| list.iter().any(|one| one.verdict == verdict).then_some(verdict);
            let first = list.first().map_or(Verdict::None, |one| one.verdict);
            of(Verdict::Pass).or_else(|| of(Verdict::Fail)).unwrap_or(first)
        };
        let dkim = signatures.as_ref().map(best);
        let dmarc = dmarc(from, spf, &signatures, envelope_from.as_ref());
        Self { spf, dkim, dmarc, spam_score, envelope_from }
    }

    /// Whether it is proven that the mail is from whom it says.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.dmarc == Some(Verdict::Pass)
    }

    /// Whether it is disproven that the mail is from whom it says. Such a mail answers a mail of ours that
    /// it names, or stands alone: that its addresses are those of a conversation means nothing.
    #[must_use]
    pub fn is_disproven(&self) -> bool {
        self.dmarc == Some(Verdict::Fail)
    }
}

fn dmarc(
    from: &Address,
    spf: Option<Verdict>,
    signatures: &Option<Vec<Signature>>,
    envelope_from: Option<&Address>,
) -> Option<Verdict> {
    if spf.is_none() && signatures.is_none() {
        return None;
    }
    let own = |domain: &str| organisation(domain) == organisation(domain_of(from));
    let own_envelope = envelope_from.is_some_and(|address| own(domain_of(address)));
    let signed = signatures.iter().flatten();
    let proven = (spf == Some(Verdict::Pass) && own_envelope)
        || signed.clone().any(|one| one.verdict == Verdict::Pass && own(&one.domain));
    if proven {
        return Some(Verdict::Pass);
    }
    // Nothing is known of a signature that could not be checked this time.
    let unsure = signed.clone().any(|one| one.verdict == Verdict::TempError && own(&one.domain))
        || (spf == Some(Verdict::TempError) && own_envelope);
    let foreign = spf.is_some() && !own_envelope;
    let disproven = matches!(spf, Some(Verdict::Fail | Verdict::SoftFail));
    let both = disproven && signatures.is_some();
    let unsigned = spf.is_none() && signed.clone().any(|one| one.verdict == Verdict::Fail);
    Some(if !unsure && (foreign || both || unsigned) { Verdict::Fail } else { Verdict::None })
}

fn domain_of(address: &Address) -> &str {
    address.as_str().rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// The domain that an organisation registered, taken to be the last two names, or the last three where the
/// second-last is a registry's (`example.co.uk`).
fn organisation(domain: &str) -> String {
    let domain = domain.trim_end_matches('.');
    // Signatures name it as DNS has it, and addresses as people read it.
    let domain = domain_to_ascii(domain).map_or_else(|| domain.to_lowercase(), Cow::into_owned);
    let names: Vec<&str> = domain.split('.').collect();
    let of_registry = match names[..] {
        [.., second, last] => last.len() == 2 && REGISTRIES.contains(&second),
        _ => false,
    };
    let kept = if of_registry { 3 } else { 2 };
    names[names.len().saturating_sub(kept)..].join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::email(text).expect("an address")
    }

    /// A mail from Ann that was brought so.
    fn given(spf: &str, envelope: &str, signatures: &[(&str, &str)]) -> Authentication {
        let signature = |(domain, verdict): &(&str, &str)| Signature {
            domain: (*domain).to_owned(),
            verdict: Verdict::parse(verdict).expect("a verdict"),
        };
        let findings = Findings {
            spf: Verdict::parse(spf),
            signatures: Some(signatures.iter().map(signature).collect()),
            envelope_from: (!envelope.is_empty()).then(|| address(envelope)),
            spam_score: None,
        };
        Authentication::of(&address("ann@mail.example.com"), findings)
    }

    #[test]
    fn one_proof_of_the_senders_own_domain_is_enough() {
        let own = "bounce@example.com";
        for (spf, envelope, signatures) in [
            ("pass", own, &[][..]),
            ("pass", own, &[("evil.com", "fail")]),
            ("fail", "a@other.com", &[("example.com", "pass")]),
            ("none", "", &[("news.EXAMPLE.com.", "pass")]),
            ("softfail", own, &[("other.com", "pass"), ("example.com", "pass")]),
        ] {
            let found = given(spf, envelope, signatures);
            assert_eq!(found.dmarc, Some(Verdict::Pass), "{spf} {envelope} {signatures:?}");
            assert!(!found.is_disproven());
        }
    }

    #[test]
    fn a_proof_of_another_domain_proves_nothing_for_this_one() {
        for (spf, envelope, signatures) in [
            ("fail", "evil@evil.com", &[("example.com", "fail")][..]),
            ("pass", "evil@evil.com", &[("evil.com", "pass")]),
            ("pass", "evil@evil.com", &[]),
            ("none", "evil@evil.com", &[]),
            ("permerror", "evil@evil.com", &[("evil.com", "pass")]),
            ("temperror", "evil@evil.com", &[]),
            ("fail", "ann@example.com", &[]),
            ("softfail", "ann@example.com", &[("evil.com", "pass")]),
            ("pass", "", &[]),
            ("pass", "ann@example.com.evil.com", &[("notexample.com", "pass")]),
        ] {
            let found = given(spf, envelope, signatures);
            assert!(found.is_disproven(), "{spf} {envelope} {signatures:?}: {found:?}");
        }
    }

    #[test]
    fn of_a_domain_that_publishes_nothing_nothing_is_known() {
        let own = "ann@example.com";
        for (spf, signatures) in [
            ("none", &[][..]),
            ("neutral", &[]),
            ("temperror", &[]),
            ("fail", &[("example.com", "temperror")]),
        ] {
            let found = given(spf, own, signatures);
            assert_eq!(found.dmarc, Some(Verdict::None), "{spf} {signatures:?}");
        }
        let nobody_looked = Authentication::of(&address(own), Findings::default());
        assert_eq!(nobody_looked, Authentication::default());
    }

    #[test]
    fn an_organisation_is_what_was_registered() {
        for (domain, expected) in [
            ("example.com", "example.com"),
            ("a.b.Example.com", "example.com"),
            ("shop.example.co.uk", "example.co.uk"),
            ("evil.co.uk", "evil.co.uk"),
            ("mail.bücher.example", "xn--bcher-kva.example"),
            ("mail.xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("com", "com"),
            ("", ""),
        ] {
            assert_eq!(organisation(domain), expected, "{domain}");
        }
    }
}
