//! Active probes with hysteresis: a few failures in a row take an endpoint out, a few successes bring it back.

/// Thresholds of active probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePolicy {
    /// Failures in a row before out. At least 1. Default 3.
    pub fall: u32,
    /// Successes in a row before in. At least 1. Default 2.
    pub rise: u32,
}

impl Default for ProbePolicy {
    fn default() -> Self {
        Self { fall: 3, rise: 2 }
    }
}

/// What a probe changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthChange {
    /// The rise threshold was met: the endpoint is in again, or its ejection ended early.
    BecameHealthy,
    /// The fall threshold was met: the endpoint is out.
    BecameUnhealthy,
}

/// The runs of one endpoint. Healthy until shown otherwise: a process that just started must serve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hysteresis {
    healthy: bool,
    successes: u32,
    failures: u32,
}

impl Hysteresis {
    pub(crate) fn new() -> Self {
        Self { healthy: true, successes: 0, failures: 0 }
    }

    /// Takes a probe's result; tells the change of health, if any.
    pub(crate) fn record(&mut self, policy: ProbePolicy, healthy: bool) -> Option<HealthChange> {
        if healthy {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            if !self.healthy && self.risen(policy) {
                self.healthy = true;
                return Some(HealthChange::BecameHealthy);
            }
        } else {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            if self.healthy && self.failures >= policy.fall.max(1) {
                self.healthy = false;
                return Some(HealthChange::BecameUnhealthy);
            }
        }
        None
    }

    /// Whether the present run of successes is long enough to count as a return.
    pub(crate) fn risen(&self, policy: ProbePolicy) -> bool {
        self.successes >= policy.rise.max(1)
    }

    /// Forgets the run: successes from before an ejection must not end it.
    pub(crate) fn start_over(&mut self) {
        self.successes = 0;
    }

    pub(crate) fn healthy(&self) -> bool {
        self.healthy
    }
}
