//! A joining or returning endpoint gets its share by and by: cold caches and pools are not hit by a full share.

use std::time::Duration;

/// The ramp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// Length of the ramp. Zero = off (default).
    pub window: Duration,
    /// Share of its weight that an endpoint begins with. Range 0..=1. Default 0.1.
    pub min_weight: f64,
    /// Shape: 1 is a straight line (default), above 1 rises fast at first.
    pub aggression: f64,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self { window: Duration::ZERO, min_weight: 0.1, aggression: 1.0 }
    }
}

impl SlowStart {
    /// The share of its weight an endpoint has `since` it joined: `max(min, (t / window)^(1 / aggression))`.
    pub fn factor(&self, since: Duration) -> f64 {
        if since >= self.window {
            return 1.0;
        }
        let progress = since.as_secs_f64() / self.window.as_secs_f64();
        progress.powf(1.0 / self.aggression.max(f64::EPSILON)).clamp(self.min_weight.clamp(0.0, 1.0), 1.0)
    }
}
