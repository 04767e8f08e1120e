//! A histogram of durations that a request updates with three atomic additions and no lock.
//!
//! The sum is kept in nanoseconds as an integer, so that it is one addition too: it wraps after 584 years of observed
//! time, which a scraper reads as a counter reset.

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Upper bounds in seconds. Exactly 0.1 is among them: the latency objective is a ratio of requests up to 100 ms.
pub const DURATION_BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The same bounds in nanoseconds, so that an observation compares integers.
const BOUNDS_NS: [u64; 16] = [
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
];
const CELLS: usize = BOUNDS_NS.len() + 1;

/// Upper bounds in seconds for MCP operations and sessions (semantic conventions for MCP, "Metrics").
pub const OPERATION_BUCKETS: [f64; 14] =
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
const OPERATION_NS: [u64; 14] = [
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    120_000_000_000,
    300_000_000_000,
];

/// Both forms of the same bounds.
#[derive(Debug)]
struct Bounds {
    seconds: &'static [f64],
    ns: &'static [u64],
}

static DURATIONS: Bounds = Bounds { seconds: &DURATION_BUCKETS, ns: &BOUNDS_NS };
static OPERATIONS: Bounds = Bounds { seconds: &OPERATION_BUCKETS, ns: &OPERATION_NS };

/// A cheap handle; clones observe into the same cells.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    bounds: &'static Bounds,
    sum_ns: AtomicU64,
    /// As many as there are bounds, and one more; the rest is not used.
    counts: [AtomicU64; CELLS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new(&DURATIONS)
    }
}

impl Histogram {
    fn new(bounds: &'static Bounds) -> Self {
        Self(Arc::new(Cells { bounds, sum_ns: AtomicU64::default(), counts: Default::default() }))
    }

    /// With [`OPERATION_BUCKETS`].
    pub(super) fn of_operations() -> Self {
        Self::new(&OPERATIONS)
    }

    /// Counts one duration.
    #[inline]
    pub fn observe(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let cell = self.0.bounds.ns.partition_point(|bound| *bound < ns);
        self.0.sum_ns.fetch_add(ns, Relaxed);
        if let Some(count) = self.0.counts.get(cell) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|c| c.load(Relaxed)).sum()
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut buckets = [(f64::INFINITY, 0u64); CELLS];
        let bounds = self.0.bounds.seconds;
        let buckets = &mut buckets[..=bounds.len()];
        for (bucket, bound) in buckets.iter_mut().zip(bounds) {
            bucket.0 = *bound;
        }
        // The count is the sum of the cells just read: `_count` and `+Inf` agree although others go on observing.
        let mut count = 0;
        for (bucket, cell) in buckets.iter_mut().zip(&self.0.counts) {
            bucket.1 = cell.load(Relaxed);
            count += bucket.1;
        }
        let sum = self.0.sum_ns.load(Relaxed) as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_of_bounds_say_the_same() {
        for bounds in [&DURATIONS, &OPERATIONS] {
            assert_eq!(bounds.seconds.len(), bounds.ns.len());
            for (seconds, ns) in bounds.seconds.iter().zip(bounds.ns) {
                assert_eq!((seconds * 1e9).round() as u64, *ns);
            }
        }
    }

    #[test]
    fn a_duration_of_exactly_100_ms_is_within_the_objective() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(100));
        histogram.observe(Duration::from_nanos(100_000_001));
        let at = BOUNDS_NS.iter().position(|b| *b == 100_000_000).unwrap();
        assert_eq!(histogram.0.counts[at].load(Relaxed), 1);
        assert_eq!(histogram.0.counts[at + 1].load(Relaxed), 1);
    }

    #[test]
    fn the_longest_duration_lands_in_the_last_cell() {
        let histogram = Histogram::default();
        histogram.observe(Duration::MAX);
        assert_eq!(histogram.0.counts[CELLS - 1].load(Relaxed), 1);
        assert_eq!(histogram.count(), 1);
    }
}
