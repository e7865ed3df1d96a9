//! Counters, gauges and histograms of atomics: a crate keeps them in its `Stats`, and whoever wants to know
//! reads them.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Upper bounds for durations, in seconds: from what a commit takes to what a provider may.
pub const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds for sizes of batches.
pub const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The number of things that are under way.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

/// One that is under way, until it is dropped.
#[must_use]
pub struct GaugeGuard<'a>(&'a Gauge);

impl Gauge {
    /// One more, for as long as the value lives.
    pub fn hold(&self) -> GaugeGuard<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        GaugeGuard(self)
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for GaugeGuard<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How often a value fell between which bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above them all.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram as it was at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSnapshot {
    /// The sum of all values.
    pub sum: f64,
    /// How many there were.
    pub count: u64,
    /// Upper bound and number of the values between it and the one before; the last is `f64::MAX`.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// An empty one with these upper bounds, which ascend.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum: AtomicU64::new(0.0_f64.to_bits()) }
    }

    /// Counts `value`.
    pub fn observe(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // The closure never gives up, so neither does the update.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Counts `duration`, in seconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// What was counted so far.
    #[must_use]
    pub fn get(&self) -> HistogramSnapshot {
        let bounds = self.bounds.iter().copied().chain([f64::MAX]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        HistogramSnapshot {
            sum: f64::from_bits(self.sum.load(Ordering::Relaxed)),
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

/// Durations, which is what most histograms are of.
impl Default for Histogram {
    fn default() -> Self {
        Self::new(SECONDS)
    }
}

/// One measure for each label. Labels come from a bounded set: never an id, never what a client wrote.
#[derive(Debug)]
pub struct Family<L, M>(RwLock<BTreeMap<L, Arc<M>>>);

impl<L, M> Default for Family<L, M> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<L: Ord + Clone, M: Default> Family<L, M> {
    /// The measure of `label`. Nothing is allocated except the first time.
    pub fn of<Q>(&self, label: &Q) -> Arc<M>
    where
        L: Borrow<Q>,
        Q: Ord + ToOwned<Owned = L> + ?Sized,
    {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(label).cloned();
        known.unwrap_or_else(|| {
            let mut measures = self.0.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(measures.entry(label.to_owned()).or_default())
        })
    }

    /// Every label with its measure, in order.
    #[must_use]
    pub fn all(&self) -> Vec<(L, Arc<M>)> {
        let measures = self.0.read().unwrap_or_else(PoisonError::into_inner);
        measures.iter().map(|(label, measure)| (label.clone(), Arc::clone(measure))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_a_bound_is_below_it_and_one_above_all_is_not_lost() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 9.0] {
            histogram.observe(value);
        }
        let observed = histogram.get();
        assert_eq!(observed.buckets, [(1.0, 2), (2.0, 1), (f64::MAX, 1)]);
        assert_eq!((observed.count, observed.sum), (4, 12.0));
    }

    #[test]
    fn a_label_has_one_measure() {
        let family = Family::<String, Counter>::default();
        family.of("b").increment();
        family.of("a").increment();
        family.of("b").increment();
        let counts: Vec<_> = family.all().into_iter().map(|(l, m)| (l, m.get())).collect();
        assert_eq!(counts, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    }
}
