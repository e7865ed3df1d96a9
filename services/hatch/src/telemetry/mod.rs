//! What a process tells of itself: log lines, traces to an OpenTelemetry collector, metrics for
//! Prometheus. `docs/telemetry.md` says what there is.

mod export;
pub(crate) mod exposition;
pub(crate) mod kept;
pub(crate) mod metrics;

use anyhow::Context;
use hatch_telemetry::trace;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

use crate::logging;
use crate::settings::Settings;

/// The collector of every program that speaks OpenTelemetry, where the settings have no other.
const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// What was started; [`finish`](Telemetry::finish) it, or the last spans are lost.
#[must_use]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Starts log lines, by `filter` unless the settings have another, and the export of traces if there
/// is a collector. Once in a process.
///
/// # Errors
/// A bad filter, endpoint or share, with the setting's name.
pub fn start(settings: &Settings, filter: &str) -> anyhow::Result<Telemetry> {
    let sample_ratio = settings.telemetry.sample_ratio;
    anyhow::ensure!(
        (0.0..=1.0).contains(&sample_ratio),
        "configuration: telemetry.sample_ratio: expected a number from 0 to 1, got {sample_ratio}"
    );
    let given = settings.telemetry.otlp_endpoint.clone();
    let endpoint = given.or_else(|| std::env::var(ENDPOINT_VARIABLE).ok());
    let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty());
    let provider = match endpoint {
        Some(endpoint) => Some(export::provider(&endpoint, sample_ratio)?),
        None => None,
    };
    let exported = provider.as_ref().map(|provider| {
        let ours = Targets::new().with_target(trace::TARGET, LevelFilter::TRACE);
        export::layer(provider).with_filter(ours)
    });
    let lines = logging::layer(&settings.log, filter)?;
    let subscriber = Registry::default().with(exported).with(lines);
    tracing::subscriber::set_global_default(subscriber).context("failed to start logging")?;
    Ok(Telemetry(provider))
}

impl Telemetry {
    /// Exports what is left, within a few seconds.
    pub async fn finish(self) {
        let Some(provider) = self.0 else { return };
        // It waits for a thread of its own, which waits for tasks of this runtime.
        let ended = tokio::task::spawn_blocking(move || {
            provider.shutdown_with_timeout(export::SHUTDOWN_MAX)
        });
        if let Ok(Err(error)) = ended.await {
            tracing::warn!(error = %error, "the last spans were not exported");
        }
    }
}
