//! What can be configured; every default is that of `hatch up`.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use crate::Clock;

/// The simulator's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where hatch is: inbound messages are posted below it, and receipts to nowhere else.
    pub public_url: Url,
    /// The file that the record is kept in; without one it ends with the process.
    pub record_path: Option<PathBuf>,
    /// So many messages are accepted until the record is cleared; further ones are refused as if
    /// the provider were out of order, because a record that forgets is no referee. About half a
    /// kibibyte of memory each.
    pub record_messages_max: usize,
    /// The last receipt of a message is due so long after it was accepted, and the first one after
    /// half of that.
    pub receipt_delay_ms: u64,
    /// So many callbacks are under way at once.
    pub callbacks_concurrency_max: usize,
    /// So many messages may have receipts due; above, sends are throttled.
    pub callbacks_pending_max: usize,
    /// A callback is tried so often. The waits in between grow from 0.1 to 2 s.
    pub callback_attempts_max: u32,
    /// An HTTP proxy that callbacks go through, whatever their URL says.
    pub callback_proxy: Option<Url>,
    /// A callback without an answer counts as failed after this long.
    pub callback_timeout_ms: u64,
    /// The Twilio accounts.
    pub twilio: Vec<TwilioAccount>,
    /// The SendGrid accounts. None by default, since each needs a key: see
    /// [`SendGridAccount::development`].
    pub sendgrid: Vec<SendGridAccount>,
    /// The clock of the providers.
    #[serde(skip)]
    pub clock: Clock,
}

impl Config {
    /// Whether `url` is one of hatch's: scheme, host and port are those of the public URL, and it names no user.
    pub(crate) fn calls_back(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| {
            url.origin() == self.public_url.origin()
                && url.username().is_empty()
                && url.password().is_none()
        })
    }
}

/// A Twilio account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioAccount {
    /// `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// Authenticates sends, and signs webhooks.
    pub auth_token: String,
    /// Where messages that come in are posted; by default `/api/v1/webhooks/twilio` below the public URL.
    #[serde(default)]
    pub inbound_webhook_url: Option<Url>,
}

/// A SendGrid account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendGridAccount {
    /// What the record calls it.
    pub account: String,
    /// Authenticates sends.
    pub api_key: String,
    /// The private key that signs webhooks: P-256, as PEM in PKCS #8 (see
    /// [`key_pair`](crate::key_pair)).
    pub private_key: String,
    /// Where events are posted; by default `/api/v1/webhooks/sendgrid` below the public URL.
    #[serde(default)]
    pub event_webhook_url: Option<Url>,
    /// Where mails that come in are posted; by default `/api/v1/webhooks/sendgrid/inbound` below the public URL.
    #[serde(default)]
    pub inbound_webhook_url: Option<Url>,
}

impl SendGridAccount {
    /// The account that `hatch up` is configured for.
    pub fn development(private_key: impl Into<String>) -> Self {
        Self {
            account: "sendgrid".to_owned(),
            api_key: "dev-sendgrid-api-key".to_owned(),
            private_key: private_key.into(),
            event_webhook_url: None,
            inbound_webhook_url: None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_url: Url::parse("http://127.0.0.1:8080").expect("a constant URL parses"),
            record_path: None,
            record_messages_max: 2_000_000,
            receipt_delay_ms: 20,
            callbacks_concurrency_max: 512,
            callbacks_pending_max: 100_000,
            callback_attempts_max: 50,
            callback_proxy: None,
            callback_timeout_ms: 5_000,
            twilio: vec![TwilioAccount {
                account_sid: format!("AC{}", "0".repeat(32)),
                auth_token: "dev-twilio-auth-token".to_owned(),
                inbound_webhook_url: None,
            }],
            sendgrid: Vec::new(),
            clock: Clock::default(),
        }
    }
}
