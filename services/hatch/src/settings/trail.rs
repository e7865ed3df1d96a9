//! What is recorded of requests, as it is set.

use schemars::JsonSchema;
use serde::Deserialize;

/// The log of what clients asked and how it was answered, outside the log of events. Whole days go at once.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequestLogSettings {
    /// Whether it is written.
    pub enabled: bool,
    /// How long it is kept: 1 to 3,650.
    pub retention_days: u32,
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
        Self { enabled: true, retention_days: 7 }
    }
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { retention_days: 365 }
    }
}
