//! What can be configured; every default is that of `hatch up`.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use crate::Clock;
use crate::registry::{KINDS, Kind};

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
    /// The accounts. A provider that has none of them has those of `hatch up`.
    pub accounts: Vec<Account>,
    /// Where the key files are that the providers sign with; without one they sign with keys that nobody knows.
    pub folder: Option<PathBuf>,
    /// The clock of the providers.
    #[serde(skip)]
    pub clock: Clock,
}

impl Config {
    /// Those of its accounts that are at `provider`, or else the usual ones.
    pub(crate) fn accounts_at(&self, provider: &dyn Kind) -> Vec<Account> {
        let are_there = |account: &&Account| account.provider == provider.name();
        let accounts: Vec<Account> = self.accounts.iter().filter(are_there).cloned().collect();
        if accounts.is_empty() { provider.usual() } else { accounts }
    }

    /// Where webhooks of an account are posted; `path` is where those of the provider's only one are.
    pub(crate) fn webhooks(&self, account: &Account, path: &str) -> String {
        let base = || self.public_url.as_str().trim_end_matches('/').to_owned();
        account.webhooks.as_ref().map_or_else(|| base() + path, ToString::to_string)
    }

    /// Whether `url` is one of hatch's: scheme, host and port are those of the public URL, and it names no user.
    pub(crate) fn calls_back(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| {
            url.origin() == self.public_url.origin()
                && url.username().is_empty()
                && url.password().is_none()
        })
    }
}

/// An account at a provider.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The provider's name.
    pub provider: String,
    /// Hatch's own name for it.
    pub name: String,
    /// What hatch's settings have of it, secrets included. A provider takes those that it knows.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Where its webhooks are posted, mails that come in at `/inbound` below it; by default the path of the provider's
    /// only account.
    #[serde(default)]
    pub webhooks: Option<Url>,
}

/// Without its secrets.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { provider, name, .. } = self;
        let mut account = f.debug_struct("Account");
        account.field("provider", provider).field("name", name).finish_non_exhaustive()
    }
}

impl Account {
    /// An account whose webhooks are posted to the path of the provider's only one. Settings that are no object are
    /// none.
    pub fn new(provider: impl Into<String>, name: impl Into<String>, settings: Value) -> Self {
        let settings = match settings {
            Value::Object(settings) => settings,
            _ => Map::new(),
        };
        Self { provider: provider.into(), name: name.into(), settings, webhooks: None }
    }

    /// The accounts of `hatch up`, whose secrets everybody knows.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        KINDS.iter().flat_map(|kind| kind.usual()).collect()
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
            accounts: Vec::new(),
            folder: None,
            clock: Clock::default(),
        }
    }
}
