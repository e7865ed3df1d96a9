//! What is asked of a token beside its signature: from whom it is, for whom, and when.

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::Validation;
use jsonwebtoken::errors::ErrorKind;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::key::Key;
use super::text::Unverified;
use super::{Algorithm, crypto};

/// Bytes of a subject at most. Events have it.
pub(crate) const SUBJECT_BYTES_MAX: usize = 255;

/// What tokens of an issuer are held against.
pub(crate) struct Checks {
    leeway: TimeDelta,
    by_algorithm: Vec<(Algorithm, Validation)>,
}

/// A token that is what it says.
pub(crate) struct Verified {
    pub(crate) claims: Map<String, Value>,
    pub(crate) subject: String,
    /// From when on it counts no more.
    pub(crate) ends_at: DateTime<Utc>,
}

impl Checks {
    /// Tokens that `issuer` has given for one of `audience` and signed by one of `algorithms`; clocks may differ by
    /// `leeway`.
    pub(crate) fn new(
        issuer: &str,
        audience: &[String],
        algorithms: &[Algorithm],
        leeway: TimeDelta,
    ) -> Self {
        crypto::install();
        let checks = |algorithm: &Algorithm| {
            let mut checks = Validation::new(algorithm.of_crate());
            checks.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
            checks.set_issuer(&[issuer]);
            checks.set_audience(audience);
            // By our clock, below, which tests set.
            (checks.validate_exp, checks.validate_nbf) = (false, false);
            (*algorithm, checks)
        };
        Self { leeway, by_algorithm: algorithms.iter().map(checks).collect() }
    }

    /// Whether the issuer signs by it.
    pub(crate) fn takes(&self, algorithm: Algorithm) -> bool {
        self.by_algorithm.iter().any(|(one, _)| *one == algorithm)
    }

    /// Verifies the token that `text` was read from by `key`, or says why it is not taken.
    pub(crate) fn verify(
        &self,
        text: &str,
        read: Unverified,
        key: &Key,
        now: DateTime<Utc>,
    ) -> Result<Verified, &'static str> {
        // The key's own: what the token says has only chosen the key.
        let checks = self.by_algorithm.iter().find(|(one, _)| *one == key.algorithm);
        let (_, checks) = checks.ok_or("a token of an algorithm that is not taken")?;
        let decoded = jsonwebtoken::decode::<IgnoredAny>(text, &key.decoding, checks);
        decoded.map_err(|error| refused(error.kind()))?;
        let Unverified { claims, .. } = read;
        let ends_at = times(&claims, now, self.leeway)?;
        let subject = subject(&claims).ok_or("a token without a subject")?.to_owned();
        Ok(Verified { claims, subject, ends_at })
    }
}

fn refused(why: &ErrorKind) -> &'static str {
    match why {
        ErrorKind::InvalidSignature => "a token that nobody known has signed",
        ErrorKind::InvalidAudience => "a token for somebody else",
        ErrorKind::InvalidIssuer => "a token of an issuer that is not known",
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => {
            "a token that lacks a claim"
        }
        _ => "no token that can be read",
    }
}

/// When it ends, if now is a time at which it counts.
fn times(
    claims: &Map<String, Value>,
    now: DateTime<Utc>,
    leeway: TimeDelta,
) -> Result<DateTime<Utc>, &'static str> {
    const MALFORMED: &str = "a token with a time that is none";
    let at = |name: &str| claims.get(name).map(|said| time(said).ok_or(MALFORMED)).transpose();
    let ends_at = at("exp")?.ok_or("a token that never ends")?;
    let ends_at = ends_at.checked_add_signed(leeway).ok_or(MALFORMED)?;
    if now >= ends_at {
        return Err("a token that has ended");
    }
    for name in ["nbf", "iat"] {
        if at(name)?.is_some_and(|begins_at| begins_at - leeway > now) {
            return Err("a token that does not count yet");
        }
    }
    Ok(ends_at)
}

/// Seconds since 1970, perhaps with a fraction (RFC 7519, section 2).
fn time(said: &Value) -> Option<DateTime<Utc>> {
    const SECONDS_MAX: f64 = 1e11;
    let seconds = said.as_f64().filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds))?;
    DateTime::from_timestamp(seconds as i64, 0)
}

fn subject(claims: &Map<String, Value>) -> Option<&str> {
    let subject = claims.get("sub")?.as_str()?;
    let is_one = (1..=SUBJECT_BYTES_MAX).contains(&subject.len());
    (is_one && !subject.chars().any(char::is_control)).then_some(subject)
}
