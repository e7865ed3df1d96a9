//! How a dispatcher works.

use std::collections::BTreeMap;
use std::time::Duration;

use hatch_domain::ids::TenantId;

use crate::account::SendingAccount;
use crate::balance::BalanceSettings;
use crate::breaker::BreakerRules;
use crate::due::Waits;
use crate::retry::RetryPolicy;

/// Between the end of the call and the end of the lease, for the outcome to be recorded.
pub const LEASE_MARGIN: Duration = Duration::from_secs(1);

/// How the dispatcher works.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Attempts under way at a time, for each queue, and for what is due of each account.
    pub concurrency_max: usize,
    /// Attempts under way at a time, for each account.
    pub account_concurrency_max: usize,
    /// From the claim of an attempt until, with no outcome, it is in doubt.
    pub lease: Duration,
    /// How long a provider's answer may take, of the accounts that are set. Others say so themselves.
    pub http_timeout: Duration,
    /// Attempts and the waits between them.
    pub retry: RetryPolicy,
    /// Between two trials of an account that its provider refuses: the first wait and the longest.
    pub account_backoff: (Duration, Duration),
    /// When nothing is given to an account for a while.
    pub breaker: BreakerRules,
    /// How messages are balanced among the accounts that share them.
    pub balance: BalanceSettings,
    /// How far behind the log's head the timers are folded. A wait that is shorter is waited in
    /// memory.
    pub timers_lag: Duration,
    /// How long it is kept what was said to providers, and what they answered.
    pub attempts_kept: Duration,
    /// The waits that decide what is due.
    pub waits: Waits,
}

impl Config {
    /// Refuses a lease that leaves no time for a call.
    ///
    /// # Errors
    /// The setting's name and what was expected.
    pub fn check(&self) -> Result<(), String> {
        if self.start_within(self.http_timeout).is_zero() {
            let least = self.http_timeout + LEASE_MARGIN;
            let (least, lease) = (least.as_millis(), self.lease.as_millis());
            return Err(format!("lease_ms: expected more than {least}, got {lease}"));
        }
        let RetryPolicy { attempts_max, backoff_min_ms, backoff_max_ms } = self.retry;
        if attempts_max == 0 {
            return Err("retry.attempts_max: expected at least 1, got 0".to_owned());
        }
        if backoff_min_ms > backoff_max_ms {
            return Err(format!(
                "retry.backoff_min_ms: expected at most backoff_max_ms, {backoff_max_ms}, got \
                 {backoff_min_ms}"
            ));
        }
        if self.waits.validity.is_zero() {
            return Err("validity_ms: expected at least 1, got 0".to_owned());
        }
        let (first, longest) = self.account_backoff;
        if first.is_zero() || first > longest {
            return Err("account_backoff_ms: expected at least 1 and the second at least as long as the first"
                .to_owned());
        }
        self.breaker.check()?;
        let [first, second] = self.waits.look_ups;
        // Two answers of one moment are one.
        if first >= second {
            return Err("look_ups_ms: expected the first earlier than the second".to_owned());
        }
        Ok(())
    }

    /// How long after the claim a call may begin that takes at most `http_timeout`, so that it ends within the lease.
    pub(crate) fn start_within(&self, http_timeout: Duration) -> Duration {
        self.lease.saturating_sub(http_timeout).saturating_sub(LEASE_MARGIN)
    }

    /// The waits that decide what is due of a message whose attempt this account made.
    pub(crate) fn waits_of(&self, account: Option<&SendingAccount>) -> Waits {
        let Some(account) = account else { return self.waits };
        Waits {
            call: self.waits.call.max(account.http_timeout + LEASE_MARGIN),
            conclusive_after: account.adapter.conclusive_after(),
            ..self.waits
        }
    }
}

/// Messages of a day, in UTC, that tenants may have sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantCaps {
    /// Those of each tenant; none: as many as there are.
    pub each: Option<u64>,
    /// Those of the tenants that have a number of their own.
    pub own: BTreeMap<TenantId, u64>,
}

impl TenantCaps {
    /// Those of a tenant; none: as many as there are.
    pub(crate) fn of(&self, tenant: TenantId) -> Option<u64> {
        self.own.get(&tenant).copied().or(self.each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_look_ups_are_not_at_the_same_time() {
        let apart = |look_ups: [u64; 2]| Config {
            concurrency_max: 1,
            account_concurrency_max: 1,
            lease: Duration::from_secs(60),
            http_timeout: Duration::from_secs(15),
            retry: RetryPolicy::default(),
            account_backoff: (Duration::from_secs(1), Duration::from_secs(30)),
            breaker: BreakerRules::default(),
            balance: BalanceSettings::default(),
            timers_lag: Duration::from_secs(5),
            attempts_kept: Duration::from_secs(86_400),
            waits: Waits {
                delivery_grace: Duration::from_secs(5),
                validity: Duration::from_secs(3_600),
                look_ups: look_ups.map(Duration::from_secs),
                conclusive_after: Duration::ZERO,
                call: Duration::from_secs(16),
                receipt: Duration::from_secs(600),
            },
        };
        assert_eq!(apart([30, 120]).check(), Ok(()));
        for look_ups in [[30, 30], [31, 30], [0, 0]] {
            let refused = apart(look_ups).check().expect_err("no two looks");
            assert!(refused.starts_with("look_ups_ms: "), "{refused}");
        }
    }
}
