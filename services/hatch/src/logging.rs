//! Log lines: one vocabulary of fields, no bodies, no full addresses, no secrets.
//!
//! Fields are named as in `docs/VOCABULARY.md`, ids in full (`message_id`, `request_id`), a unit at
//! the end of a name (`duration_us`). An error is logged once, where it is handled, as `error`.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogSettings};

/// What production logs. What a client library says of itself matters only when it is a warning.
pub(crate) const NORMAL: &str = "info,async_nats=warn,tokio_postgres=warn,refinery_core=warn";

/// What `up` logs: somebody watches it who wants to see the unusual.
pub(crate) const QUIET: &str = "warn";

/// Sends log lines to the standard error, by `filter` unless the settings have another.
///
/// # Errors
/// When the filter is none, with what is wrong.
pub(crate) fn init(settings: &LogSettings, filter: &str) -> anyhow::Result<()> {
    let filter = settings.filter.as_deref().unwrap_or(filter);
    // Below a warning it logs the parameters of every statement: addresses and texts.
    let filter = EnvFilter::try_new(format!("{filter},tokio_postgres=warn"))
        .with_context(|| format!("configuration: log.filter: {filter:?}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Text => {
            lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("failed to start logging: {error}"))
}
