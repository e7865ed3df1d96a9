//! Disturbances of whole provider accounts.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A slow account without a stated latency answers after this.
const SLOW: Duration = Duration::from_secs(1);

/// How an account behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// As it should.
    #[default]
    Up,
    /// Every request fails with the provider's own error.
    Down,
    /// Every request is throttled.
    Throttled,
    /// Requests are taken at once and answered late.
    Slow,
    /// Messages are taken and recorded, and the calls that sent them never answered. Look-ups are answered.
    Mute,
    /// No credential is taken: every request is answered as one with a wrong one is.
    Unauthorized,
    /// The account is suspended.
    Suspended,
    /// The account has no credit.
    NoCredit,
}

/// A disturbance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disturbance {
    pub(crate) mode: Mode,
    /// Answers wait so long, whatever the mode.
    #[serde(default)]
    pub(crate) latency_ms: u64,
    /// The only token or key that is taken, in the place of the configured one: somebody has rotated it.
    #[serde(default, skip_serializing)]
    pub(crate) credential: Option<String>,
}

impl Disturbance {
    pub(crate) const fn latency(&self) -> Duration {
        match (self.mode, self.latency_ms) {
            (Mode::Slow, 0) => SLOW,
            (_, milliseconds) => Duration::from_millis(milliseconds),
        }
    }
}

/// The disturbances of the accounts that have one, by what their providers call them. Only configured accounts get in.
#[derive(Default)]
pub(crate) struct Disturbances(Mutex<HashMap<String, Disturbance>>);

impl Disturbances {
    pub(crate) fn get(&self, account: &str) -> Disturbance {
        self.lock().get(account).cloned().unwrap_or_default()
    }

    pub(crate) fn set(&self, account: &str, disturbance: Disturbance) {
        self.lock().insert(account.to_owned(), disturbance);
    }

    /// The credential that an account takes now, of which `configured` is the usual one; none when it takes none.
    pub(crate) fn credential(&self, account: &str, configured: &str) -> Option<String> {
        let Disturbance { mode, credential, .. } = self.get(account);
        (mode != Mode::Unauthorized).then(|| credential.unwrap_or_else(|| configured.to_owned()))
    }

    pub(crate) fn calm(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Disturbance>> {
        self.0.lock().expect("nothing panics while it holds the accounts")
    }
}
