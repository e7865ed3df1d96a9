//! What is recorded of requests, as it is set.

use std::ops::RangeInclusive;

use anyhow::ensure;
use chrono::TimeDelta;
use hatch_api::TrailRules;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Settings;

/// How many days the request log may be kept.
const REQUEST_DAYS: RangeInclusive<u32> = 1..=3_650;

/// How many days the audit may be kept: PostgreSQL drops none of it sooner, whoever asks.
const AUDIT_DAYS: RangeInclusive<u32> = 30..=3_650;

/// The log of what clients asked and how it was answered, outside the log of events. Whole days go at once.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequestLogSettings {
    /// Whether it is written. What was written before goes in its time in any case.
    pub enabled: bool,
    /// How long it is kept: 1 to 3,650.
    pub retention_days: u32,
    /// Bytes of it. Beyond them the oldest days go, and then nothing more is written to it.
    pub bytes_max: u64,
}

/// What is kept of the audit. What the log of events says is kept as long as that; the rest goes whole weeks at once.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSettings {
    /// How long refused requests, looks at raw bodies and exports are kept: 30 to 3,650.
    pub retention_days: u32,
}

impl Default for RequestLogSettings {
    fn default() -> Self {
        Self { enabled: true, retention_days: 7, bytes_max: 16 << 30 }
    }
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { retention_days: 365 }
    }
}

impl Settings {
    /// What is recorded of requests, and how long it is kept.
    pub(crate) fn trail_rules(&self) -> anyhow::Result<TrailRules> {
        let Self { requests, audit, .. } = self;
        let kept = days("requests", requests.retention_days, &REQUEST_DAYS)?;
        let audit = days("audit", audit.retention_days, &AUDIT_DAYS)?;
        Ok(TrailRules {
            logs_requests: requests.enabled,
            requests: kept,
            requests_bytes_max: requests.bytes_max,
            audit,
        })
    }
}

fn days(section: &str, days: u32, allowed: &RangeInclusive<u32>) -> anyhow::Result<TimeDelta> {
    let (least, most) = (allowed.start(), allowed.end());
    ensure!(
        allowed.contains(&days),
        "configuration: {section}.retention_days: expected {least} to {most}, got {days}"
    );
    Ok(TimeDelta::days(days.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_too_short_or_for_ever_is_refused_by_its_key() {
        let rules = |requests, audit| {
            let mut settings = Settings::default();
            (settings.requests.retention_days, settings.audit.retention_days) = (requests, audit);
            settings.trail_rules().map_err(|error| error.to_string())
        };
        let days = TimeDelta::days;
        let kept = rules(1, 30).expect("valid");
        assert_eq!((kept.requests, kept.audit), (days(1), days(30)));
        for (requests, audit, key) in
            [(0, 30, "requests"), (3_651, 30, "requests"), (7, 29, "audit")]
        {
            let refused = rules(requests, audit).expect_err("refused");
            assert!(refused.contains(&format!("{key}.retention_days: expected")), "{refused}");
        }
        let mut settings = Settings::default();
        settings.requests.enabled = false;
        let rules = settings.trail_rules().expect("valid");
        assert!(
            !rules.logs_requests && rules.requests == days(7),
            "what there is goes all the same"
        );
    }
}
