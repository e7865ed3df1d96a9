//! What the appender counts.

use std::time::Duration;

use hatch_telemetry::measure::{Counter, Family, Histogram, SIZES};

use crate::{AppendError, Appended};

/// What an [`Appender`](crate::Appender) has done since it started.
#[derive(Debug)]
pub struct AppenderStats {
    /// Appends that were answered, by how they ended.
    pub appends: Family<&'static str, Counter>,
    /// Events of each committed batch.
    pub batch_events: Histogram,
    /// Commands of each committed batch.
    pub batch_commands: Histogram,
    /// How long each committed batch took, in seconds.
    pub batch_seconds: Histogram,
}

impl Default for AppenderStats {
    fn default() -> Self {
        Self {
            appends: Family::default(),
            batch_events: Histogram::new(SIZES),
            batch_commands: Histogram::new(SIZES),
            batch_seconds: Histogram::default(),
        }
    }
}

impl AppenderStats {
    pub(crate) fn committed(&self, commands: usize, events: usize, took: Duration) {
        let size = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        self.batch_commands.observe(size(commands));
        self.batch_events.observe(size(events));
        self.batch_seconds.observe_duration(took);
    }
}

/// The name of an outcome, as metrics and spans have it.
pub(crate) const fn outcome(outcome: &Result<Appended, AppendError>) -> &'static str {
    match outcome {
        Ok(Appended::Committed { .. }) => "committed",
        Ok(Appended::Duplicate { .. }) => "duplicate",
        Err(AppendError::Conflict { .. }) => "conflict",
        Err(AppendError::KeyReused) => "key_reused",
        Err(AppendError::ForeignTenant(_)) => "foreign_tenant",
        Err(AppendError::ForeignKind(_)) => "foreign_kind",
        Err(AppendError::Fenced) => "fenced",
        Err(AppendError::Refused(_)) => "refused",
        Err(AppendError::Overloaded) => "overloaded",
        Err(AppendError::Unavailable) => "unavailable",
    }
}
