//! What makes a breaker trip and what makes it close again.

use std::time::Duration;

/// Most probes a half-open breaker may have in flight or permit in total.
pub const PROBES_MAX: u32 = 1_000;
/// Longest count window, in calls.
pub const COUNT_WINDOW_MAX: u32 = 10_000;
/// Buckets of a time window.
pub const TIME_BUCKETS: u32 = 10;
/// Shortest time window.
pub const TIME_WINDOW_MIN: Duration = Duration::from_secs(1);

/// One endpoint's breaker. Both trip conditions may be set; a breaker with neither never trips.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// Failures in a row that trip it. `None` = off. Default 5.
    pub consecutive: Option<u32>,
    /// Windowed rates that trip it. `None` = off. Default [`RatePolicy::default`].
    pub rate: Option<RatePolicy>,
    /// Time it refuses after the first trip. Default 10 s.
    pub open: Duration,
    /// The time doubles with every failed probing, up to this (before jitter). Default 300 s.
    pub open_max: Duration,
    /// Share of that time drawn at random to both sides. Range 0..=1. Default 0.5.
    pub jitter: f64,
    /// Probe successes in a row that close it. Default 2. Without meaning when `probes_total` is set.
    pub successes: u32,
    /// Probes in flight at once. Range 1..=[`PROBES_MAX`]. Default 1.
    pub probes_concurrent: u32,
    /// Probe calls in total, after which the rates decide. Range 1..=[`PROBES_MAX`]. Default `None`.
    pub probes_total: Option<u32>,
    /// A probing that has no verdict after this long counts as failed. Default 30 s.
    pub max_half_open: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            consecutive: Some(5),
            rate: Some(RatePolicy::default()),
            open: Duration::from_secs(10),
            open_max: Duration::from_mins(5),
            jitter: 0.5,
            successes: 2,
            probes_concurrent: 1,
            probes_total: None,
            max_half_open: Duration::from_secs(30),
        }
    }
}

/// Trip by rate: at or above a share of the calls in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct RatePolicy {
    /// Share of failed calls. Range 0..=1. Default 0.5.
    pub failures: f64,
    /// Share of slow calls; counts only with `slow_after`. Range 0..=1. Default 1.
    pub slow: f64,
    /// A call is slow if its first byte came later than this. `None` = no call is. Default `None`.
    pub slow_after: Option<Duration>,
    /// Default: the last 10 s.
    pub window: Window,
    /// Calls in the window before a rate means anything; at most the size of a count window. Default 20.
    pub minimum_calls: u32,
}

impl Default for RatePolicy {
    fn default() -> Self {
        Self {
            failures: 0.5,
            slow: 1.0,
            slow_after: None,
            window: Window::Time(Duration::from_secs(10)),
            minimum_calls: 20,
        }
    }
}

/// The calls a rate is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last N calls. Range 1..=[`COUNT_WINDOW_MAX`].
    Count(u32),
    /// The last while, in [`TIME_BUCKETS`] buckets. At least [`TIME_WINDOW_MIN`].
    Time(Duration),
}
