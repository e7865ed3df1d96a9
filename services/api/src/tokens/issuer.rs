//! Who gives tokens, and what hatch makes of them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::account_name::is_plain;
use hatch_domain::actor::Actor;
use hatch_domain::ids::TenantId;
use hatch_domain::scope::{Scope, Scopes};
use hatch_providers::Secret;
use serde_json::{Map, Value};
use url::Url;

use super::Algorithm;
use super::check::{Checks, Verified};
use super::jwks::Jwks;
use super::key::KeySet;
use super::text::Unverified;
use crate::auth::Caller;
use crate::outgoing;

/// Scopes of a token that are looked at.
const SCOPES_MAX: usize = 100;

/// How often a set of keys is fetched.
const EVERY_SECONDS: std::ops::RangeInclusive<u64> = 30..=86_400;

/// How far clocks may be apart.
const LEEWAY_MAX: TimeDelta = TimeDelta::minutes(10);

/// An issuer as it is set.
#[derive(Debug, Clone)]
pub struct IssuerRules {
    /// What it is called here.
    pub name: String,
    /// What tokens have in `iss`.
    pub issuer: String,
    /// For whom its tokens must be: one of these is in `aud`.
    pub audience: Vec<String>,
    /// By what it signs; none for all that its keys are for.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are.
    pub keys: KeySource,
    /// Of which tenant whoever bears one is.
    pub tenant: TenantSource,
    /// The claim that has the scopes.
    pub scope_claim: String,
    /// Whether it may give `platform`.
    pub may_give_platform: bool,
    /// How far its clock may be from ours.
    pub leeway: TimeDelta,
}

/// Where the keys of an issuer are.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// The one that both have.
    Secret(Secret),
    /// The one that is set, as JWK or PEM.
    PublicKey(String),
    /// Published as a set.
    Jwks {
        /// By TLS, or on this machine.
        url: Url,
        /// How often it is fetched.
        every: Duration,
    },
}

/// Of which tenant the bearer of a token is.
#[derive(Debug, Clone)]
pub enum TenantSource {
    /// This one.
    Fixed(TenantId),
    /// The one whose id is in this claim.
    Claim(String),
}

/// An issuer that is set as none can be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {reason}")]
pub struct BadIssuer {
    /// The setting that is wrong.
    pub setting: &'static str,
    /// What was expected.
    pub reason: String,
}

/// An issuer, as its tokens are looked at.
pub struct Issuer {
    rules: IssuerRules,
    checks: Checks,
    keys: Keys,
}

enum Keys {
    Set(KeySet),
    Published(Arc<Jwks>),
}

