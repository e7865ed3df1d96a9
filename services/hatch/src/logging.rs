//! Log lines: one vocabulary of fields, no bodies, no full addresses, no secrets.
//!
//! Fields are named as in `docs/VOCABULARY.md`, ids in full (`message_id`, `request_id`), a unit at
//! the end of a name (`duration_us`). An error is logged once, where it is handled, as `error`.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogSettings};

/// Sends log lines to the standard error.
///
/// # Errors
/// When the filter is none, with what is wrong.
pub(crate) fn init(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.filter)
        .with_context(|| format!("configuration: log.filter: {:?}", settings.filter))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("failed to start logging: {error}"))
}
