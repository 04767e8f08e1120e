//! Instants as nanoseconds since an origin, so that a point in time fits one atomic word.

use std::time::{Duration, Instant};

/// An origin in monotonic time. Zero is kept free: it means "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeline {
    origin: Instant,
}

impl Timeline {
    pub(crate) fn new(origin: Instant) -> Self {
        Self { origin }
    }

    /// Nanoseconds since the origin plus one; an instant before the origin is the origin.
    #[inline]
    pub(crate) fn nanos(self, now: Instant) -> u64 {
        // 2^64 ns are 584 years of uptime: plain arithmetic is enough here.
        let since = now.saturating_duration_since(self.origin);
        since.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(since.subsec_nanos())) + 1
    }

    /// The inverse of [`Timeline::nanos`]; a time beyond what the platform can express is the origin.
    pub(crate) fn instant(self, nanos: u64) -> Instant {
        self.origin.checked_add(Duration::from_nanos(nanos.saturating_sub(1))).unwrap_or(self.origin)
    }
}

/// Whole nanoseconds, saturating after 584 years.
#[inline]
pub(crate) fn nanos_of(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}
