//! Log lines: one vocabulary of fields, no bodies, no full addresses, no secrets.
//!
//! `docs/telemetry.md` lists the fields. They are named as in `docs/VOCABULARY.md`, ids in full (`message_id`, `request_id`), a unit at
//! the end of a name (`duration_us`). An error is logged once, where it is handled, as `error`.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use anyhow::Context;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

use crate::output;
use crate::settings::{LogFormat, LogSettings};

/// What production logs. What a client library says of itself matters only when it is a warning.
pub(crate) const NORMAL: &str = "info,async_nats=warn,tokio_postgres=warn,\
    refinery_core=warn,opentelemetry=warn";

/// Crates whose own news are secrets, or addresses and texts.
const WARNINGS_ONLY: [&str; 2] = ["async_nats", "tokio_postgres"];

/// The pool of connections says of each one that it is gone: that is said once for all of them.
const POOL: &str = "deadpool.postgres";

/// The log lines of `up`: a person watches it and wants to see what is unusual, and when that is over.
pub const QUIET: &str = "warn,hatch_telemetry::presence=info,hatch_dispatcher::health=info";

/// Only errors, without that a server is away: `doctor` says so itself, and NATS' client would repeat it each time.
pub(crate) const ERRORS: &str = "error,async_nats=off,hatch_telemetry::presence=off";

/// The most that a crate may say, whatever the filter wants. Ours take care of what they log. Others do not know
/// what is secret: below these levels they log passwords in URLs, the parameters of statements, headers and bodies.
fn loudest(target: &str) -> Level {
    let name = target.split("::").next().unwrap_or_default();
    if name == "hatch" || name.starts_with("hatch_") {
        Level::TRACE
    } else if WARNINGS_ONLY.contains(&name) {
        Level::WARN
    } else if name == POOL {
        Level::ERROR
    } else {
        Level::INFO
    }
}

/// Writes to what people read: control characters are shown, and do not reach a terminal.
struct Visible<W>(W);

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(output::colored(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Takes another filter, or the usual one.
type Again = Box<dyn Fn(Option<&str>) -> anyhow::Result<()> + Send + Sync>;

/// That of the lines of this process, once there are some.
static AGAIN: OnceLock<Again> = OnceLock::new();

/// Logs by another filter from now on: the usual one, where none is set.
///
/// # Errors
/// The filter is none.
pub(crate) fn filter_again(filter: Option<&str>) -> anyhow::Result<()> {
    AGAIN.get().map_or(Ok(()), |again| again(filter))
}

fn read(filter: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(filter).with_context(|| format!("configuration: log.filter: {filter:?}"))
}

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
    let usual = filter.to_owned();
    let first = read(settings.filter.as_deref().unwrap_or(filter))?;
    let (filter, again) = reload::Layer::<EnvFilter, S>::new(first);
    let again = move |set: Option<&str>| {
        again.reload(read(set.unwrap_or(&usual))?).context("failed to change what is logged")
    };
    // A process has one; the tests of others keep theirs.
    drop(AGAIN.set(Box::new(again)));
    // Without a hint for both, whatever is below the filter is looked at line by line: clients say much of each statement.
    let cap = filter_fn(|line| *line.level() <= loudest(line.target()));
    let filter = filter.and(cap.with_max_level_hint(LevelFilter::TRACE));
    let lines = fmt::layer().with_writer(|| Visible(std::io::stderr()));
    Ok(match settings.format {
        LogFormat::Text => {
            let color = std::io::stderr().is_terminal();
            lines.with_target(false).with_ansi(color).with_filter(filter).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_line_can_be_is_known_beforehand() {
        for (filter, most) in [
            (QUIET, LevelFilter::INFO),
            (NORMAL, LevelFilter::INFO),
            ("warn,hatch_relay=debug", LevelFilter::DEBUG),
        ] {
            let layer = layer::<tracing_subscriber::Registry>(&LogSettings::default(), filter);
            assert_eq!(layer.expect("a filter").max_level_hint(), Some(most), "{filter}");
        }
    }

    #[test]
    fn others_say_no_more_than_their_news_and_we_say_what_is_asked_for() {
        for ours in ["hatch", "hatch::roles", "hatch_bus", "hatch_dispatcher::attempt"] {
            assert_eq!(loudest(ours), Level::TRACE, "{ours}");
        }
        for other in
            ["hyper", "hyper_util::client", "reqwest::connect", "rustls", "h2", "hatchet", ""]
        {
            assert_eq!(loudest(other), Level::INFO, "{other}");
        }
        assert_eq!(loudest(POOL), Level::ERROR);
        for secret in ["tokio_postgres::prepare", "async_nats", "async_nats::connector"] {
            assert_eq!(loudest(secret), Level::WARN, "{secret}");
        }
    }
}
