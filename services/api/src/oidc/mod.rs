//! Signing people in by an identity provider: OpenID Connect Core 1.0, the code flow with PKCE (RFC 7636).
//!
//! What an attempt needs until the person comes back is in the person's own cookie, sealed, so that any process can end
//! what another has begun, and nothing is kept for those who never come back. The ID token is held against the same
//! checks as tokens at the door.

mod attempt;
mod claims;
mod provider;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use hatch_providers::Secret;
use reqwest::Client;
use subtle::ConstantTimeEq as _;
use tokio::sync::{Mutex, Semaphore};
use url::Url;

pub use self::attempt::COOKIE_SECONDS;
use self::attempt::{Attempt, Sealing};
pub(crate) use self::attempt::{RETURN_BYTES_MAX, is_path};
pub use self::claims::Identity;
use self::provider::{Answer, Given, Provider};
use crate::outgoing;
use crate::tokens::{Algorithm, Checks, KeySet, load, read};

/// How long what a provider says of itself is believed, and how soon it is asked again that did not answer.
const KNOWN: Duration = Duration::from_secs(3_600);
const AGAIN: Duration = Duration::from_secs(5);
/// How often keys are fetched because one is not known.
const WANTED: Duration = Duration::from_secs(60);

/// Codes that the provider is asked about at a time: whoever invents some does not have it asked without end.
const EXCHANGES_MAX: usize = 16;

/// How far the provider's clock may be from ours.
const LEEWAY: TimeDelta = TimeDelta::seconds(60);

/// An identity provider as it is set.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// What its tokens have in `iss`; its own description is below that.
    pub issuer: String,
    /// What hatch is called there.
    pub client_id: String,
    /// By which hatch proves that.
    pub client_secret: Secret,
    /// Where people come back to.
    pub redirect: String,
    /// What is asked for: `openid`, and what says who somebody is.
    pub scopes: Vec<String>,
}

/// Settings by which nobody can be signed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {reason}")]
pub struct BadOidc {
    /// The setting that is wrong.
    pub setting: &'static str,
    /// What was expected.
    pub reason: &'static str,
}

/// Why somebody is not signed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// The provider does not answer, or not as one does.
    #[error("the identity provider cannot be asked: {0}")]
    Unavailable(String),
    /// This attempt is none that may succeed.
    #[error("{0}")]
    Refused(&'static str),
}

/// An attempt that has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Where the person's browser goes.
    pub url: Url,
    /// What it keeps meanwhile, for [`COOKIE_SECONDS`] at most.
    pub cookie: String,
}

/// An identity provider. Cheap to clone; the clones are one.
#[derive(Clone)]
pub struct Oidc(Arc<Inner>);

struct Inner {
    settings: OidcSettings,
    description: Url,
    sealing: Sealing,
    checks: Checks,
    client: Client,
    clock: Arc<dyn Environment>,
    known: Mutex<Known>,
    exchanges: Semaphore,
}

/// What is known of the provider, and since when, by the clock that nobody sets.
#[derive(Default)]
struct Known {
    provider: Option<Arc<Provider>>,
    asked_at: Option<Duration>,
    keys: Arc<KeySet>,
    keys_at: Option<Duration>,
}

impl Oidc {
    /// The provider by these settings.
    ///
    /// # Errors
    /// They are none by which anybody could be signed in.
    pub fn new(settings: OidcSettings, clock: Arc<dyn Environment>) -> Result<Self, BadOidc> {
        let bad = |setting, reason| BadOidc { setting, reason };
        let description =
            format!("{}/.well-known/openid-configuration", settings.issuer.trim_end_matches('/'));
        let description = Url::parse(&description).ok().filter(outgoing::is_trusted);
        let description = description.ok_or_else(|| {
            bad("issuer", "expected an https URL, or an http one of this machine")
        })?;
        if settings.client_id.is_empty() {
            return Err(bad("client_id", "expected what the provider calls hatch"));
        }
        if settings.client_secret.expose().is_empty() {
            return Err(bad("client_secret", "expected what the provider gave with client_id"));
        }
        if !settings.scopes.iter().any(|scope| scope == "openid") {
            return Err(bad("scopes", "expected openid among them"));
        }
        let sealing = Sealing::new(&settings)
            .ok_or_else(|| bad("client_secret", "expected a secret that a key can be made from"))?;
        let client = outgoing::client();
        let client = client.map_err(|_| bad("issuer", "there can be no HTTP client"))?;
        let audience = std::slice::from_ref(&settings.client_id);
        let checks = Checks::new(&settings.issuer, audience, &Algorithm::PUBLIC, LEEWAY);
        let (known, exchanges) = (Mutex::default(), Semaphore::new(EXCHANGES_MAX));
        let inner =
            Inner { settings, description, sealing, checks, client, clock, known, exchanges };
        Ok(Self(Arc::new(inner)))
    }

