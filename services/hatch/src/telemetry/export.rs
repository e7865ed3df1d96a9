//! Spans to a collector, by OTLP over HTTP.

use std::pin::Pin;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};
use tokio::runtime::Handle;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Registry;

/// How long the last export may take at the end of the process.
pub(super) const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// How long one export may take, its repetitions included.
const EXPORT_MAX: Duration = Duration::from_secs(5);

/// How long a span waits for others to be exported with.
const EXPORT_DELAY: Duration = Duration::from_secs(1);

/// Spans that wait to be exported; more are dropped, and work goes on.
const QUEUE_SPANS_MAX: usize = 8_192;

/// Bytes of a collector's answer that are looked at.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Exports to the collector at `endpoint` the given share of the traces that begin here, and those
/// that their client wants exported.
pub(super) fn provider(endpoint: &str, sample_ratio: f64) -> anyhow::Result<SdkTracerProvider> {
    let client = Client { http: crate::http_client(EXPORT_MAX)?, runtime: Handle::current() };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(EXPORT_MAX)
        .build()
        // The error itself may quote a password.
        .map_err(|_| {
            anyhow::anyhow!(
                "configuration: telemetry.otlp_endpoint: expected a URL such as http://127.0.0.1:4318"
            )
        })?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_SPANS_MAX)
        .with_scheduled_delay(EXPORT_DELAY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let resource = Resource::builder()
        .with_service_name(env!("CARGO_PKG_NAME"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample_ratio))))
        .with_resource(resource)
        .build())
}

/// Makes spans of `tracing` those of OpenTelemetry, with their own fields only.
pub(super) fn layer(provider: &SdkTracerProvider) -> OpenTelemetryLayer<Registry, SdkTracer> {
    OpenTelemetryLayer::new(provider.tracer(env!("CARGO_PKG_NAME")))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
}

/// Our HTTP client for the exporter, whose thread is none of the runtime's.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
}

type ExportAnswer = Result<Response<Bytes>, HttpError>;

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = ExportAnswer> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let answered = self.runtime.spawn(send(self.http.clone(), request));
        Box::pin(async move { answered.await? })
    }
}

async fn send(http: reqwest::Client, request: Request<Bytes>) -> ExportAnswer {
    let mut answer = http.execute(request.try_into()?).await?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err("the collector's answer is too long".into());
        }
    }
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        *headers = answer.headers().clone();
    }
    Ok(response.body(Bytes::from(body))?)
}
