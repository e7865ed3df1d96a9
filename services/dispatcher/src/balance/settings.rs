//! How messages are balanced among the accounts that share them.

use std::time::Duration;

use hatch_domain::time;
use hatch_routing::balance::BalanceRules;
use schemars::JsonSchema;
use serde::Deserialize;

/// What follows from how the accounts of a route do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BalanceMode {
    /// Nothing, and nothing is counted.
    Off,
    /// It is said what would be done.
    #[default]
    Advisory,
    /// It is done.
    On,
}

impl BalanceMode {
    /// The mode's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Advisory => "advisory",
            Self::On => "on",
        }
    }
}

/// How messages are balanced among the accounts that share them in a route. An account that is slow to deliver or fails
/// carries less, by ten points at a time, and what was moved comes back when all are well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BalanceSettings {
    /// `off`, `advisory` (it is said what would be done, and nothing is) or `on`.
    pub mode: BalanceMode,
    /// Between two looks, by all dispatchers together: 1,000 to 3,600,000.
    pub every_ms: u64,
    /// How long what was seen counts: 60,000 to 86,400,000.
    pub window_ms: u64,
    /// A message that was not delivered by then is slow; less than `window_ms`.
    pub slow_after_ms: u64,
    /// Of an account's messages or attempts, so many in a hundred make it bad, when they are slow or failed: 1 to 100.
    pub bad_percent: u64,
    /// Messages or attempts of an account before anything follows from them; at least 1.
    pub messages_min: u64,
    /// Between two moves among the same accounts.
    pub pause_ms: u64,
    /// After the last move, until what was moved comes back; at least `pause_ms`.
    pub rest_after_ms: u64,
}

impl Default for BalanceSettings {
    fn default() -> Self {
        Self {
            mode: BalanceMode::default(),
            every_ms: 60_000,
            window_ms: 900_000,
            slow_after_ms: 300_000,
            bad_percent: 15,
            messages_min: 20,
            pause_ms: 300_000,
            rest_after_ms: 900_000,
        }
    }
}

impl BalanceSettings {
    /// Refuses settings by which nothing would be seen, or everything.
    ///
    /// # Errors
    /// The setting's name and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let Self { every_ms, window_ms, slow_after_ms, bad_percent, messages_min, .. } = *self;
        let wrong = |key: &str, expected: &str, got: u64| {
            Err(format!("balance.{key}: expected {expected}, got {got}"))
        };
        if !(1_000..=3_600_000).contains(&every_ms) {
            return wrong("every_ms", "1000 to 3600000", every_ms);
        }
        if !(60_000..=86_400_000).contains(&window_ms) {
            return wrong("window_ms", "60000 to 86400000", window_ms);
        }
        if slow_after_ms >= window_ms {
            return wrong("slow_after_ms", "less than balance.window_ms", slow_after_ms);
        }
        if !(1..=100).contains(&bad_percent) {
            return wrong("bad_percent", "1 to 100", bad_percent);
        }
        if messages_min == 0 {
            return wrong("messages_min", "at least 1", messages_min);
        }
        if self.rest_after_ms < self.pause_ms {
            return wrong("rest_after_ms", "at least balance.pause_ms", self.rest_after_ms);
        }
        Ok(())
    }

    pub(crate) fn rules(&self) -> BalanceRules {
        BalanceRules {
            bad_percent: self.bad_percent,
            least: self.messages_min,
            pause: time::delta(Duration::from_millis(self.pause_ms)),
            rest_after: time::delta(Duration::from_millis(self.rest_after_ms)),
            ..BalanceRules::default()
        }
    }

    pub(crate) const fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms)
    }

    pub(crate) const fn slow_after(&self) -> Duration {
        Duration::from_millis(self.slow_after_ms)
    }

    pub(crate) const fn every(&self) -> Duration {
        Duration::from_millis(self.every_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_setting_is_named() {
        let good = BalanceSettings::default();
        assert_eq!(good.check(), Ok(()));
        assert_eq!(good.mode, BalanceMode::Advisory);
        for (key, wrong) in [
            ("every_ms", BalanceSettings { every_ms: 999, ..good }),
            ("window_ms", BalanceSettings { window_ms: 59_999, ..good }),
            ("slow_after_ms", BalanceSettings { slow_after_ms: 900_000, ..good }),
            ("bad_percent", BalanceSettings { bad_percent: 0, ..good }),
            ("bad_percent", BalanceSettings { bad_percent: 101, ..good }),
            ("messages_min", BalanceSettings { messages_min: 0, ..good }),
            ("rest_after_ms", BalanceSettings { rest_after_ms: 299_999, ..good }),
        ] {
            let refused = wrong.check().expect_err(key);
            assert!(refused.starts_with(&format!("balance.{key}: ")), "{refused}");
        }
    }
}
