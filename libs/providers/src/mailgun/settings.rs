//! What an operator configures for one Mailgun account.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::account::{check_base_url, is_in};
use crate::http_client::{check_timeouts, default_connect_timeout_ms, default_http_timeout_ms};
use crate::mail::DEFAULT_SUBJECT;
use crate::{Error, Secret};

/// All of Mailgun's hosts are in it.
const DOMAIN: &str = "mailgun.net";

/// Bytes of a domain's name (RFC 1035, section 2.3.4).
const DOMAIN_BYTES_MAX: usize = 253;

/// Events of a send may be missing for so long: Mailgun writes them where they are looked for with a delay
/// (<https://documentation.mailgun.com/docs/mailgun/user-manual/events/events>).
const EVENTS_SETTLED_AFTER_MS: u64 = 30 * 60 * 1_000;

/// One domain at Mailgun that sends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The sending domain, such as `mail.example.com`. So the log calls the account.
    pub domain: String,
    /// The API key: authenticates sends, and reads the domain and its events. A key that may only send cannot tell what
    /// became of a send without an answer.
    pub api_key: Secret,
    /// The HTTP webhook signing key, which proves webhooks.
    pub signing_key: Secret,
    /// During a rotation the signing key from before, with which webhooks are believed too.
    #[serde(default)]
    pub signing_key_previous: Option<Secret>,
    /// Where Mailgun's API is: `https://api.eu.mailgun.net` for domains of the region EU.
    #[serde(default = "default_base_url")]
    pub base_url: Url,
    /// The subject of a mail that has none.
    #[serde(default = "default_subject")]
    pub default_subject: String,
    /// How long after a send without an answer the absence of its events says that Mailgun has not got the mail.
    #[serde(default = "default_events_settled_after_ms")]
    pub events_settled_after_ms: u64,
    /// A send without an answer is given up, and is in doubt, after this long.
    #[serde(default = "default_http_timeout_ms")]
    pub http_timeout_ms: u64,
    /// A connection that is not there by then is given up, and surely nothing was sent. Less than
    /// `http_timeout_ms`, so that the two cannot be confused.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
}

fn default_base_url() -> Url {
    Url::parse("https://api.mailgun.net").expect("a constant URL parses")
}

fn default_subject() -> String {
    DEFAULT_SUBJECT.to_owned()
}

const fn default_events_settled_after_ms() -> u64 {
    EVENTS_SETTLED_AFTER_MS
}

impl Settings {
    /// Checks what types cannot say.
    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |setting, expected| Err(Error::Setting { setting, expected });
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        let is_domain = (1..=DOMAIN_BYTES_MAX).contains(&self.domain.len())
            && self.domain.bytes().all(is_of_name)
            && !self.domain.starts_with('.')
            && !self.domain.contains("..");
        if !is_domain {
            return refuse("domain", "the name of a domain, such as mail.example.com");
        }
        let is_key = |key: &Secret| {
            let key = key.expose();
            !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let keys = [
            ("api_key", Some(&self.api_key)),
            ("signing_key", Some(&self.signing_key)),
            ("signing_key_previous", self.signing_key_previous.as_ref()),
        ];
        for (setting, key) in keys {
            if key.is_some_and(|key| !is_key(key)) {
                return refuse(setting, "a key of printable ASCII characters");
            }
        }
        if self.default_subject.trim().is_empty() {
            return refuse("default_subject", "a subject that is not empty");
        }
        if self.events_settled_after() >= super::look_up::KEPT {
            return refuse(
                "events_settled_after_ms",
                "less than 23 hours, for which events are kept",
            );
        }
        check_base_url(&self.base_url, DOMAIN)?;
        check_timeouts(self.connect_timeout_ms, self.http_timeout_ms)
    }

    /// The keys that sign webhooks.
    pub(super) fn signing_keys(&self) -> Vec<Secret> {
        [Some(&self.signing_key), self.signing_key_previous.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Whether the account is at Mailgun itself, and not at something that stands in for it.
    #[must_use]
    pub fn is_at_provider(&self) -> bool {
        is_in(&self.base_url, DOMAIN)
    }

    pub(super) const fn events_settled_after(&self) -> Duration {
        Duration::from_millis(self.events_settled_after_ms)
    }

    pub(super) const fn http_timeout(&self) -> Duration {
        Duration::from_millis(self.http_timeout_ms)
    }

    pub(super) const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}
