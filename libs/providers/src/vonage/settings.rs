//! What an operator configures for one Vonage account.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::token::SigningKey;
use crate::account::{check_base_url, is_in};
use crate::http_client::{
    check_timeouts, check_url, default_connect_timeout_ms, default_http_timeout_ms,
};
use crate::{Error, Secret};

/// All of Vonage's hosts are in one of them: the second has the name that the company had before.
const DOMAINS: [&str; 2] = ["vonage.com", "nexmo.com"];

/// One Vonage account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The account's API key, which is its name: letters, digits and dashes.
    pub api_key: String,
    /// The account's API secret, which authenticates sends where there is no `private_key`.
    #[serde(default)]
    pub api_secret: Option<Secret>,
    /// The application that sends, by its id. Required with `private_key`.
    #[serde(default)]
    pub application_id: Option<String>,
    /// The private key of the application, as PEM: it signs the token of each send.
    #[serde(default)]
    pub private_key: Option<Secret>,
    /// The account's signature secret: proves webhooks.
    pub signature_secret: Secret,
    /// Whether Vonage itself acts upon STOP, START and the like, and answers them, as it does for some senders in the
    /// United States.
    #[serde(default)]
    pub acts_on_words: bool,
    /// Where Vonage's API is.
    #[serde(default = "default_base_url")]
    pub base_url: Url,
    /// Where the world reaches hatch: receipts are asked for there. hatch's own `public_url` where it is not set.
    pub public_url: Url,
    /// A send without an answer is given up, and is in doubt, after this long.
    #[serde(default = "default_http_timeout_ms")]
    pub http_timeout_ms: u64,
    /// A connection that is not there by then is given up, and surely nothing was sent. Less than
    /// `http_timeout_ms`, so that the two cannot be confused.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
}

fn default_base_url() -> Url {
    Url::parse("https://api.nexmo.com").expect("a constant URL parses")
}

/// By what a send is authenticated.
pub(super) enum Credentials {
    /// A token of the application, signed anew for each send.
    Application { id: String, key: Box<SigningKey> },
    /// The account's key and secret.
    Account { secret: Secret },
}

impl Settings {
    /// Checks what types cannot say.
    pub(super) fn check(&self) -> Result<Credentials, Error> {
        let key = self.api_key.as_bytes();
        let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        if !(1..=64).contains(&key.len()) || !key.iter().all(is_of_name) {
            return refuse("api_key", "1 to 64 letters, digits and dashes");
        }
        if self.signature_secret.expose().is_empty() {
            return refuse("signature_secret", "a secret that is not empty");
        }
        for domain in DOMAINS {
            check_base_url(&self.base_url, domain)?;
        }
        check_url("public_url", &self.public_url)?;
        check_timeouts(self.connect_timeout_ms, self.http_timeout_ms)?;
        self.credentials()
    }

    /// The private key where there is one, since it alone has webhooks of its application, else the secret.
    fn credentials(&self) -> Result<Credentials, Error> {
        if let Some(pem) = &self.private_key {
            let id = self.application_id.clone().filter(|id| !id.is_empty());
            let Some(id) = id else {
                return refuse("application_id", "the application whose private_key it is");
            };
            return match SigningKey::read(pem) {
                Some(key) => Ok(Credentials::Application { id, key: Box::new(key) }),
                None => refuse("private_key", "an RSA private key of 2,048 to 4,096 bits, as PEM"),
            };
        }
        let secret = self.api_secret.clone().filter(|secret| !secret.expose().is_empty());
        match secret {
            Some(secret) => Ok(Credentials::Account { secret }),
            None => {
                refuse("private_key", "a private key of the application, or else an api_secret")
            }
        }
    }

    /// Whether the account is at Vonage itself, and not at something that stands in for it.
    #[must_use]
    pub fn is_at_provider(&self) -> bool {
        DOMAINS.iter().any(|domain| is_in(&self.base_url, domain))
    }

    pub(super) const fn http_timeout(&self) -> Duration {
        Duration::from_millis(self.http_timeout_ms)
    }

    pub(super) const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

const fn refuse<T>(setting: &'static str, expected: &'static str) -> Result<T, Error> {
    Err(Error::Setting { setting, expected })
}
