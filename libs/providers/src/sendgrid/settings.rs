//! What an operator configures for one SendGrid account.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::PROVIDER;
use super::signature::{Key, public_key};
use crate::account::{check_base_url, is_in};
use crate::http_client::{check_timeouts, default_connect_timeout_ms, default_http_timeout_ms};
use crate::mail::DEFAULT_SUBJECT;
use crate::{Error, Secret};

/// All of SendGrid's hosts are in it.
const DOMAIN: &str = "sendgrid.com";

/// Keys of one kind at most: each is tried for whatever anybody posts.
const KEYS_MAX: usize = 4;

/// One SendGrid account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What hatch calls the account, since SendGrid has no public name for it.
    #[serde(default = "default_account")]
    pub account: String,
    /// The API key, which authenticates sends.
    pub api_key: Secret,
    /// The public keys of the signed event webhook, as PEM (`BEGIN PUBLIC KEY`) or as the one line of
    /// base64 that SendGrid shows. Several are believed side by side during a rotation. Without any, no
    /// report on a mail could be believed.
    #[serde(default)]
    pub event_public_keys: Vec<String>,
    /// The public keys of the security policy of Inbound Parse, in the same forms. Without any, those of
    /// the event webhook are believed there too.
    #[serde(default)]
    pub inbound_public_keys: Vec<String>,
    /// Where SendGrid's API is.
    #[serde(default = "default_base_url")]
    pub base_url: Url,
    /// The subject of a mail that has none: SendGrid takes no mail without.
    #[serde(default = "default_subject")]
    pub default_subject: String,
    /// A send without an answer is given up, and is in doubt, after this long.
    #[serde(default = "default_http_timeout_ms")]
    pub http_timeout_ms: u64,
    /// A connection that is not there by then is given up, and surely nothing was sent. Less than
    /// `http_timeout_ms`, so that the two cannot be confused.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
}

fn default_account() -> String {
    PROVIDER.to_owned()
}

fn default_base_url() -> Url {
    Url::parse("https://api.sendgrid.com").expect("a constant URL parses")
}

fn default_subject() -> String {
    DEFAULT_SUBJECT.to_owned()
}

impl Settings {
    /// Checks what types cannot say.
    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |setting, expected| Err(Error::Setting { setting, expected });
        if self.account.is_empty() {
            return refuse("account", "a name that is not empty");
        }
        let key = self.api_key.expose();
        if key.is_empty() || key.bytes().any(|b| b.is_ascii_control() || !b.is_ascii()) {
            return refuse("api_key", "a key of printable ASCII characters");
        }
        if self.default_subject.trim().is_empty() {
            return refuse("default_subject", "a subject that is not empty");
        }
        check_base_url(&self.base_url, DOMAIN)?;
        check_timeouts(self.connect_timeout_ms, self.http_timeout_ms)
    }

    /// The keys that sign events, at least one.
    pub(super) fn event_keys(&self) -> Result<Vec<Key>, Error> {
        keys("event_public_keys", &self.event_public_keys)
    }

    /// The keys that sign mail that comes in, at least one.
    pub(super) fn inbound_keys(&self) -> Result<Vec<Key>, Error> {
        if self.inbound_public_keys.is_empty() {
            return self.event_keys();
        }
        keys("inbound_public_keys", &self.inbound_public_keys)
    }

    /// Whether the account is at SendGrid itself, and not at something that stands in for it.
    #[must_use]
    pub fn is_at_provider(&self) -> bool {
        is_in(&self.base_url, DOMAIN)
    }

    pub(super) const fn http_timeout(&self) -> Duration {
        Duration::from_millis(self.http_timeout_ms)
    }

    pub(super) const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

fn keys(setting: &'static str, texts: &[String]) -> Result<Vec<Key>, Error> {
    let expected = "one to four P-256 public keys, as PEM or as base64 of their DER form";
    let few = (1..=KEYS_MAX).contains(&texts.len()).then_some(texts);
    let keys: Option<Vec<Key>> =
        few.and_then(|texts| texts.iter().map(|text| public_key(text)).collect());
    keys.ok_or(Error::Setting { setting, expected })
}
