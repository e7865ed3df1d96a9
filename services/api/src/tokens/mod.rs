//! Tokens at the door: JSON Web Tokens (RFC 7519) that somebody else gives to those who may ask, and signs.
//!
//! Who that may be is set, as an [`Issuer`] each. A token says itself by whom and how it was signed. None of that is
//! believed: it chooses an issuer that is set and a key of that issuer, and the key says by which algorithm it is
//! verified. All keys are in memory, so a request asks nobody and waits for nothing.

mod check;
mod crypto;
mod issuer;
mod jwks;
mod key;
#[cfg(test)]
mod tests;
mod text;
#[cfg(test)]
mod vectors;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use hatch_domain::Environment;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use self::check::{Checks, Verified};
pub use self::issuer::{BadIssuer, Issuer, IssuerRules, KeySource, TenantSource};
pub(crate) use self::jwks::load;
pub use self::jwks::{KeysReport, look};
pub(crate) use self::key::KeySet;
pub(crate) use self::text::read;
use crate::auth::Caller;

/// Issuers at most.
pub const ISSUERS_MAX: usize = 20;

/// How a token may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256, by a secret that both have.
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Those whose keys may be public.
    pub const PUBLIC: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// Its name in tokens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The one of that name. `none` and what it is spelled like are none.
    fn named(name: &str) -> Option<Self> {
        [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa]
            .into_iter()
            .find(|one| one.name() == name)
    }

    const fn of_crate(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// The issuers whose tokens are taken, and their keys. Cheap to clone; the clones are one.
#[derive(Clone)]
pub struct Tokens(Arc<Shared>);

struct Shared {
    /// By the name that tokens have in `iss`.
    issuers: watch::Sender<Arc<HashMap<String, Issuer>>>,
    /// How often sets of keys were looked at since the start.
    rounds: watch::Sender<u64>,
    /// Somebody needs keys that are not there.
    wake: Notify,
}

impl Default for Tokens {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Tokens {
    /// Takes tokens of these issuers. Sets of keys are fetched by [`keep`](Self::keep).
    #[must_use]
    pub fn of(issuers: Vec<Issuer>) -> Self {
        let by_name = issuers.into_iter().map(|one| (one.url().to_owned(), one)).collect();
        Self(Arc::new(Shared {
            issuers: watch::Sender::new(Arc::new(by_name)),
            rounds: watch::Sender::new(0),
            wake: Notify::new(),
        }))
    }

    /// Takes tokens of these issuers, and of no others, from now on. Keys that were fetched from the same place stay.
    pub fn replace(&self, issuers: Vec<Issuer>) {
        let old = self.issuers();
        let kept = |one: Issuer| {
            let before = old.get(one.url());
            (one.url().to_owned(), one.with_keys_of(before))
        };
        self.0.issuers.send_replace(Arc::new(issuers.into_iter().map(kept).collect()));
        self.0.wake.notify_one();
    }

    /// Whoever presents `text`, or why nobody does.
    pub(crate) fn caller(&self, text: &str, now: DateTime<Utc>) -> Result<Caller, &'static str> {
        let issuers = self.issuers();
        if issuers.is_empty() {
            return Err("no key");
        }
        let read = read(text)?;
        let issuer = read.issuer().and_then(|name| issuers.get(name));
        let issuer = issuer.ok_or("a token of an issuer that is not known")?;
        issuer.caller(text, read, now, || self.0.wake.notify_one())
    }

    /// Whether tokens are taken of an issuer that is set by that name.
    pub(crate) fn takes_from(&self, name: &str) -> bool {
        self.issuers().values().any(|issuer| issuer.name() == name)
    }

    /// Fetches the sets of keys when it is time, by `clock`, until `shutdown`.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn keep(
        &self,
        clock: Arc<dyn Environment>,
        shutdown: CancellationToken,
    ) -> Result<BoxFuture<'static, ()>, reqwest::Error> {
        let (tokens, client) = (self.clone(), crate::outgoing::client()?);
        Ok(Box::pin(async move {
            let work = tokens.keep_for_ever(&*clock, &client);
            shutdown.run_until_cancelled(work).await;
        }))
    }

    async fn keep_for_ever(&self, clock: &dyn Environment, client: &reqwest::Client) {
        loop {
            let issuers = self.issuers();
            let sets: Vec<_> = issuers.values().filter_map(Issuer::jwks).collect();
            let due = sets.iter().filter(|set| set.wait(clock.uptime()).is_zero());
            futures::future::join_all(due.map(|set| set.refresh(client, clock))).await;
            self.0.rounds.send_modify(|rounds| *rounds += 1);
            let wait = sets.iter().map(|set| set.wait(clock.uptime())).min();
            let next = async {
                match wait {
                    Some(wait) => clock.sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = next => {}
                () = self.0.wake.notified() => {}
            }
        }
    }

    /// Waits until each set of keys was asked for once, for `limit` at most.
    pub async fn looked(&self, limit: Duration) {
        if self.issuers().values().all(|issuer| issuer.jwks().is_none()) {
            return;
        }
        let mut rounds = self.0.rounds.subscribe();
        let _ = tokio::time::timeout(limit, rounds.wait_for(|rounds| *rounds > 0)).await;
    }

    /// How each set of keys is, in order of the names of the issuers.
    #[must_use]
    pub fn reports(&self) -> Vec<KeysReport> {
        let issuers = self.issuers();
        let of = |issuer: &Issuer| issuer.jwks().map(|set| set.report(issuer.name()));
        let mut reports: Vec<_> = issuers.values().filter_map(of).collect();
        reports.sort_by(|a, b| a.issuer.cmp(&b.issuer));
        reports
    }

    fn issuers(&self) -> Arc<HashMap<String, Issuer>> {
        Arc::clone(&self.0.issuers.borrow())
    }
}
