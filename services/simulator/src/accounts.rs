//! Disturbances of whole provider accounts.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A slow account without a stated latency answers after this.
const SLOW: Duration = Duration::from_secs(1);

/// How an account behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
}

/// A disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disturbance {
    pub(crate) mode: Mode,
    /// Answers wait so long, whatever the mode.
    #[serde(default)]
    pub(crate) latency_ms: u64,
}

impl Disturbance {
    pub(crate) fn latency(self) -> Duration {
        match (self.mode, self.latency_ms) {
            (Mode::Slow, 0) => SLOW,
            (_, milliseconds) => Duration::from_millis(milliseconds),
        }
    }
}

/// The disturbances of the accounts that have one. Only configured accounts get in.
#[derive(Default)]
pub(crate) struct Accounts(Mutex<HashMap<String, Disturbance>>);

impl Accounts {
    pub(crate) fn get(&self, account: &str) -> Disturbance {
        self.lock().get(account).copied().unwrap_or_default()
    }

    pub(crate) fn set(&self, account: &str, disturbance: Disturbance) {
        self.lock().insert(account.to_owned(), disturbance);
    }

    pub(crate) fn calm(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Disturbance>> {
        self.0.lock().expect("nothing panics while it holds the accounts")
    }
}
