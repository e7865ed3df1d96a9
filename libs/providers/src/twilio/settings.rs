//! What an operator configures for one Twilio account.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::account::{check_base_url, is_in};
use crate::http_client::{
    check_timeouts, check_url, default_connect_timeout_ms, default_http_timeout_ms,
};
use crate::{Error, Secret};

/// All of Twilio's hosts are in it.
const DOMAIN: &str = "twilio.com";

/// One Twilio account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The account's SID: `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// The account's primary auth token: authenticates sends and proves webhooks.
    pub auth_token: Secret,
    /// During a rotation the other auth token, with which webhooks are believed too.
    #[serde(default)]
    pub auth_token_secondary: Option<Secret>,
    /// Whether Twilio itself acts upon STOP, START and the like, and answers them, as it does unless an account has
    /// that turned off. Then a START lifts the block that Twilio has told of.
    #[serde(default = "default_acts_on_words")]
    pub acts_on_words: bool,
    /// Where Twilio's API is.
    #[serde(default = "default_base_url")]
    pub base_url: Url,
    /// Where the world reaches hatch: receipts are asked for there, and signatures cover it. It may
    /// have a path, for a proxy that takes one away. hatch's own `public_url` where it is not set.
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
    Url::parse("https://api.twilio.com").expect("a constant URL parses")
}

const fn default_acts_on_words() -> bool {
    true
}

impl Settings {
    /// Checks what types cannot say.
    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |setting, expected| Err(Error::Setting { setting, expected });
        let sid = self.account_sid.strip_prefix("AC").unwrap_or_default();
        // One account has one SID, by which two are told apart.
        if sid.len() != 32 || !sid.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return refuse("account_sid", "AC and 32 hexadecimal digits in lower case");
        }
        let tokens = [Some(&self.auth_token), self.auth_token_secondary.as_ref()];
        if tokens.into_iter().flatten().any(|token| token.expose().is_empty()) {
            return refuse("auth_token", "a token that is not empty");
        }
        check_base_url(&self.base_url, DOMAIN)?;
        check_url("public_url", &self.public_url)?;
        // Twilio answers 21609 to such a callback, which would fail each and every send.
        if self.public_url.host_str().is_some_and(|host| host.contains('_')) {
            return refuse("public_url", "a host name without underscores");
        }
        check_timeouts(self.connect_timeout_ms, self.http_timeout_ms)
    }

    /// Whether the account is at Twilio itself, and not at something that stands in for it.
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
