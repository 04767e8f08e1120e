//! Gradient2: the limit follows the ratio of the long-term to the present latency. Growing latency means a queue.

use std::time::Duration;

/// Parameters; the defaults are those of Netflix's concurrency-limits, where the algorithm comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gradient2Policy {
    /// Limit to begin with. Default 20.
    pub initial: u32,
    /// Default 20.
    pub min: u32,
    /// Default 200.
    pub max: u32,
    /// Share of each step that is taken. Default 0.2.
    pub smoothing: f64,
    /// Requests that may queue at the endpoint. Default 4.
    pub queue: u32,
    /// Samples of the long-term average. Default 600.
    pub long_window: u32,
    /// Latency may grow by this factor before the limit shrinks. Default 1.5.
    pub tolerance: f64,
}

impl Default for Gradient2Policy {
    fn default() -> Self {
        Self { initial: 20, min: 20, max: 200, smoothing: 0.2, queue: 4, long_window: 600, tolerance: 1.5 }
    }
}

/// Samples whose plain mean the long-term average begins with.
const WARM_UP: u32 = 10;
const GRADIENT_MIN: f64 = 0.5;
/// A long-term average more than this above the present latency is drift from an old overload...
const DRIFT: f64 = 2.0;
/// ...and shrinks by this with each sample.
const DRIFT_FIX: f64 = 0.95;

/// The algorithm; [`crate::Limiter`] shares it between threads.
#[derive(Clone, Debug)]
pub struct Gradient2 {
    policy: Gradient2Policy,
    limit: f64,
    long: f64,
    samples: u32,
}

impl Gradient2 {
    /// At the initial limit.
    pub fn new(policy: Gradient2Policy) -> Self {
        let limit = f64::from(policy.initial.clamp(policy.min.max(1), policy.max.max(policy.min).max(1)));
        Self { policy, limit, long: 0.0, samples: 0 }
    }

    /// The present limit.
    pub fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// Takes the latency of a call that began with `in_flight` calls under way, itself included. A dropped call
    /// (overload, timeout) has no honest latency: it counts as the steepest gradient.
    pub fn on_sample(&mut self, latency: Duration, in_flight: u32, dropped: bool) -> u32 {
        let gradient = if dropped { GRADIENT_MIN } else { self.gradient(latency.as_secs_f64().max(1e-9)) };
        // Without load the latency says nothing about a higher limit.
        if !dropped && f64::from(in_flight) < self.limit / 2.0 {
            return self.limit();
        }
        let wanted = self.limit * gradient + if dropped { 0.0 } else { f64::from(self.policy.queue) };
        let smoothing = self.policy.smoothing.clamp(0.0, 1.0);
        let next = self.limit * (1.0 - smoothing) + wanted * smoothing;
        let min = f64::from(self.policy.min.max(1));
        self.limit = next.clamp(min, f64::from(self.policy.max).max(min));
        self.limit()
    }

    fn gradient(&mut self, short: f64) -> f64 {
        if self.samples < WARM_UP {
            self.samples += 1;
            self.long += (short - self.long) / f64::from(self.samples);
        } else {
            let factor = 2.0 / (f64::from(self.policy.long_window) + 1.0);
            self.long = self.long * (1.0 - factor) + short * factor;
        }
        let long = self.long;
        if long / short > DRIFT {
            self.long *= DRIFT_FIX;
        }
        (self.policy.tolerance * long / short).clamp(GRADIENT_MIN, 1.0)
    }
}
