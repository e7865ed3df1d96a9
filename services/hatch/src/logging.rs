//! Log lines: one vocabulary of fields, no bodies, no full addresses, no secrets.
//!
//! `docs/telemetry.md` lists the fields. They are named as in `docs/VOCABULARY.md`, ids in full (`message_id`, `request_id`), a unit at
//! the end of a name (`duration_us`). An error is logged once, where it is handled, as `error`.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::settings::{LogFormat, LogSettings};

/// What production logs. What a client library says of itself matters only when it is a warning.
pub(crate) const NORMAL: &str = "info,async_nats=warn,tokio_postgres=warn,\
    refinery_core=warn,opentelemetry=warn";

/// What `up` logs: somebody watches it who wants to see the unusual.
pub(crate) const QUIET: &str = "warn";

/// What must not be overlooked.
pub(crate) const ERRORS: &str = "error";

/// Log lines on the standard error, by `filter` unless the settings have another.
///
/// # Errors
/// When the filter is none, with what is wrong.
pub(crate) fn layer<S>(
    settings: &LogSettings,
    filter: &str,
) -> anyhow::Result<Box<dyn Layer<S> + Send + Sync>>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = settings.filter.as_deref().unwrap_or(filter);
    // Below a warning it logs the parameters of every statement: addresses and texts.
    let filter = EnvFilter::try_new(format!("{filter},tokio_postgres=warn"))
        .with_context(|| format!("configuration: log.filter: {filter:?}"))?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    Ok(match settings.format {
        LogFormat::Text => {
            let color = std::io::stderr().is_terminal();
            lines.with_target(false).with_ansi(color).with_filter(filter).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    })
}
