//! Metrics as OpenMetrics text.

use std::fmt;

use hatch_telemetry::measure::HistogramSnapshot;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// Names and values of labels; none for a metric that has one sample.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// Values by their labels.
pub(crate) type Samples<T> = Vec<(Labels, T)>;

/// A metric with its values at one moment.
#[derive(Debug)]
pub(crate) struct Metric {
    /// Without the `_total` of a counter.
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) values: Values,
}

#[derive(Debug)]
pub(crate) enum Values {
    Counter(Samples<u64>),
    Gauge(Samples<f64>),
    Histogram(Samples<HistogramSnapshot>),
}

impl Values {
    /// A gauge without labels.
    pub(crate) fn gauge(value: f64) -> Self {
        Self::Gauge(vec![(vec![], value)])
    }

    const fn kind(&self) -> MetricType {
        match self {
            Self::Counter(_) => MetricType::Counter,
            Self::Gauge(_) => MetricType::Gauge,
            Self::Histogram(_) => MetricType::Histogram,
        }
    }
}

/// The text, which also names the metrics that have no value.
pub(crate) fn encode(metrics: Vec<Metric>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(metrics)));
    let mut page = String::new();
    text::encode(&mut page, &registry).expect("a string takes every text");
    page
}

#[derive(Debug)]
struct Page(Vec<Metric>);

impl Collector for Page {
    fn encode(&self, mut page: DescriptorEncoder) -> fmt::Result {
        for Metric { name, help, values } in &self.0 {
            let metric = page.encode_descriptor(name, help, None, values.kind())?;
            match values {
                Values::Counter(samples) => each(metric, samples, |mut encoder, value| {
                    encoder.encode_counter::<NoLabelSet, u64, f64>(value, None)
                }),
                Values::Gauge(samples) => {
                    each(metric, samples, |mut encoder, value| encoder.encode_gauge(value))
                }
                Values::Histogram(samples) => each(metric, samples, |mut encoder, value| {
                    let HistogramSnapshot { sum, count, buckets } = value;
                    encoder.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
                }),
            }?;
        }
        Ok(())
    }
}

fn each<T>(
    mut metric: MetricEncoder<'_>,
    samples: &Samples<T>,
    write: impl Fn(MetricEncoder<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (labels, value) in samples {
        // Without labels this writes none, not empty braces.
        write(metric.encode_family(labels)?, value)?;
    }
    Ok(())
}