impl Issuer {
    /// An issuer by these rules.
    ///
    /// # Errors
    /// They cannot be followed.
    pub fn new(rules: IssuerRules) -> Result<Self, BadIssuer> {
        let bad = |setting, reason: &str| Err(BadIssuer { setting, reason: reason.to_owned() });
        // It stands before the subject in events, with a slash between.
        if !is_plain(&rules.name) {
            return bad("name", "expected 1 to 32 lower-case letters, digits and single dashes");
        }
        if rules.issuer.is_empty() {
            return bad("issuer", "expected what its tokens have in iss");
        }
        if rules.audience.is_empty() || rules.audience.iter().any(String::is_empty) {
            return bad("audience", "expected what tokens for hatch have in aud, one or several");
        }
        if !(TimeDelta::zero()..=LEEWAY_MAX).contains(&rules.leeway) {
            return bad("leeway_s", "expected 0 to 600");
        }
        let of = |setting, keys: Result<KeySet, &'static str>| {
            keys.map(Keys::Set).map_err(|reason| BadIssuer { setting, reason: reason.to_owned() })
        };
        let keys = match &rules.keys {
            KeySource::Secret(secret) => {
                of("secret", KeySet::of_secret(secret.expose().as_bytes()))?
            }
            KeySource::PublicKey(text) => of("public_key", KeySet::of_public_key(text))?,
            KeySource::Jwks { url, .. } if !outgoing::is_trusted(url) => {
                return bad("jwks_url", "expected an https URL, or an http one of this machine");
            }
            KeySource::Jwks { every, .. } if !EVERY_SECONDS.contains(&every.as_secs()) => {
                return bad("jwks_refresh_s", "expected 30 to 86400");
            }
            KeySource::Jwks { url, every } => {
                Keys::Published(Arc::new(Jwks::new(url.clone(), *every)))
            }
        };
        let algorithms = algorithms(&rules.algorithms, &keys)?;
        let checks = Checks::new(&rules.issuer, &rules.audience, &algorithms, rules.leeway);
        Ok(Self { rules, checks, keys })
    }

    /// The same, with the keys that `before` has fetched, where they are from the same place.
    pub(super) fn with_keys_of(self, before: Option<&Self>) -> Self {
        match (&self.keys, before.map(|before| &before.keys)) {
            (Keys::Published(new), Some(Keys::Published(old))) if new.is(old) => {
                Self { keys: Keys::Published(Arc::clone(old)), ..self }
            }
            _ => self,
        }
    }

    /// What it is called here.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.rules.name
    }

    /// What its tokens have in `iss`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.rules.issuer
    }

    /// Where it publishes its keys, if it does.
    #[must_use]
    pub const fn keys_url(&self) -> Option<&Url> {
        match &self.rules.keys {
            KeySource::Jwks { url, .. } => Some(url),
            KeySource::Secret(_) | KeySource::PublicKey(_) => None,
        }
    }

    pub(super) fn jwks(&self) -> Option<&Jwks> {
        match &self.keys {
            Keys::Set(_) => None,
            Keys::Published(jwks) => Some(jwks),
        }
    }

    /// Whoever presents the token that was `read` from `text`. Where its key is not known, `wake` has the keys fetched.
    pub(super) fn caller(
        &self,
        text: &str,
        read: Unverified,
        now: DateTime<Utc>,
        wake: impl FnOnce(),
    ) -> Result<Caller, &'static str> {
        const UNKNOWN: &str = "a token whose key is not known";
        let algorithm = read.algorithm;
        if !self.checks.takes(algorithm) {
            return Err("a token of an algorithm that is not taken");
        }
        let verified = match &self.keys {
            Keys::Set(keys) => {
                let key = keys.find(read.kid.as_deref(), algorithm).ok_or(UNKNOWN)?;
                self.checks.verify(text, read, key, now)?
            }
            Keys::Published(jwks) => {
                let keys = jwks.keys();
                let Some(key) = keys.find(read.kid.as_deref(), algorithm) else {
                    if jwks.want() {
                        wake();
                    }
                    return Err(UNKNOWN);
                };
                self.checks.verify(text, read, key, now)?
            }
        };
        self.caller_of(verified)
    }

    fn caller_of(&self, verified: Verified) -> Result<Caller, &'static str> {
        let Verified { claims, subject, ends_at } = verified;
        let tenant = match &self.rules.tenant {
            TenantSource::Fixed(tenant) => *tenant,
            TenantSource::Claim(name) => {
                let said = claims.get(name).and_then(Value::as_str);
                said.and_then(|id| id.parse().ok()).ok_or("a token that names no tenant")?
            }
        };
        let scopes = self.scopes(&claims).ok_or("a token whose scopes cannot be read")?;
        let actor = Actor::Token { issuer: self.rules.name.clone(), subject };
        Ok(Caller { expires_at: Some(ends_at), ..Caller::of(tenant, actor, scopes) })
    }

    /// The scopes that there are: the issuer may have others for somebody else.
    fn scopes(&self, claims: &Map<String, Value>) -> Option<Scopes> {
        let said: Vec<&str> = match claims.get(&self.rules.scope_claim) {
            None => Vec::new(),
            Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
            Some(Value::Array(all)) => all.iter().map(Value::as_str).collect::<Option<_>>()?,
            Some(_) => return None,
        };
        let known =
            said.into_iter().take(SCOPES_MAX).filter_map(|scope| scope.parse::<Scope>().ok());
        let given = known.filter(|scope| self.rules.may_give_platform || *scope != Scope::Platform);
        Some(Scopes::of(&given.collect::<Vec<_>>()))
    }
}

/// What an issuer signs by: what is set, where its keys are for that.
fn algorithms(set: &[Algorithm], keys: &Keys) -> Result<Vec<Algorithm>, BadIssuer> {
    let can = match keys {
        Keys::Set(keys) => keys.algorithm().into_iter().collect(),
        Keys::Published(_) => Algorithm::PUBLIC.to_vec(),
    };
    if set.is_empty() {
        return Ok(can);
    }
    match set.iter().find(|one| !can.contains(one)) {
        None => Ok(set.to_vec()),
        Some(other) => {
            let can: Vec<_> = can.into_iter().map(Algorithm::name).collect();
            let reason = format!("{} is not what the key is for: {}", other.name(), can.join(", "));
            Err(BadIssuer { setting: "algorithms", reason })
        }
    }
}
