//! AIMD: one more while all is well, a tenth less at each sign of overload. For streams and models, whose latency is
//! their length and says nothing about queues.

use std::time::Duration;

/// Parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AimdPolicy {
    /// Limit to begin with. Default 20.
    pub initial: u32,
    /// Default 20.
    pub min: u32,
    /// Default 200.
    pub max: u32,
    /// Factor at overload. Range 0.5..1. Default 0.9.
    pub backoff: f64,
    /// A first byte later than this is a sign of overload. Default 5 s.
    pub timeout: Duration,
}

impl Default for AimdPolicy {
    fn default() -> Self {
        Self { initial: 20, min: 20, max: 200, backoff: 0.9, timeout: Duration::from_secs(5) }
    }
}

/// The algorithm; [`crate::Limiter`] shares it between threads.
#[derive(Clone, Debug)]
pub struct Aimd {
    policy: AimdPolicy,
    limit: u32,
}

impl Aimd {
    /// At the initial limit.
    pub fn new(policy: AimdPolicy) -> Self {
        let limit = policy.initial.clamp(policy.min.max(1), policy.max.max(policy.min).max(1));
        Self { policy, limit }
    }

    /// The present limit.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Takes a call that began with `in_flight` calls under way, itself included.
    pub fn on_sample(&mut self, latency: Duration, in_flight: u32, dropped: bool) -> u32 {
        if dropped || latency > self.policy.timeout {
            self.limit = (f64::from(self.limit) * self.policy.backoff.clamp(0.5, 1.0)) as u32;
        } else if in_flight.saturating_mul(2) >= self.limit {
            self.limit = self.limit.saturating_add(1);
        }
        let min = self.policy.min.max(1);
        self.limit = self.limit.clamp(min, self.policy.max.max(min));
        self.limit
    }
}
