//! A set of keys that an issuer publishes (RFC 7517): fetched at an interval, and once a minute at most where a token
//! names a key that is not in it. What was fetched last stays while nobody answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::Environment;
use reqwest::Client;
use tokio::sync::watch;
use url::Url;

use super::key::KeySet;
use crate::outgoing;

/// Bytes of a set at most.
const SET_BYTES_MAX: usize = 256 * 1024;

/// How soon a set is fetched again that could not be had, and that a token has asked for.
const AGAIN: Duration = Duration::from_secs(30);
const WANTED: Duration = Duration::from_secs(60);

/// A set of keys at a URL.
pub(super) struct Jwks {
    url: Url,
    every: Duration,
    keys: watch::Sender<Arc<KeySet>>,
    /// Whether a token has named a key that is not there.
    is_wanted: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When it was asked for last, and when it is due, by the clock that nobody sets.
    tried_at: Option<Duration>,
    due_at: Duration,
    loaded_at: Option<DateTime<Utc>>,
    error: Option<String>,
}

/// How a set of keys is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysReport {
    /// The issuer's name in the settings.
    pub issuer: String,
    /// How many keys are in it.
    pub keys: usize,
    /// When it was fetched last.
    pub loaded_at: Option<DateTime<Utc>>,
    /// Why it could not be fetched since.
    pub error: Option<String>,
}

impl Jwks {
    pub(super) fn new(url: Url, every: Duration) -> Self {
        Self {
            url,
            every,
            keys: watch::Sender::new(Arc::default()),
            is_wanted: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Whether it is the same set, fetched as often.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.url == other.url && self.every == other.every
    }

    pub(super) fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.borrow())
    }

    /// Has it fetched soon. Whether somebody has to be told.
    pub(super) fn want(&self) -> bool {
        !self.is_wanted.swap(true, Ordering::Relaxed)
    }

    /// How long it is until it is to be fetched; nothing where it is time.
    pub(super) fn wait(&self, uptime: Duration) -> Duration {
        let state = self.state();
        let Some(tried_at) = state.tried_at else { return Duration::ZERO };
        let wanted = self.is_wanted.load(Ordering::Relaxed).then_some(tried_at + WANTED);
        let next = wanted.map_or(state.due_at, |wanted| wanted.min(state.due_at));
        next.saturating_sub(uptime)
    }

    pub(super) async fn refresh(&self, client: &Client, clock: &dyn Environment) {
        // Whoever wants one from now on wants a later one.
        self.is_wanted.store(false, Ordering::Relaxed);
        self.state().tried_at = Some(clock.uptime());
        let loaded = load(client, &self.url).await;
        let mut state = self.state();
        let uptime = clock.uptime();
        match loaded {
            Ok(keys) => {
                self.keys.send_replace(Arc::new(keys));
                state.due_at = uptime + self.every;
                state.loaded_at = Some(clock.now());
                if state.error.take().is_some() {
                    tracing::info!(host = self.host(), "the keys of an issuer are there again");
                }
            }
            Err(why) => {
                state.due_at = uptime + self.every.min(AGAIN);
                if state.error.as_ref() != Some(&why) {
                    let (host, error) = (self.host(), &why);
                    tracing::warn!(
                        host,
                        error,
                        "the keys of an issuer cannot be had: those of before stay"
                    );
                }
                state.error = Some(why);
            }
        }
    }

    pub(super) fn report(&self, issuer: &str) -> KeysReport {
        let state = self.state();
        KeysReport {
            issuer: issuer.to_owned(),
            keys: self.keys.borrow().len(),
            loaded_at: state.loaded_at,
            error: state.error.clone(),
        }
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fetches the set at `url`.
pub(crate) async fn load(client: &Client, url: &Url) -> Result<KeySet, String> {
    let (status, body) = outgoing::read(client.get(url.clone()), SET_BYTES_MAX).await?;
    if !status.is_success() {
        return Err(format!("the answer is {status}"));
    }
    KeySet::of_jwks(&body)
}

/// Fetches the set at `url` once, and says how many of its keys can be used.
///
/// # Errors
/// Why it cannot be had.
pub async fn look(url: &Url) -> Result<usize, String> {
    let client = outgoing::client().map_err(|error| error.to_string())?;
    load(&client, url).await.map(|keys| keys.len())
}