    /// Begins an attempt, after which the person goes on at `return_to`, a path of ours.
    ///
    /// # Errors
    /// The provider cannot be asked.
    pub async fn begin(&self, return_to: &str) -> Result<Begun, OidcError> {
        let Inner { settings, sealing, clock, .. } = &*self.0;
        let provider = self.provider().await?;
        let entropy = [SystemEnvironment::entropy(), SystemEnvironment::entropy()];
        let attempt = Attempt::new(return_to, clock.now(), &entropy);
        let mut url = provider.authorization.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &settings.client_id)
            .append_pair("redirect_uri", &settings.redirect)
            .append_pair("scope", &settings.scopes.join(" "))
            .append_pair("state", &attempt.state)
            .append_pair("nonce", &attempt.nonce)
            .append_pair("code_challenge", &attempt.challenge())
            .append_pair("code_challenge_method", "S256");
        let cookie = sealing.seal(&attempt);
        let cookie = cookie.ok_or(OidcError::Refused("the attempt cannot be kept"))?;
        Ok(Begun { url, cookie })
    }

    /// What tells the attempt of `cookie` from others, where it is one of ours and `query` answers it. For no other one the
    /// provider is asked.
    #[must_use]
    pub fn answered(&self, query: &str, cookie: &str) -> Option<String> {
        let Inner { sealing, clock, .. } = &*self.0;
        let attempt = sealing.open(cookie, clock.now())?;
        let answer = Answer::read(query)?;
        is_same(&attempt.state, &answer.state).then_some(attempt.state)
    }

    /// Who has signed in, by the `query` with which the person came back and the `cookie` of the attempt.
    ///
    /// # Errors
    /// Nobody has, or the provider cannot be asked.
    pub async fn finish(&self, query: &str, cookie: &str) -> Result<Identity, OidcError> {
        let Inner { settings, sealing, checks, clock, .. } = &*self.0;
        let attempt = sealing.open(cookie, clock.now());
        let attempt = attempt.ok_or(OidcError::Refused(
            "this sign-in was begun in another browser, or too long ago: begin again",
        ))?;
        let answer =
            Answer::read(query).ok_or(OidcError::Refused("this is no answer to a sign-in"))?;
        if !is_same(&attempt.state, &answer.state) {
            return Err(OidcError::Refused("this is the answer to another sign-in: begin again"));
        }
        let provider = self.provider().await?;
        let code = answer.code(&settings.issuer, provider.names_itself)?;
        let Given { id_token, access_token } = self.exchange(&provider, &code, &attempt).await?;
        let unread = |why: &'static str| {
            tracing::warn!(why, "an ID token was refused");
            OidcError::Refused("what the identity provider says of you cannot be believed")
        };
        let token = read(&id_token).map_err(unread)?;
        let (algorithm, kid) = (token.algorithm, token.kid.clone());
        if !checks.takes(algorithm) {
            return Err(unread("it is of an algorithm that is not taken"));
        }
        let keys = self.keys(&provider, kid.as_deref(), algorithm).await?;
        let key = keys.find(kid.as_deref(), algorithm);
        let key = key.ok_or_else(|| unread("its key is not known"))?;
        let verified = checks.verify(&id_token, token, key, clock.now()).map_err(unread)?;
        let about = claims::About {
            client_id: &settings.client_id,
            nonce: &attempt.nonce,
            algorithm,
            access_token: access_token.as_deref(),
        };
        about.check(&verified.claims).map_err(unread)?;
        Ok(Identity::of(&settings.issuer, verified, attempt.return_to))
    }

    /// Asks the provider once, and says how many of its keys can be used.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub async fn look(&self) -> Result<usize, OidcError> {
        let provider = self.provider().await?;
        let keys = load(&self.0.client, &provider.keys).await;
        keys.map(|keys| keys.len()).map_err(OidcError::Unavailable)
    }

    /// What the provider says of itself, of this hour.
    async fn provider(&self) -> Result<Arc<Provider>, OidcError> {
        let Inner { settings, description, client, clock, .. } = &*self.0;
        let mut known = self.0.known.lock().await;
        let age = known.asked_at.map(|at| clock.uptime().saturating_sub(at));
        let lasts = if known.provider.is_some() { KNOWN } else { AGAIN };
        if age.is_none_or(|age| age >= lasts) {
            known.asked_at = Some(clock.uptime());
            match provider::describe(client, description, &settings.issuer).await {
                Ok(provider) => known.provider = Some(Arc::new(provider)),
                Err(why) => tracing::warn!(why, "the identity provider does not describe itself"),
            }
        }
        let nobody = || OidcError::Unavailable("it does not describe itself".to_owned());
        known.provider.clone().ok_or_else(nobody)
    }

    /// The provider's keys, with the one that is looked for if it has it.
    async fn keys(
        &self,
        provider: &Provider,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<KeySet>, OidcError> {
        let Inner { client, clock, .. } = &*self.0;
        let mut known = self.0.known.lock().await;
        let age = known.keys_at.map(|at| clock.uptime().saturating_sub(at));
        let lasts = match (known.keys.find(kid, algorithm).is_some(), known.keys.len()) {
            (true, _) => KNOWN,
            (false, 0) => AGAIN,
            (false, _) => WANTED,
        };
        if age.is_none_or(|age| age >= lasts) {
            known.keys_at = Some(clock.uptime());
            match load(client, &provider.keys).await {
                Ok(keys) => known.keys = Arc::new(keys),
                Err(why) if known.keys.len() == 0 => return Err(OidcError::Unavailable(why)),
                Err(why) => tracing::warn!(why, "the keys of the identity provider cannot be had"),
            }
        }
        Ok(Arc::clone(&known.keys))
    }

    /// What the provider gives for the code.
    async fn exchange(
        &self,
        provider: &Provider,
        code: &str,
        attempt: &Attempt,
    ) -> Result<Given, OidcError> {
        let Inner { settings, client, exchanges, .. } = &*self.0;
        let too_many = |_| OidcError::Unavailable("too many sign in at once".to_owned());
        let _place = exchanges.try_acquire().map_err(too_many)?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", settings.redirect.as_str()),
            ("code_verifier", attempt.verifier.as_str()),
        ];
        provider.exchange(client, settings, &form).await
    }
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}
